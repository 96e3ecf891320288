"""A complete bake from a copy of the sources, in a clean root: with its own folder, user, umask, time zone and cores.

Only files that are checked by hash are shared with anything else. Where it is to be sealed off, it runs in namespaces
of its own without a network, so that nothing can come from elsewhere; what ends it ends everything that it started.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.errors import BakeError
from provisioner.image import process
from provisioner.image.artefacts import ARTEFACTS

_FIRST_TASK = "Make a fresh root file system, unless this image exists already"
# The loopback interface is Ansible's and Python's own business; there is no other.
_ALONE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_LOOPBACK = 'ip link set lo up 2>/dev/null || :; exec "$@"'


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What must not matter. ``owner`` is the number of the user whose files the sources are, ``cores`` 0 means all."""

    folder: str
    umask: int
    timezone: str
    locale: str
    user: str = "root"
    owner: int = 0
    cores: int = 0


PLAIN = Circumstances(".", 0o022, "UTC", "C.UTF-8")


@dataclass(frozen=True, slots=True)
class Order:
    """What to bake: ``variables`` as the playbook takes them, from an inventory.

    ``alone`` means without a network. ``bare`` means that the inventory says nothing of a machine, so that nothing is
    checked against one.
    """

    repository: Path
    inventory: str
    variables: Mapping[str, Any]
    alone: bool = False
    bare: bool = False


def bake_afresh(order: Order, home: Path, cache: Path, circumstances: Circumstances) -> Path:
    """Run the bake playbook below ``home`` with a cache that holds nothing but files; returns the image folder.

    Raises:
        BakeError: it fails or leaves no image.
    """
    sources = copy_sources(order.repository, home / "sources", circumstances.umask)
    # A checkout around it would answer in its place when the bake asks which commit this is.
    process.run(["git", "init", "-q"], what="making a checkout of its own", cwd=sources)
    for path in (sources, *sources.rglob("*")) if circumstances.owner else ():
        os.chown(path, circumstances.owner, circumstances.owner, follow_symlinks=False)
    told = {**order.variables, "bake_output": str(home / "images"), "bake_cache": str(cache)}
    playbook = [sys.executable, "-m", "ansible", "playbook", "playbooks/bake.yml", "-i", order.inventory]
    playbook += ["--start-at-task", _FIRST_TASK] if order.bare else []
    words = _with_cores([*playbook, "-e", json.dumps(told)], circumstances.cores)
    _run([*_ALONE, "sh", "-c", _LOOPBACK, "sh", *words] if order.alone else words, sources, circumstances)
    images = [path.parent for path in (home / "images").glob(f"*/{ARTEFACTS}")]
    if len(images) != 1:
        raise BakeError(f"the bake in {home} left {len(images)} images, expected one")
    return images[0]


def copy_sources(repository: Path, target: Path, umask: int) -> Path:
    """Copy what git would commit, with the permissions that a checkout under this umask would have; links as links."""
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"]
    names = process.run(listing, what="listing the sources", cwd=repository).decode().split("\0")
    for name in filter(None, names):
        source = repository / name
        copy = target / name
        if source.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(source.readlink())
            continue
        if not source.is_file():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        copy.chmod((0o777 if os.access(source, os.X_OK) and source.stat().st_mode & 0o100 else 0o666) & ~umask)
    return target


def _with_cores(words: list[str], cores: int) -> list[str]:
    mine = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", ",".join(map(str, mine[:cores])), *words] if cores else words


def _run(argv: list[str], sources: Path, circumstances: Circumstances) -> None:
    environment = {
        **process.proxy_environment(),
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(sources.parent),
        "USER": circumstances.user,
        "LOGNAME": circumstances.user,
        "PYTHONPATH": str(sources),
        "ANSIBLE_CONFIG": str(sources / "ansible.cfg"),
        "ANSIBLE_LOCAL_TEMP": str(sources.parent / "ansible"),
        "TZ": circumstances.timezone,
        # Ansible insists on a UTF-8 locale that exists; what programs read first is LANGUAGE and the rest.
        "LC_ALL": "C.UTF-8",
        "LANG": circumstances.locale,
        "LANGUAGE": circumstances.locale,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # Its output is the progress: it goes where ours goes, which is not where a command's answer is written.
    done = subprocess.run(
        argv, cwd=sources, env=environment, umask=circumstances.umask, check=False, stdout=sys.stderr.fileno()
    )
    if done.returncode != 0:
        raise BakeError(f"the bake in {sources} failed with status {done.returncode}; its output says why")
