"""Two images side by side: which files differ inside the UKI, the initrd and the root, and how.

The published image is read under its own root hash, the rebuilt one under its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from provisioner.audit.finding import Finding
from provisioner.contents.entry import PartEntry, PartName
from provisioner.contents.image import Contents, open_contents
from provisioner.errors import BakeError, MeasureError
from provisioner.image.artefacts import FILES

_ABSENT = "no such file"
_SHOWN = 20
_BLOCK = 1 << 20
_MAX_READ = 1 << 30  # of a file that differs, to show how
How = Callable[[str, bytes, bytes], tuple[str, ...]]


def compare_images(published: Path, rebuilt: Path, *, how: How) -> Iterator[Finding]:
    """Yield what differs between two image folders, down to the file; nothing where uki.efi and boot.raw are equal.

    Raises:
        BakeError: one of them cannot be read.
        MeasureError: one of them is malformed.
    """
    apart = {name: first_difference(published / name, rebuilt / name) for name in (FILES["uki"], FILES["boot_disk"])}
    if all(at is None for at in apart.values()):
        return
    ours, theirs = open_contents(rebuilt), open_contents(published)
    count = 0
    for name in (PartName.UKI, PartName.INITRD, PartName.ROOT):
        for finding in _compare(name, theirs, ours, how if count < _SHOWN else _silent):
            count += 1
            yield finding
    for file, at in apart.items():
        if at is not None:
            words = ("see the files above",) if count else ("every file inside is equal: only their layout differs",)
            yield Finding(file, f"other bytes from {at:#x} on", "those of the rebuild", words)


def first_difference(one: Path, other: Path) -> int | None:
    """Return the first byte in which two files differ, None where they are equal.

    Raises:
        BakeError: one cannot be read.
    """
    try:
        with one.open("rb") as first, other.open("rb") as second:
            at = 0
            while True:
                left, right = first.read(_BLOCK), second.read(_BLOCK)
                if left != right:
                    return at + difference(left, right)
                if not left:
                    return None
                at += len(left)
    except OSError as error:
        raise BakeError(f"cannot read {error.filename}: {error.strerror}") from error


def difference(left: bytes, right: bytes) -> int:
    """Return the first place in which two byte strings differ."""
    common = min(len(left), len(right))
    low, high = 0, common
    while low < high:
        middle = (low + high + 1) // 2
        if left[:middle] == right[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _silent(_: str, __: bytes, ___: bytes) -> tuple[str, ...]:
    return ("not shown: there are many",)


def _compare(name: PartName, theirs: Contents, ours: Contents, how: How) -> Iterator[Finding]:
    try:
        before = {entry.path: entry for entry in theirs.part(name).walk()}
    except (BakeError, MeasureError) as error:
        yield Finding(f"{name} of the published image", "an image that can be read", str(error))
        return
    after = {entry.path: entry for entry in ours.part(name).walk()}
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old is None or new is None:
            yield Finding(f"{name}:{path}", _about(old), _about(new))
        # What is packed into a section of its own is compared there, file by file.
        elif path != "/.initrd":
            yield from _compare_entry(f"{name}:{path}", old, new, how)


def _compare_entry(where: str, old: PartEntry, new: PartEntry, how: How) -> Iterator[Finding]:
    left, right = _attributes(old), _attributes(new)
    if left != right:
        yield Finding(where, left, right)
    if old.is_folder or new.is_folder:
        return
    try:
        before = old.sha256()
    except BakeError as error:
        yield Finding(where, "contents that the root hash names", str(error))
        return
    after = new.sha256()
    if before != after:
        yield Finding(where, _hashed(before, old), _hashed(after, new), _how(where, old, new, how))


def _how(where: str, old: PartEntry, new: PartEntry, how: How) -> tuple[str, ...]:
    if max(old.size, new.size) > _MAX_READ:
        return (f"not shown: one of them has more than {_MAX_READ} bytes",)
    return how(where, old.read(), new.read())


def _about(entry: PartEntry | None) -> str:
    return _ABSENT if entry is None else f"{_attributes(entry)}, {entry.size} bytes"


def _attributes(entry: PartEntry) -> str:
    node = f", device {entry.device[0]}:{entry.device[1]}" if any(entry.device) else ""
    return f"mode {entry.mode:06o}, owner {entry.uid}:{entry.gid}, {entry.links} link(s){node}"


def _hashed(sha256: str, entry: PartEntry) -> str:
    return f"sha256 {sha256}, {entry.size} bytes"
