"""Which file of the checkout becomes which file of the image, and which role's task makes it so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from provisioner.errors import BakeError, SpecError
from provisioner.overlay import TEMPLATE_SUFFIX, collect

_ACTION = "install_tree"
_PLACE = "{{ role_path }}"
# What packing itself puts into the image.
_PACKED = (
    ("provisioner/image/data/init.sh", "initrd:/init", "provisioner/image/initrd.py"),
    ("provisioner/image/data/cmdline.json", "uki:/.cmdline", "provisioner/image/cmdline.py"),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """A file of the checkout, the role and the task that install it, and where it is in the image."""

    source: str
    role: str
    task: str
    target: str


def origins(source: Path) -> tuple[Origin, ...]:
    """Return the origins that a checkout's tasks say without being run; what is installed in a loop is not among them.

    Raises:
        BakeError: a role's tasks cannot be read.
    """
    found = [Origin(path, "packing", maker, target) for path, target, maker in _PACKED if (source / path).is_file()]
    for tasks in sorted(source.glob("roles/*/tasks/*.yml")):
        role = tasks.parts[-3]
        found += [one for task in _tasks(tasks) for one in _of_task(source, role, task, tasks)]
    return tuple(found)


def origin_of(source: Path, path: str) -> Origin:
    """Return where a file of the checkout goes.

    Raises:
        BakeError: no task installs it by its name.
    """
    for one in origins(source):
        if one.source == path:
            return one
    raise BakeError(
        f"{path}: no role installs this file by its name (what a loop installs is not followed); give another --line"
    )


def _tasks(path: Path) -> Iterator[dict[str, Any]]:
    try:
        loaded = yaml.safe_load(path.read_text()) or []
    except (OSError, yaml.YAMLError) as error:
        raise BakeError(f"{path}: not a list of tasks: {error}") from error
    yield from (task for task in loaded if isinstance(task, dict) and isinstance(task.get(_ACTION), dict))


def _of_task(source: Path, role: str, task: dict[str, Any], tasks: Path) -> Iterator[Origin]:
    wanted = task[_ACTION]
    home = source / "roles" / role
    place, target = str(wanted.get("src") or ""), str(wanted.get("dest") or "/")
    if not place or "{{" in target or "{{" in place.replace(_PLACE, ""):
        return
    folder = Path(place.replace(_PLACE, str(home))) if _PLACE in place else home / "files" / place
    try:
        entries = collect(folder, PurePosixPath(target), include=tuple(wanted.get("include") or ["*"]))
    except SpecError:
        return
    said = f"{tasks.relative_to(source).as_posix()}: {task.get('name', _ACTION)}"
    for entry in entries:
        inner = PurePosixPath(entry.path).relative_to(target)
        # Not resolved: some of the files are links, which lead out of the checkout.
        path = Path(normpath(folder / inner)).relative_to(normpath(source)).as_posix()
        yield Origin(path, role, said, entry.path.removesuffix(TEMPLATE_SUFFIX))
