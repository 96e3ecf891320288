"""``python -m provisioner.image.lock``: resolves the trees against a mirror and writes the lock file."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from provisioner.errors import ProvisionError
from provisioner.image import apt
from provisioner.image.debs import differences, resolve
from provisioner.image.mirror import find_mirror
from provisioner.image.packages import (
    LOCK_FILE,
    TREES,
    PackageLock,
    data_path,
    parse_lock,
    serialise_lock,
    shipped_lock,
)
from provisioner.progress import Progress, say

SUITE = "trixie"


def refresh(mirror: str | None, security: str | None, *, epoch: int, progress: Progress) -> PackageLock:
    """Resolve the wanted packages of every tree anew.

    Raises:
        BakeError: no mirror is known or reachable, or a wanted package does not exist.
    """
    found = find_mirror(mirror, security)
    with tempfile.TemporaryDirectory(prefix="vitrine-apt-") as home:
        private = apt.open_apt(Path(home), found, SUITE, progress=progress)
        # What was resolved passes through the parser once: a lock that we write we can read.
        return parse_lock(serialise_lock(resolve(private, SUITE, epoch)))


def main() -> int:
    """Refresh the lock file and say what changed."""
    parser = argparse.ArgumentParser(prog="python -m provisioner.image.lock", description=__doc__)
    parser.add_argument("--mirror", help="address of a Debian mirror; default: the host's own")
    parser.add_argument("--security-mirror", help="address of its security archive")
    parser.add_argument("--output", type=Path, default=data_path(LOCK_FILE))
    arguments = parser.parse_args()
    try:
        lock = refresh(arguments.mirror, arguments.security_mirror, epoch=int(time.time()), progress=say)
        before = shipped_lock() if data_path(LOCK_FILE).is_file() else None
    except ProvisionError as error:
        say(f"error: {error}")
        return 1
    if before is not None and all(before.tree(name) == lock.tree(name) for name in TREES):
        say("nothing changed")
        return 0
    arguments.output.write_bytes(serialise_lock(lock))
    say(f"{arguments.output}: {', '.join(f'{len(lock.tree(n).packages)} {n}' for n in TREES)} packages")
    for change in differences(before, lock) if before is not None else ():
        say(f"  {change}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
