"""``python -m tests.bench.in_tree MODULE ARGUMENTS``: enter the tools tree, and measure there, on the image's versions.

Ended by a signal, it ends what it has started.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from provisioner.image.chroot import Bind, enter
from provisioner.image.sources import Sources
from provisioner.image.tools import tools_tree
from provisioner.progress import say

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TSS2_LOG": "all+NONE",
}


def main() -> int:
    """Run the module inside; its exit status is ours."""
    # An exit is what subprocess ends its child on, and with the child goes all that was started in its namespace.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    tree = tools_tree(Sources(REPOSITORY / "build/cache"), progress=say).tree
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "source").mkdir()
        binds = [Bind(Path(folder), "/work", writable=True), Bind(REPOSITORY, "/work/source")]
        words = shlex.join(["python3", "-m", *sys.argv[1:]])
        command = enter(tree.resolve(), ["sh", "-c", f"cd /work/source && exec {words}"], binds=binds)
        return subprocess.run(command, env=ENVIRONMENT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
