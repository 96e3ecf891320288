"""The local VM's firmware, out of the tools tree: so that what it measures does not depend on the host's version."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from provisioner.atomic import replace_file
from provisioner.errors import BakeError
from provisioner.image.shelf import make_once

_SOURCE = "usr/share/OVMF"
CODE = "OVMF_CODE_4M.fd"
SECURE_CODE = "OVMF_CODE_4M.secboot.fd"
VARIABLES = "OVMF_VARS_4M.fd"
_CURRENT = "current"


@dataclass(frozen=True, slots=True)
class Firmware:
    """A firmware's code, without and with Secure Boot, and its empty variable store; a VM needs a copy of that."""

    code: Path
    secure_code: Path
    variables: Path


def publish_firmware(tools_tree: Path, key: str, cache: Path) -> None:
    """Copy the firmware to where an ordinary user can read it: the tools tree itself is root's alone."""

    def copy(folder: Path) -> None:
        for name in (CODE, SECURE_CODE, VARIABLES):
            shutil.copyfile(tools_tree / _SOURCE / name, folder / name)
            (folder / name).chmod(0o644)
        folder.chmod(0o755)

    shelf = cache / "firmware"
    make_once(shelf / key, SECURE_CODE, copy, what="copying the firmware")
    replace_file(shelf / _CURRENT, key.encode())


def has_firmware(cache: Path) -> bool:
    """Tell whether a bake has to publish the firmware (again): the cache may be deleted at any time."""
    try:
        firmware(cache)
    except BakeError:
        return False
    return True


def firmware(cache: Path) -> Firmware:
    """Return the firmware that the latest bake with this cache published.

    Raises:
        BakeError: there was none.
    """
    try:
        folder = cache / "firmware" / (cache / "firmware" / _CURRENT).read_text().strip()
    except OSError as error:
        raise BakeError(f"{cache} holds no firmware yet; bake an image first (`make bake`)") from error
    found = Firmware(code=folder / CODE, secure_code=folder / SECURE_CODE, variables=folder / VARIABLES)
    if not all(path.is_file() for path in (found.code, found.secure_code, found.variables)):
        raise BakeError(f"the firmware in {folder} is gone; bake once more (`make bake`)")
    return found
