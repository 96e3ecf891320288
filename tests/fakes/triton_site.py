"""The locked Triton, unpacked beside nothing else, and programs that run on it: with its own backend or with ours."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from provisioner.image.triton import VERSION, exchange_backend
from tests.fakes.stand_in import torch

REPOSITORY = Path(__file__).resolve().parents[2]
_STAND_IN = Path(torch.__file__).parents[1]
_PROGRAM = REPOSITORY / "tests/fakes/triton_drive.py"
_INFO = f"triton-{VERSION}.dist-info"


def unpack(folder: Path) -> Path:
    """Download Triton's wheel for this Python (190 MB) and unpack it."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder]
    subprocess.run([*pip, f"triton=={VERSION}"], check=True, timeout=600)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    wheel.unlink()
    for program in (folder / "site/triton/backends/nvidia/bin").iterdir():
        program.chmod(0o755)
    return folder / "site"


def exchange(site: Path, folder: Path) -> Path:
    """Name our backend, as a bake does: the first folder that knows of a package is the one that counts."""
    (folder / _INFO).mkdir()
    for name in ("entry_points.txt", "METADATA"):
        (folder / _INFO / name).write_text((site / _INFO / name).read_text())
    exchange_backend(folder)
    return folder


def drive(
    library: Path, home: Path, *folders: Path, how: str = "ask", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run triton_drive.py with nothing of ours but what is said, and no site packages."""
    path = os.pathsep.join(str(folder) for folder in (REPOSITORY, _STAND_IN, *folders))
    told = {"HOME": str(home), "TMPDIR": str(home), "PATH": "/nonexistent", "PYTHONPATH": path} | environment
    argv = [sys.executable, "-S", "-P", _PROGRAM, library, how]
    return subprocess.run(argv, env=told, cwd=home, capture_output=True, text=True, check=False, timeout=600)


def with_compiler(library: Path) -> dict[str, str]:
    """Return what Triton's own driver needs besides."""
    return {"TRITON_LIBCUDA_PATH": str(library.parent), "PATH": "/usr/bin:/bin"}
