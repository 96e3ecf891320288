"""One function per kind of check. Each gives the paths that break a rule; it does not judge why."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from fnmatch import translate

from provisioner.gate.executables import unlisted, unmatched
from provisioner.gate.rule import Rule
from provisioner.gate.tree import Found, Tree

UNIT_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "usr/local/lib/systemd/system")
NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")
# These are mount points of tmpfs in the running VM; what the folders allow in the tree never shows.
SHARED_FOLDERS = ("tmp", "var/tmp", "run/lock", "dev/shm")


def forbidden_paths(rule: Rule, tree: Tree) -> Iterator[str]:
    """Whatever lies at a forbidden place, unless it is a link that masks it."""
    matcher = rule.matcher()
    for found in tree.found:
        if matcher.fullmatch(found.path) and not _is_mask(tree, found):
            yield found.path


def forbidden_units(rule: Rule, tree: Tree) -> Iterator[str]:
    """Units, and links that start them, that nothing in /etc masks."""
    matcher = rule.matcher()
    masked = {found.path for found in tree.found if found.path.startswith(UNIT_FOLDERS[0]) and _is_mask(tree, found)}
    for found in tree.found:
        folder, _, name = found.path.rpartition("/")
        if not matcher.fullmatch(name) or not folder.startswith(UNIT_FOLDERS) or found.is_folder:
            continue
        if f"{UNIT_FOLDERS[0]}/{name}" not in masked:
            yield found.path


def forbidden_contents(rule: Rule, tree: Tree) -> Iterator[str]:
    """Files whose contents match the rule's expression."""
    matcher = rule.matcher()
    expression = re.compile(rule.expression.encode())
    for found in tree.found:
        if found.is_file and matcher.fullmatch(found.path) and expression.search(tree.read(found)):
            yield found.path


def forbidden_accounts(rule: Rule, tree: Tree) -> Iterator[str]:
    """Accounts that could be logged in to. The pattern names what is looked at."""
    by_path = {found.path: found for found in tree.found}
    question, file, judge = _ACCOUNTS[rule.patterns[0]]
    if file not in by_path:
        yield f"{file}: missing"
        return
    for line in tree.read(by_path[file]).decode(errors="replace").splitlines():
        fields = line.split(":")
        if judge(fields):
            yield f"{file}: {fields[0]} {question}"


def forbidden_modes(rule: Rule, tree: Tree) -> Iterator[str]:
    """Files with a mode bit; for folders the set-group bit is harmless, and shared folders are known."""
    bit = int(rule.patterns[0], 8)
    for found in tree.found:
        if not found.state.st_mode & bit or found.is_link or found.path in SHARED_FOLDERS:
            continue
        if found.is_file or (found.is_folder and bit == stat.S_IWOTH):
            yield found.path


def file_capabilities(_: Rule, tree: Tree) -> Iterator[str]:
    """Files that carry capabilities as an extended attribute."""
    for found in tree.found:
        if found.is_file and "security.capability" in os.listxattr(tree.root / found.path, follow_symlinks=False):
            yield found.path


def device_nodes(_: Rule, tree: Tree) -> Iterator[str]:
    """Character and block devices, sockets and pipes, but for what mmdebstrap puts into /dev (never packed)."""
    for found in tree.found:
        ordinary = found.is_file or found.is_folder or found.is_link
        if not ordinary and not found.path.startswith("dev/"):
            yield found.path


def missing_paths(rule: Rule, tree: Tree) -> Iterator[str]:
    """Patterns that nothing in the tree matches."""
    for pattern in rule.patterns:
        matcher = re.compile(translate(pattern))
        if not any(matcher.fullmatch(found.path) for found in tree.found):
            yield pattern


def _is_mask(tree: Tree, found: Found) -> bool:
    return found.is_link and tree.target(found) == "/dev/null"


def _unlocked(fields: list[str]) -> bool:
    return len(fields) < 2 or not fields[1].startswith(("*", "!"))


def _second_root(fields: list[str]) -> bool:
    return len(fields) < 3 or (fields[0] != "root" and (not fields[2].isdigit() or int(fields[2]) == 0))


def _has_shell(fields: list[str]) -> bool:
    return len(fields) < 7 or fields[6] not in NO_LOGIN


_ACCOUNTS: Mapping[str, tuple[str, str, Callable[[list[str]], bool]]] = {
    "unlocked": ("has no locked password", "etc/shadow", _unlocked),
    "second-root": ("is root under another name", "etc/passwd", _second_root),
    "shell": ("has a shell", "etc/passwd", _has_shell),
}

CHECKS: Mapping[str, Callable[[Rule, Tree], Iterator[str]]] = {
    "path": forbidden_paths,
    "unit": forbidden_units,
    "content": forbidden_contents,
    "account": forbidden_accounts,
    "mode": forbidden_modes,
    "capability": file_capabilities,
    "device": device_nodes,
    "required": missing_paths,
    "unlisted": unlisted,
    "unmatched": unmatched,
}
