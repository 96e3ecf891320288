"""The erofs file system, as mkfs.erofs makes it for our images: superblock, inodes, folders.

On-disk format: Linux' Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h. What our images do not use
(extended attributes that are read, fragments, chunks, deduplication, more devices) is refused, not guessed.

Whoever publishes an image writes what its inodes say, so a size is a claim: it is held against the device before
anything is read or built of it, and what is long is given in pieces.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from provisioner.contents import clusters
from provisioner.contents.entry import PartEntry
from provisioner.contents.verity import BLOCK, Blocks
from provisioner.errors import BakeError, NotInImageError

_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQ")
_SUPER_AT = 1024
_MAGIC = 0xE0F5E1E2
_BLOCK_BITS = 12
_PADDED_LZ4 = 0x1
_SLOT = 32
_COMPACT = struct.Struct("<HHHHIIIIHHI")
_EXTENDED = struct.Struct("<HHHHQIIIIQII")
_DIRENT = struct.Struct("<QHBB")
_PLAIN, _FULL, _INLINE, _PACKED = 0, 1, 2, 3
# What a byte of LZ4 can stand for.
_MOST_LZ4 = 255
_MAX_FOLDER = 1 << 24
_MAX_ENTRIES = 2_000_000
_MAX_PATH = 4096
# Of all paths together, in characters, each of which may take four bytes of memory.
_MAX_PATHS = 1 << 26
# How many times the device files of several names may be read again: Debian has a few such, of some megabytes.
_MOST_AGAIN = 16


@dataclass(frozen=True, slots=True)
class Inode:
    """An inode; ``body`` is where what follows its header begins: the contents' tail, or the map of clusters."""

    nid: int
    mode: int
    size: int
    layout: int
    start: int
    uid: int
    gid: int
    links: int
    body: int

    @property
    def is_compressed(self) -> bool:
        """Say whether its blocks are compressed."""
        return self.layout in (_FULL, _PACKED)

    @property
    def claim(self) -> int:
        """How many blocks it says are its own; the end of contents that lie beside the inode is in none of these."""
        if not _has_contents(self.mode) or not self.size:
            return 0
        if self.is_compressed:
            return self.start  # of a compressed file this field is their number, and the map says where they are
        return self.size // BLOCK if self.layout == _INLINE else -(-self.size // BLOCK)


@dataclass(frozen=True, slots=True)
class Erofs:
    """A file system over blocks."""

    blocks: Blocks
    meta: int
    root: int

    def walk(self) -> Iterator[PartEntry]:
        """Yield every entry but the root itself, in order of path.

        All inodes together claim no more blocks than there are: two of them share a block only under the feature
        "dedupe", which is refused. A file of many names is read once for each, which has a bound of its own.

        Raises:
            BakeError: the file system is malformed, or claims more than there is.
        """
        seen: set[int] = set()
        pending = [("/", self.root)]
        count, room = 0, _MAX_PATHS
        left, again = self.blocks.count, self.blocks.count * _MOST_AGAIN
        while pending:
            path, nid = pending.pop()
            inode = self._inode(nid)
            if nid not in seen:
                left -= inode.claim
            elif stat.S_ISDIR(inode.mode):
                raise BakeError(f"erofs: {path} is a folder that was met before")
            else:
                again -= inode.claim
            if left < 0 or again < 0:
                more = "more blocks are claimed" if left < 0 else f"{_MOST_AGAIN} times more blocks have further names"
                raise BakeError(f"erofs: with {path} {more} than the {self.blocks.count} that there are")
            seen.add(nid)
            if path != "/":
                yield self._entry(path, inode)
            if stat.S_ISDIR(inode.mode):
                pending += (children := self._below(path, inode, room))
                count += len(children)
                room -= sum(len(inner) for inner, _ in children)
            if count > _MAX_ENTRIES:
                raise BakeError(f"erofs: {path} has one entry too many, after {_MAX_ENTRIES} that were met before")

    def find(self, path: str) -> PartEntry:
        """Return the entry of an absolute path; links on the way are followed, the last one is not.

        Raises:
            NotInImageError: there is none.
            BakeError: the file system is malformed.
        """
        return self._entry("/" + path.strip("/"), self._inode(self._lookup(path, limit=16)))

    def _lookup(self, path: str, *, limit: int) -> int:
        nid, done = self.root, ""
        names = [name for name in path.split("/") if name not in ("", ".")]
        for index, name in enumerate(names):
            inode = self._inode(nid)
            if stat.S_ISLNK(inode.mode) and limit:
                target = self._entry(done, inode).target
                rest = "/".join(names[index:])
                above = "" if target.startswith("/") else done.rpartition("/")[0]
                return self._lookup(_plain(f"{above}/{target}/{rest}"), limit=limit - 1)
            found = self._children(inode) if stat.S_ISDIR(inode.mode) else {}
            if name not in found:
                raise NotInImageError(f"there is no /{'/'.join(names)} in the image")
            nid, done = found[name], f"{done}/{name}"
        return nid

    def _entry(self, path: str, inode: Inode) -> PartEntry:
        return PartEntry(
            path=path,
            mode=inode.mode,
            size=inode.size,
            pieces=partial(self._contents, inode),
            uid=inode.uid,
            gid=inode.gid,
            links=inode.links,
            device=_device(inode.start) if stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode) else (0, 0),
            where=partial(self._where, inode),
        )

    def _where(self, inode: Inode) -> tuple[range, ...]:
        """Return the blocks that hold a file's contents, or its inode where the contents lie beside that."""
        if inode.is_compressed and inode.size:
            return tuple(range(block, block + 1) for block in sorted({one.block for one in self._clusters(inode)}))
        kept = (range(inode.start, inode.start + inode.claim),) if inode.claim else ()
        beside = inode.body // BLOCK
        return kept if inode.layout == _PLAIN and kept else (*kept, range(beside, beside + 1))

    def _contents(self, inode: Inode) -> Iterator[bytes]:
        if _has_contents(inode.mode) and not stat.S_ISDIR(inode.mode) and inode.size:
            yield from self._raw(inode)

    def _raw(self, inode: Inode) -> Iterator[bytes]:
        """Yield what an inode holds, in pieces of what one block can stand for."""
        if inode.is_compressed:
            yield from clusters.read(self._clusters(inode), inode.size, self.blocks.read)
            return
        for at, index in enumerate(range(inode.start, inode.start + inode.claim)):
            yield self.blocks.read(index)[: inode.size - at * BLOCK]
        tail = inode.size % BLOCK if inode.layout == _INLINE else 0
        if tail and inode.body % BLOCK + tail > BLOCK:
            raise BakeError(f"erofs: the tail of inode {inode.nid} crosses a block")
        if tail:
            yield self._at(inode.body, tail)

    def _clusters(self, inode: Inode) -> tuple[clusters.Cluster, ...]:
        return clusters.clusters(self._at, inode.body, inode.size, inode.claim, packed=inode.layout == _PACKED)

    def _below(self, path: str, inode: Inode, room: int) -> list[tuple[str, int]]:
        """Return the paths in a folder with their inodes, the last first; they have room for so many characters."""
        above = path.rstrip("/")
        found = self._children(inode)
        lengths = [len(above) + 1 + len(name) for name in found]
        if max(lengths, default=0) > _MAX_PATH:
            raise BakeError(f"erofs: {above[:_MAX_PATH]} has a path of more than {_MAX_PATH} characters in it")
        if sum(lengths) > room:
            more = f"more than {_MAX_PATHS} characters, with what was met before"
            raise BakeError(f"erofs: the paths in {above or path} have {more}")
        return [(f"{above}/{name}", child) for name, child in sorted(found.items(), reverse=True)]

    def _children(self, inode: Inode) -> dict[str, int]:
        """Return what a folder has under each name.

        Linux searches the names as ordered ones, and finds another inode than whoever reads them all, or none, where
        they are not. Two names that are the same when they are written out cannot be told apart either.
        """
        if inode.size > _MAX_FOLDER:
            raise BakeError(f"erofs: inode {inode.nid} is a folder of {inode.size} bytes")
        data = b"".join(self._raw(inode))
        found: dict[str, int] = {}
        last = b""
        for start in range(0, len(data), BLOCK):
            for raw, child in _dirents(data[start : start + BLOCK], inode.nid):
                name = raw.decode("utf-8", "backslashreplace")
                if raw <= last or name in found:
                    raise BakeError(f"erofs: the folder of inode {inode.nid} has {name!r} twice, or out of order")
                last = raw
                found[name] = child
        found.pop(".", None)
        found.pop("..", None)
        return found

    def _inode(self, nid: int) -> Inode:
        place = self.meta * BLOCK + nid * _SLOT
        (form,) = struct.unpack("<H", self._at(place, 2))
        layout = form >> 1 & 7
        if form & 1:
            _, xattrs, mode, _, size, start, _, uid, gid, _, _, links = _EXTENDED.unpack(
                self._at(place, _EXTENDED.size)
            )
            header = 64
        else:
            _, xattrs, mode, links, size, _, start, _, uid, gid, _ = _COMPACT.unpack(self._at(place, _COMPACT.size))
            header = _SLOT
        if layout not in (_PLAIN, _FULL, _INLINE, _PACKED):
            raise BakeError(f"erofs: inode {nid} has the layout {layout}, which our images do not use")
        body = place + header + (12 + 4 * (xattrs - 1) if xattrs else 0)
        inode = Inode(nid, mode, size, layout, start, uid, gid, links, body)
        _require_inside(inode, self.blocks.count)
        return inode

    def _at(self, offset: int, size: int) -> bytes:
        """Return bytes by their place in the file system, across blocks."""
        first, last = offset // BLOCK, (offset + size - 1) // BLOCK
        data = b"".join(self.blocks.read(index) for index in range(first, last + 1))
        return data[offset - first * BLOCK :][:size]


def open_erofs(blocks: Blocks) -> Erofs:
    """Read a file system's superblock.

    Raises:
        BakeError: there is none, or it has what our images do not use.
    """
    fields = _SUPER.unpack(blocks.read(0)[_SUPER_AT : _SUPER_AT + _SUPER.size])
    magic, _, _, bits, extra, root, _, _, _, _, meta, _, _, _, incompatible, _, devices, *_ = fields
    if magic != _MAGIC:
        raise BakeError("erofs: there is no file system (another magic number)")
    if bits != _BLOCK_BITS or extra or devices or incompatible & ~_PADDED_LZ4:
        what = f"2^{bits}-byte blocks, {devices} more devices, features {incompatible:#x}"
        raise BakeError(f"erofs: the file system has what our images do not use: {what}")
    return Erofs(blocks, meta, root)


def _require_inside(inode: Inode, count: int) -> None:
    """Refuse an inode that claims blocks that a device of ``count`` has not, or bytes that its blocks cannot hold."""
    end = inode.claim if inode.is_compressed else inode.start + inode.claim
    if inode.claim and end > count:
        raise BakeError(f"erofs: inode {inode.nid} claims blocks up to {end}, of {count} that there are")
    most = inode.claim * BLOCK * _MOST_LZ4
    if inode.is_compressed and _has_contents(inode.mode) and inode.size > most:
        raise BakeError(f"erofs: inode {inode.nid} has {inode.size} bytes, more than its {inode.claim} blocks can hold")


def _plain(path: str) -> str:
    """Take the dots out of a path."""
    kept: list[str] = []
    for name in path.split("/"):
        if name == "..":
            kept[-1:] = []
        elif name not in ("", "."):
            kept.append(name)
    return "/".join(kept)


def _has_contents(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)


def _device(number: int) -> tuple[int, int]:
    """Take a device number apart as Linux' new_decode_dev does."""
    return number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00


def _dirents(block: bytes, nid: int) -> Iterator[tuple[bytes, int]]:
    first = int.from_bytes(block[8:10], "little")
    if first < _DIRENT.size or first % _DIRENT.size or first > len(block):
        raise BakeError(f"erofs: the folder of inode {nid} is malformed")
    found = [_DIRENT.unpack_from(block, at) for at in range(0, first, _DIRENT.size)]
    ends = [place for _, place, _, _ in found[1:]] + [len(block)]
    for (child, place, _, _), end in zip(found, ends, strict=True):
        name = block[place:end].split(b"\0", 1)[0]
        if not first <= place < end <= len(block) or not name or b"/" in name:
            raise BakeError(f"erofs: the folder of inode {nid} has a malformed name")
        yield name, child
