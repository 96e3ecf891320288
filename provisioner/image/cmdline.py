"""The kernel command line: measured, one line, the same bytes in the UKI and in the initrd's own copy."""

from __future__ import annotations

import json
import re

from provisioner.errors import BakeError
from provisioner.image.filesystem import Verity
from provisioner.image.packages import data_file

_OPTION = re.compile(r"[!-~]+")
_LIMIT = 2048  # COMMAND_LINE_SIZE of x86


# What the kernel cannot be told before the driver of the GPUs is loaded, which its makers did not sign. The initrd
# says it instead, right after.
LATER = ("lockdown=confidentiality", "module.sig_enforce=1")
# The word of a debug image: it is measured, and stands in the manifest.
DEBUG = "vitrine.mode=DEBUG"


def fixed_options(gpus: int, *, debug: bool = False) -> list[str]:
    """Return what every image has on its command line; one for GPUs names how many, a debug image says what it is."""
    fixed: list[str] = [row["option"] for row in json.loads(data_file("cmdline.json"))]
    if gpus:
        fixed = [option for option in fixed if option not in LATER] + [f"vitrine.gpus={gpus}"]
    return [*fixed, DEBUG] if debug else fixed


def make_cmdline(root: Verity, model: Verity, *, gpus: int = 0, debug: bool = False) -> str:
    """Write the command line of an image: the fixed options, and the hashes of root and model."""
    return join_options([*fixed_options(gpus, debug=debug), root.option("root"), model.option("model")])


def join_options(options: list[str]) -> str:
    """Join options into one line.

    Raises:
        BakeError: an option has a blank, a quote or a byte outside ASCII, stands twice, or there are too many.
    """
    names = [option.partition("=")[0] for option in options]
    for option in options:
        if not _OPTION.fullmatch(option) or '"' in option:
            raise BakeError(f"command line: {option!r} is not one plain ASCII word")
    if len(set(names)) != len(names):
        raise BakeError(f"command line: given twice: {sorted({n for n in names if names.count(n) > 1})}")
    line = " ".join(options)
    if len(line) >= _LIMIT:
        raise BakeError(f"command line: {len(line)} characters, the kernel reads {_LIMIT - 1}")
    return line
