"""The vLLM engine's wheels: every one by name, version, file and hash, in ``requirements/vllm-gpu.lock``.

``python -m provisioner.image.vllm_wheels pip-options`` prints how pip is to choose for the image; ``… lock REPORT``
turns pip's report of such a choice into the lock. scripts/vllm-lock.sh does both.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from client_sdk.encoding import canonical_json
from provisioner.errors import BakeError
from provisioner.image import process
from provisioner.image.files import require_sha256
from provisioner.image.shelf import make_once
from provisioner.image.wheels import unpack_wheel
from provisioner.progress import Progress

LOCK_FILE = "requirements/vllm-gpu.lock"
_HEADER = "# Made by `make vllm-lock`: vLLM for the GPU image (Python 3.13 on x86-64), one wheel each.\n"
_LINE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[A-Za-z0-9.+!]+) --hash=sha256:(?P<sha256>[0-9a-f]{64})"
    r"  # (?P<filename>[A-Za-z0-9_.+]+(?:-[A-Za-z0-9_.+]+){4,5}\.whl)"
)
# Debian 13: Python 3.13, glibc 2.41. pip takes each name exactly as it is.
_GLIBC = 41
_PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1)),
    *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"),
)
PIP_OPTIONS = (
    "--only-binary=:all:",
    "--python-version=3.13",
    "--implementation=cp",
    *(f"--abi={abi}" for abi in ("cp313", "abi3", "none")),
    *(f"--platform={platform}" for platform in _PLATFORMS),
)


@dataclass(frozen=True, slots=True)
class Pin:
    """One wheel of the closure."""

    name: str
    version: str
    filename: str
    sha256: str


def parse_closure(text: str) -> tuple[Pin, ...]:
    """Read the lock.

    Raises:
        BakeError: a line is not a wheel by hash, or a name comes twice.
    """
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pins = []
    for line in lines:
        if not (match := _LINE.fullmatch(line)):
            raise BakeError(f"{LOCK_FILE}: not a wheel by hash: {line[:80]!r}; make it anew (make vllm-lock)")
        pins.append(Pin(**match.groupdict()))
    if not pins or len({pin.name for pin in pins}) != len(pins):
        raise BakeError(f"{LOCK_FILE}: it is empty, or a wheel is named twice")
    return tuple(pins)


def serialise_closure(pins: tuple[Pin, ...]) -> str:
    """Write the lock: pip reads it too."""
    ordered = sorted(pins, key=lambda pin: pin.name)
    return _HEADER + "".join(f"{p.name}=={p.version} --hash=sha256:{p.sha256}  # {p.filename}\n" for p in ordered)


def from_report(report: Mapping[str, Any]) -> tuple[Pin, ...]:
    """Read pip's installation report (version 1).

    Raises:
        BakeError: something is no wheel of an index, or the report is not one.
    """
    try:
        return tuple(_pin(item) for item in report["install"])
    except (KeyError, TypeError) as error:
        raise BakeError(f"not an installation report of pip's: {error}") from error


def closure_digest(pins: tuple[Pin, ...]) -> str:
    """Hash which wheels these are: the name of their folder in a cache."""
    return hashlib.sha256(canonical_json([(pin.filename, pin.sha256) for pin in pins])).hexdigest()


def obtain_closure(pins: tuple[Pin, ...], cache: Path, *, progress: Progress) -> Path:
    """Return a folder with exactly these wheels, downloaded by pip where the cache has it not.

    Raises:
        BakeError: no index has one of them, or what came is another file.
    """

    def make(folder: Path) -> None:
        progress(f"downloading {len(pins)} wheels of the engine (gigabytes)")
        requirements = folder / ".requirements"
        requirements.write_text(serialise_closure(pins))
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *PIP_OPTIONS]
        # pip reads its indexes from the caller's environment and files.
        argv: list[str | Path] = [*pip, "--dest", folder, "--requirement", requirements]
        process.run(argv, what="downloading the engine's wheels", env=dict(os.environ))
        for pin in pins:
            require_sha256(folder / pin.filename, pin.sha256, pin.name)
        (folder / ".complete").write_bytes(b"")

    return make_once(
        cache / "closure" / closure_digest(pins), ".complete", make, what="downloading the engine's wheels"
    )


def unpack_closure(pins: tuple[Pin, ...], folder: Path, target: Path) -> None:
    """Unpack every wheel into one folder, which nothing but the engine imports from.

    Raises:
        BakeError: a wheel is not the lock's, however long it has been in the cache, or a member would land outside.
    """
    for pin in pins:
        require_sha256(folder / pin.filename, pin.sha256, pin.name)
        for file in unpack_wheel(folder / pin.filename, target):
            # Programs that libraries start lie in their own "bin" folders (Triton's assembler).
            if file.parent.name == "bin":
                file.chmod(0o755)
    # Scripts and manual pages, and lines that Python's site module would run: the engine has neither.
    for left in (*target.glob("*.data"), *target.glob("*.pth")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _pin(item: Mapping[str, Any]) -> Pin:
    info = item["download_info"]
    filename = unquote(urlsplit(info["url"]).path.rpartition("/")[2])
    if not filename.endswith(".whl"):
        raise BakeError(f"{filename}: not a wheel; the image has no compiler")
    name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
    return Pin(name, item["metadata"]["version"], filename, info["archive_info"]["hashes"]["sha256"])


def main(arguments: list[str]) -> int:
    """Print pip's options, or the lock."""
    match arguments:
        case ["pip-options"]:
            sys.stdout.write("\n".join(PIP_OPTIONS) + "\n")
        case ["lock", report]:
            sys.stdout.write(serialise_closure(from_report(json.loads(Path(report).read_bytes()))))
        case _:
            sys.stderr.write("vllm_wheels: pip-options, or lock REPORT\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
