"""Copies of the sources as somebody else has them, and what is built from them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECTS = {"client": "", "provisioner": "distributions/provisioner", "server": "distributions/server"}
NAMES = {"client": "vitrine", "provisioner": "vitrine_provisioner", "server": "vitrine_server"}
SOURCES = ("client_sdk", "provisioner", "serving", "distributions", "tests/test_architecture.py")
FILES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
EPOCH = 1_790_000_000
HOOK = """import os, sys
os.umask(int(sys.argv[3], 8))
sys.path.insert(0, sys.argv[4])
import reproducible
print(getattr(reproducible, sys.argv[1])(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What differs between two people who build the same commit."""

    umask: str = "022"
    time: int = EPOCH + 5
    variables: tuple[tuple[str, str], ...] = (("TZ", "UTC"), ("LC_ALL", "C"), ("PYTHONHASHSEED", "1"))
    epoch: int | None = EPOCH


def copied(target: Path, around: Surroundings) -> Path:
    """Copy the sources as they lie here, whatever git ignores left out, with modes and times of somebody else."""
    listed = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    output = subprocess.run([*listed, *SOURCES, *FILES], cwd=CHECKOUT, capture_output=True, check=True).stdout
    mask = int(around.umask, 8)
    for name in filter(None, output.decode().split("\0")):
        source, copy = CHECKOUT / name, target / name
        if not source.is_symlink() and not source.exists():
            continue  # deleted, and not committed yet
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy, follow_symlinks=False)
        if not copy.is_symlink():
            copy.chmod(0o666 & ~mask)
            os.utime(copy, (around.time, around.time))
    return target


def built(tree: Path, project: str, out: Path, around: Surroundings) -> dict[str, bytes]:
    """Build as `python -m build` does, by the hooks: the source distribution, and from that the wheel."""
    out.mkdir(parents=True)
    sdist = hook("build_sdist", tree / PROJECTS[project], out, around)
    with tarfile.open(out / sdist) as archive:
        archive.extractall(out / "unpacked", filter="data")
    (unpacked,) = (out / "unpacked").iterdir()
    wheel = hook("build_wheel", unpacked, out, around, epoch=False)
    return {name: (out / name).read_bytes() for name in (sdist, wheel)}


def hook(name: str, tree: Path, out: Path, around: Surroundings, *, epoch: bool = True) -> str:
    """Call one of the backend's hooks in a process of its own."""
    backend = next(path for path in (tree / "backend", tree / "distributions/backend") if path.is_dir())
    words = [sys.executable, "-W", "ignore", "-c", HOOK, name, str(out), around.umask, str(backend)]
    done = subprocess.run(
        words, cwd=tree, env=environment(around, epoch=epoch), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.split()[-1]


def environment(around: Surroundings, *, epoch: bool = True) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"SOURCE_DATE_EPOCH", "PYTHONPATH"}}
    said = {"SOURCE_DATE_EPOCH": str(around.epoch)} if epoch and around.epoch is not None else {}
    return kept | dict(around.variables) | said
