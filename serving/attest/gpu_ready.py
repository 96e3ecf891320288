"""``python3 -m serving.attest.gpu_ready STEP``: what only root may ask of the GPUs, in two steps of a boot.

``keep``, before the attester: the GPUs keep their state while nobody uses them, for a session that ends takes the keys
of the confidential channel with it. ``work``, after *sealed*: they accept work; until then no engine can use them.
It proves nothing and judges little; a failure powers the machine off (the units say so).
"""

from __future__ import annotations

import sys

from serving.attest.nvml import Nvml, NvmlLibrary
from serving.errors import GpuError


def keep(nvml: Nvml) -> None:
    """Turn persistence on.

    Raises:
        GpuError: the driver refuses.
    """
    nvml.persist()


def work(nvml: Nvml) -> None:
    """Let the GPUs accept work, and see that they do.

    Raises:
        GpuError: the driver refuses, or they do not.
    """
    nvml.set_ready()
    if not nvml.is_ready():
        raise GpuError("the GPUs do not accept work")


STEPS = {"keep": keep, "work": work}


def main(arguments: list[str], library: str | None = None) -> int:
    """Carry out one step; return the exit status."""
    try:
        (name,) = arguments
        STEPS[name](NvmlLibrary(library) if library else NvmlLibrary())
    except (ValueError, KeyError):
        sys.stderr.write(f"gpu_ready: expected one of {', '.join(STEPS)}\n")
        return 2
    except GpuError as error:
        sys.stderr.write(f"gpu_ready: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
