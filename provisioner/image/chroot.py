"""Running a program inside a tree, in namespaces of its own: no network, no mounts that outlive it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.image import process

_MEMORY = {"tmp": "1777", "dev": "755"}
_SHARED_MEMORY = "dev/shm"
_DEVICES = ("null", "zero", "full", "random", "urandom")


@dataclass(frozen=True, slots=True)
class Bind:
    """A folder of the host that the program sees at ``target``; the mount point must exist in the tree."""

    source: Path
    target: str
    writable: bool = False


def run_inside(
    tree: Path,
    argv: Sequence[str | Path],
    *,
    what: str,
    binds: Sequence[Bind] = (),
    writable: bool = False,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> bytes:
    """Run a program in a tree and return its standard output; the tree is read-only unless ``writable``.

    Raises:
        BakeError: the program fails.
    """
    inside = {"HOME": "/root", "LANG": "C.UTF-8", **(env or {})}
    return process.run(enter(tree, argv, binds=binds, writable=writable), what=what, env=inside, stdin=stdin)


def enter(tree: Path, argv: Sequence[str | Path], *, binds: Sequence[Bind] = (), writable: bool = False) -> list[str]:
    """Return the command line that enters a tree and runs a program there."""
    spaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"]
    tree = tree.resolve()
    script = _mounts(tree, binds, writable=writable)
    program = shlex.join(str(word) for word in argv)
    return ["unshare", *spaces, "sh", "-ec", f"{script}\nexec chroot {shlex.quote(str(tree))} {program}"]


def _mounts(tree: Path, binds: Sequence[Bind], *, writable: bool) -> str:
    """Write the mounts of the private namespace; they end with the program, whatever ends it."""
    root = shlex.quote(str(tree))
    # Bound onto itself first: only a mount can be made read-only.
    lines = [f"mount --bind {root} {root}", f"cd {root}"]
    lines += [f"mount -t proc -o nosuid,nodev,noexec proc {root}/proc"]
    lines += [f"mount -t tmpfs -o mode={mode} tmpfs {root}/{name}" for name, mode in _MEMORY.items()]
    for device in _DEVICES:
        lines += [f"touch {root}/dev/{device}", f"mount --bind /dev/{device} {root}/dev/{device}"]
    # Python's multiprocessing and some tests want shared memory.
    lines += [f"mkdir -m 1777 {root}/{_SHARED_MEMORY}", "ip link set lo up 2>/dev/null || :"]
    for bind in binds:
        source, target = shlex.quote(str(bind.source.resolve())), shlex.quote(f"{tree}{bind.target}")
        lines.append(f"mount --bind {source} {target}")
        if not bind.writable:
            lines.append(f"mount -o remount,bind,ro {target}")
    if not writable:
        lines.append(f"mount -o remount,bind,ro {root}")
    return "\n".join(lines)
