"""``python -m provisioner.image.reproduce``: two complete bakes under different circumstances, equal disks.

Each runs from a copy of the sources in a folder of its own, with its own user, umask, time zone, locale and number of
cores, from mmdebstrap on.
Only downloaded files, which are checked by hash, are shared. It says nothing about two hosts with different kernels.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from provisioner.commit import source_commit
from provisioner.errors import BakeError, ProvisionError
from provisioner.image.afresh import Circumstances, Order, bake_afresh
from provisioner.image.artefacts import ARTEFACTS, FILES, MANIFEST
from provisioner.image.files import sha256_of
from provisioner.progress import Progress, say

_DOWNLOADS = ("debs", "wheels")


FIRST = Circumstances("a", 0o022, "UTC", "C.UTF-8")
SECOND = Circumstances(
    "b/another folder, deeper down", 0o077, "Asia/Kathmandu", "tr_TR.UTF-8", user="somebody", owner=4711, cores=1
)


def reproduce(repository: Path, scratch: Path, cache: Path, *, progress: Progress) -> dict[str, str]:
    """Bake twice and compare; returns the digests that both have.

    Raises:
        BakeError: the bakes differ or one failed; it names the files, or the bake.
    """
    digests = []
    for circumstances in (FIRST, SECOND):
        started = time.monotonic()
        progress(f"baking in {circumstances}")
        image = bake_in(repository, scratch, cache, circumstances)
        digests.append(image_digests(image))
        progress(f"baked {image.name[:16]} in {time.monotonic() - started:.0f} s")
    compare(*digests)
    return digests[0]


def compare(first: dict[str, str], second: dict[str, str]) -> None:
    """Compare the digests of two bakes.

    Raises:
        BakeError: they differ; it names every file.
    """
    different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if different or not first:
        lines = (f"{name}: {first.get(name, 'absent')} and {second.get(name, 'absent')}" for name in different)
        raise BakeError(f"the bakes differ: {'; '.join(lines) or 'nothing was baked'}")


def image_digests(image: Path) -> dict[str, str]:
    """Hash every file of an image folder."""
    return {name: sha256_of(image / name) for name in sorted((*FILES.values(), MANIFEST, ARTEFACTS))}


def bake_in(repository: Path, scratch: Path, cache: Path, circumstances: Circumstances) -> Path:
    """Run the bake playbook under some circumstances; returns the image folder.

    Raises:
        BakeError: it fails or leaves no image.
    """
    home = scratch / circumstances.folder
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    # The copy is no checkout: it is told which commit it is a copy of.
    variables = {"bake_source_commit": source_commit(repository, (".",))}
    order = Order(repository, "inventories/local", variables)
    return bake_afresh(order, home, _own_cache(home / "cache", cache), circumstances)


def _own_cache(folder: Path, shared: Path) -> Path:
    """Make an empty cache that shares the downloaded files alone."""
    folder.mkdir(parents=True)
    for name in _DOWNLOADS:
        (shared / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to((shared / name).resolve())
    return folder


def main() -> int:
    """Bake twice, compare, say so."""
    parser = argparse.ArgumentParser(prog="python -m provisioner.image.reproduce", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path.cwd())
    parser.add_argument("--scratch", type=Path, default=Path("build/reproduce"))
    parser.add_argument("--cache", type=Path, default=Path("build/cache"))
    parser.add_argument("--keep", action="store_true", help="leave both bakes for a look at what differs")
    arguments = parser.parse_args()
    try:
        digests = reproduce(
            arguments.repository.resolve(), arguments.scratch.resolve(), arguments.cache.resolve(), progress=say
        )
    except ProvisionError as error:
        say(f"error: {error}")
        return 1
    finally:
        if not arguments.keep:
            shutil.rmtree(arguments.scratch, ignore_errors=True)
    for name, digest in digests.items():
        sys.stdout.write(f"{digest}  {name}\n")
    sys.stdout.write("both bakes are equal, byte for byte\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
