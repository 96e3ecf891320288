"""Whether an engine's wheels fit the GPU driver: both name a version of CUDA, and the major number must agree.

A driver runs programs of its own CUDA and of older ones. Within one major number it also runs newer ones ("CUDA
Compatibility", section "Minor Version Compatibility", docs.nvidia.com/deploy/cuda-compatibility), as long as they
bring machine code for the GPU: it does not compile PTX that is newer than itself.

It says nothing about whether a wheel has machine code for a certain GPU.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from provisioner.errors import BakeError

# NVIDIA's branches and the CUDA that each came with (CUDA Toolkit release notes, table 3).
BRANCHES = {
    525: (12, 0),
    530: (12, 1),
    535: (12, 2),
    545: (12, 3),
    550: (12, 4),
    555: (12, 5),
    560: (12, 6),
    565: (12, 7),
    570: (12, 8),
    575: (12, 9),
    580: (13, 0),
    590: (13, 1),
}
_DRIVER = re.compile(r"(\d{3})(?:\.\d+){1,2}")
# Up to CUDA 12 the libraries' names end in its major number; later they have none, and the runtime's version is it.
_SUFFIX, _RUNTIME = re.compile(r"nvidia-[a-z-]+-cu(\d{2})"), "nvidia-cuda-runtime"
_LOCAL = re.compile(r"[^+]+\+cu(\d{2})\d")


def driver_cuda(version: str) -> tuple[int, int]:
    """Return the CUDA that a driver came with.

    Raises:
        BakeError: it is no version, or of a branch that the table does not know.
    """
    match = _DRIVER.fullmatch(version)
    if match is None or int(match[1]) not in BRANCHES:
        raise BakeError(f"driver {version!r}: its CUDA is not known; name it in provisioner/image/cuda.py")
    return BRANCHES[int(match[1])]


def wheels_cuda(wheels: Iterable[tuple[str, str]]) -> int:
    """Return the one major number of CUDA that wheels (name, version) are built for.

    Raises:
        BakeError: they name none, or two.
    """
    named: dict[int, list[str]] = {}
    for name, version in wheels:
        if (major := _major(name, version)) is not None:
            named.setdefault(major, []).append(f"{name} {version}")
    if not named:
        raise BakeError("the engine's wheels bring no CUDA: they are not for GPUs")
    if len(named) > 1:
        shown = "; ".join(f"CUDA {major}: {named[major][0]}" for major in sorted(named))
        raise BakeError(f"the engine's wheels are built for different CUDAs ({shown})")
    return next(iter(named))


def require_fitting(driver: str, wheels: Iterable[tuple[str, str]]) -> None:
    """Return when a driver can run what wheels (name, version) bring.

    Raises:
        BakeError: another major number, or one side cannot be told.
    """
    major, minor = driver_cuda(driver)
    wanted = wheels_cuda(wheels)
    if wanted != major:
        remedy = "take wheels for that (scripts/vllm-lock.sh) or lock another driver (make lock)"
        raise BakeError(f"driver {driver} is for CUDA {major}.{minor}, the engine's wheels for CUDA {wanted}: {remedy}")


def _major(name: str, version: str) -> int | None:
    if match := _SUFFIX.fullmatch(name):
        return int(match[1])
    if name == _RUNTIME:
        return int(version.partition(".")[0])
    return int(match[1]) if (match := _LOCAL.fullmatch(version)) else None
