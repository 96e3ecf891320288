"""A second opinion on PCR 11: systemd's own tool, out of the tools tree, over the sections of a finished UKI."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image.chroot import Bind, run_inside
from provisioner.measure.pe import parse_image, section

_MEASURE = "/usr/lib/systemd/systemd-measure"
_SECTIONS = ("linux", "osrel", "cmdline", "initrd", "uname", "sbat")
_RESULT = re.compile(r"^11:sha256=([0-9a-f]{64})$", re.MULTILINE)


def systemd_pcr11(tools: Path, uki: Path, phases: Sequence[str]) -> str:
    """Return PCR 11 after these boot phases as systemd-measure computes it.

    It knows nothing of our prediction; but it is systemd's view of systemd, not a look at a real TPM.
    Raises: BakeError when the tool fails.
    """
    image = parse_image(uki.name, uki.read_bytes())
    with tempfile.TemporaryDirectory(prefix="vitrine-measure-") as folder:
        for name in _SECTIONS:
            (Path(folder) / name).write_bytes(section(image, f".{name}"))
        options = [f"--{name}=/work/{name}" for name in _SECTIONS]
        argv = [_MEASURE, "calculate", *options, "--bank=sha256", f"--phase={':'.join(phases)}"]
        output = run_inside(tools, argv, what="asking systemd-measure", binds=(Bind(Path(folder), "/work"),)).decode()
    found = _RESULT.findall(output)
    if len(found) != 1:
        raise BakeError(f"systemd-measure gave {len(found)} values for PCR 11: {output!r}")
    return str(found[0])
