"""Writing a cpio archive in the "newc" form that the kernel unpacks: fixed inodes, times and owners, given order."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

from provisioner.errors import BakeError

_TRAILER = "TRAILER!!!"
_MAX_FIELD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: a folder, a file, a symbolic link (its target is the data) or a character device."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(path: str, mode: int = 0o755) -> Entry:
    """Make a folder entry."""
    return Entry(path, stat.S_IFDIR | mode)


def file(path: str, data: bytes, mode: int = 0o644) -> Entry:
    """Make a file entry."""
    return Entry(path, stat.S_IFREG | mode, data)


def link(path: str, target: str) -> Entry:
    """Make a symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int, mode: int) -> Entry:
    """Make a character device node."""
    return Entry(path, stat.S_IFCHR | mode, device=(major, minor))


def write_cpio(entries: Iterable[Entry]) -> bytes:
    """Write an archive; inodes count from 1 in the order given, all times are 0.

    Raises:
        BakeError: a path is absolute, empty, leaves the archive, stands twice or precedes its folder.
    """
    parts = []
    seen: set[str] = {""}
    number = 0
    for number, entry in enumerate(entries, start=1):
        _check_path(entry, seen)
        seen.add(entry.path)
        parts.append(_member(entry, number))
    parts.append(_member(Entry(_TRAILER, 0), 0))
    return b"".join(parts)


def _check_path(entry: Entry, seen: set[str]) -> None:
    segments = entry.path.split("/")
    if not entry.path or any(segment in ("", ".", "..") for segment in segments):
        raise BakeError(f"initrd: {entry.path!r} is not a plain relative path")
    if entry.path in seen:
        raise BakeError(f"initrd: {entry.path} stands twice")
    if "/".join(segments[:-1]) not in seen:
        raise BakeError(f"initrd: {entry.path} comes before its folder")
    if len(entry.data) > _MAX_FIELD:
        raise BakeError(f"initrd: {entry.path} is too large")


def _member(entry: Entry, inode: int) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, major, minor, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
