"""The list of every program that an image may hold, each with the reason why; what is not on it is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from importlib import resources
from typing import Any

from provisioner.errors import BakeError
from provisioner.gate.rule import Rule
from provisioner.gate.tree import Found, Tree

VERSION = 1
ANY_EXECUTE = 0o111
# Where a link is as good as a program: these are searched for commands.
FOLDERS = ("usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin")
_KEYS = {"path", "why"}


@dataclass(frozen=True, slots=True)
class Executable:
    """Programs that a pattern names; where ``where`` is given, only an image that has that path has them."""

    path: str
    why: str
    where: str = ""

    def matches(self, path: str) -> bool:
        """Say whether the pattern names this path; ``*`` crosses slashes."""
        return re.fullmatch(translate(self.path), path) is not None

    def is_due(self, tree: Tree) -> bool:
        """Say whether this image is one that has them."""
        return not self.where or any(found.path == self.where for found in tree.found)


def shipped_executables() -> tuple[Executable, ...]:
    """Read the list that comes with this package.

    Raises:
        BakeError: the data file is not what this code understands.
    """
    return parse_executables(resources.files("provisioner.gate").joinpath("data", "executables.json").read_text())


def parse_executables(text: str) -> tuple[Executable, ...]:
    """Read a list strictly; no reason is no entry.

    Raises:
        BakeError: an entry is malformed; it names the entry.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BakeError(f"executables: not JSON: {error}") from error
    if not isinstance(document, dict) or set(document) != {"version", "executables"} or document["version"] != VERSION:
        raise BakeError(f"executables: expected exactly version {VERSION} and executables")
    listed = tuple(_executable(entry) for entry in document["executables"])
    if len({executable.path for executable in listed}) != len(listed):
        raise BakeError("executables: a path appears twice")
    return listed


def programs(tree: Tree) -> Iterator[Found]:
    """Every file that somebody could start, in any folder, and every link where commands are searched for."""
    for found in tree.found:
        is_command = found.is_link and found.path.rpartition("/")[0] in FOLDERS
        if is_command or (found.is_file and found.state.st_mode & ANY_EXECUTE):
            yield found


def unlisted(_: Rule, tree: Tree) -> Iterator[str]:
    """Programs that no entry of the list names."""
    due = [executable for executable in shipped_executables() if executable.is_due(tree)]
    for found in programs(tree):
        if not any(executable.matches(found.path) for executable in due):
            yield found.path


def unmatched(_: Rule, tree: Tree) -> Iterator[str]:
    """Entries of the list that name nothing: a list that is longer than the truth hides what comes later."""
    there = [found.path for found in programs(tree)]
    for executable in shipped_executables():
        if executable.is_due(tree) and not any(executable.matches(path) for path in there):
            yield executable.path


def _executable(entry: Any) -> Executable:
    if not isinstance(entry, dict) or not (_KEYS <= set(entry) <= _KEYS | {"where"}):
        raise BakeError(f"executables: expected the keys path, why and perhaps where, got {entry!r}")
    if not all(isinstance(value, str) and value.strip() for value in entry.values()):
        raise BakeError(f"executables: {entry['path']!r}: path, why and where are texts, and none is empty")
    if entry["path"].startswith("/") or not entry["path"].strip("*/"):
        raise BakeError(f"executables: {entry['path']!r}: a pattern below the root, such as usr/bin/false")
    return Executable(**entry)
