"""CUDA's driver library without a GPU: built from cuda.c, it keeps what it was asked."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("cuda.c")
NAME = "libcuda.so.1"


def build(folder: Path) -> Path:
    """Compile the library; a machine without a C compiler fails, it does not skip."""
    library, flags = folder / NAME, ("-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-Wl,-soname,{NAME}")
    subprocess.run(["gcc", *flags, "-o", library, SOURCE], check=True)
    return library


class FakeCuda:
    """The library as this process has it: whoever opens it by its name gets the same."""

    def __init__(self, path: Path):
        self._library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        self._library.fake_log.restype = ctypes.c_char_p

    def log(self) -> list[str]:
        """Return what was asked since the last time."""
        return (self._library.fake_log() or b"").decode().splitlines()

    def parameters(self, *sizes: int) -> None:
        """Say how large the parameters of the kernels are that are launched next."""
        self._library.fake_parameters((ctypes.c_int * len(sizes))(*sizes), len(sizes))

    def fail(self, function: str) -> None:
        """Let a function fail from now on; none, if it is the empty word."""
        self._library.fake_fail(function.encode())

    def leave_context(self) -> None:
        """Let this process have no context, as a thread that never asked the GPU."""
        self._library.fake_context(None)
