"""``python -m provisioner.image.reproduce``: two complete bakes under different circumstances, equal disks.

Each runs from a copy of the sources in a folder of its own, with its own umask, time zone and locale, from
mmdebstrap on.
Only downloaded files, which are checked by hash, are shared. It says nothing about two hosts with different kernels.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from provisioner.commit import source_commit
from provisioner.errors import BakeError, ProvisionError
from provisioner.image import process
from provisioner.image.artefacts import ARTEFACTS, FILES, MANIFEST
from provisioner.image.files import sha256_of
from provisioner.progress import Progress, say

_DOWNLOADS = ("debs", "wheels")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What must not matter."""

    folder: str
    umask: int
    timezone: str
    locale: str


FIRST = Circumstances("a", 0o022, "UTC", "C.UTF-8")
SECOND = Circumstances("b/another folder, deeper down", 0o077, "Asia/Kathmandu", "tr_TR.UTF-8")


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
    sources = copy_sources(repository, home / "sources", circumstances.umask)
    own_cache = _own_cache(home / "cache", cache)
    # The copy is no checkout: it is told which commit it is a copy of.
    commit = source_commit(repository, (".",))
    variables = {"bake_output": str(home / "images"), "bake_cache": str(own_cache), "bake_source_commit": commit}
    playbook = [sys.executable, "-m", "ansible", "playbook", "playbooks/bake.yml", "-i", "inventories/local"]
    _run_bake([*playbook, "-e", json.dumps(variables)], sources, circumstances)
    images = [path.parent for path in (home / "images").glob(f"*/{ARTEFACTS}")]
    if len(images) != 1:
        raise BakeError(f"the bake in {home} left {len(images)} images, expected one")
    return images[0]


def copy_sources(repository: Path, target: Path, umask: int) -> Path:
    """Copy what git would commit, with the permissions that a checkout under this umask would have."""
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"]
    names = process.run(listing, what="listing the sources", cwd=repository).decode().split("\0")
    for name in filter(None, names):
        source = repository / name
        if not source.is_file():
            continue
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        copy.chmod((0o777 if os.access(source, os.X_OK) and source.stat().st_mode & 0o100 else 0o666) & ~umask)
    return target


def _own_cache(folder: Path, shared: Path) -> Path:
    """Make an empty cache that shares the downloaded files alone."""
    folder.mkdir(parents=True)
    for name in _DOWNLOADS:
        (shared / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to((shared / name).resolve())
    return folder


def _run_bake(argv: list[str], sources: Path, circumstances: Circumstances) -> None:
    environment = {
        **process.proxy_environment(),
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(sources.parent),
        "PYTHONPATH": str(sources),
        "ANSIBLE_CONFIG": str(sources / "ansible.cfg"),
        "TZ": circumstances.timezone,
        # Ansible insists on a UTF-8 locale that exists; what programs read first is LANGUAGE and the rest.
        "LC_ALL": "C.UTF-8",
        "LANG": circumstances.locale,
        "LANGUAGE": circumstances.locale,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # Its output is the progress: it goes where ours goes.
    done = subprocess.run(argv, cwd=sources, env=environment, umask=circumstances.umask, check=False)
    if done.returncode != 0:
        raise BakeError(f"the bake in {sources} failed with status {done.returncode}; its output says why")


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
