"""The erofs file system, as mkfs.erofs makes it for our images: superblock, inodes, folders.

On-disk format: Linux' Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h. What our images do not use
(extended attributes that are read, fragments, chunks, more devices) is refused, not guessed.
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


@dataclass(frozen=True, slots=True)
class Erofs:
    """A file system over blocks."""

    blocks: Blocks
    meta: int
    root: int

    def walk(self) -> Iterator[PartEntry]:
        """Yield every entry but the root itself, in order of path.

        Raises:
            BakeError: the file system is malformed.
        """
        seen: set[int] = set()
        pending = [("/", self.root)]
        count = 0
        while pending:
            path, nid = pending.pop()
            inode = self._inode(nid)
            if path != "/":
                yield self._entry(path, inode)
            if stat.S_ISDIR(inode.mode):
                if nid in seen or (count := count + 1) > _MAX_ENTRIES:
                    raise BakeError(f"erofs: {path} is a folder that was met before, or one too many")
                seen.add(nid)
                children = sorted(self._children(inode), reverse=True)
                pending += [(f"{path.rstrip('/')}/{name}", child) for name, child in children]

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
                target = self._contents(inode).decode("utf-8", "replace")
                rest = "/".join(names[index:])
                above = "" if target.startswith("/") else done.rpartition("/")[0]
                return self._lookup(_plain(f"{above}/{target}/{rest}"), limit=limit - 1)
            found = dict(self._children(inode)) if stat.S_ISDIR(inode.mode) else {}
            if name not in found:
                raise NotInImageError(f"there is no /{'/'.join(names)} in the image")
            nid, done = found[name], f"{done}/{name}"
        return nid

    def _entry(self, path: str, inode: Inode) -> PartEntry:
        return PartEntry(
            path=path,
            mode=inode.mode,
            size=inode.size,
            read=partial(self._contents, inode),
            uid=inode.uid,
            gid=inode.gid,
            links=inode.links,
            device=_device(inode.start) if stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode) else (0, 0),
            blocks=self._where(inode),
        )

    def _where(self, inode: Inode) -> tuple[int, ...]:
        """Return the blocks that hold a file's contents, or its inode where the contents lie beside that."""
        if inode.layout in (_FULL, _PACKED) and inode.size:
            return tuple(sorted({one.block for one in self._clusters(inode)}))
        whole = inode.size // BLOCK if inode.layout == _INLINE else -(-inode.size // BLOCK)
        kept = range(inode.start, inode.start + whole) if _has_contents(inode.mode) else ()
        return (*kept, *(() if inode.layout == _PLAIN and kept else (inode.body // BLOCK,)))

    def _contents(self, inode: Inode) -> bytes:
        if not _has_contents(inode.mode) or stat.S_ISDIR(inode.mode) or not inode.size:
            return b""
        return self._raw(inode)

    def _raw(self, inode: Inode) -> bytes:
        if inode.layout in (_FULL, _PACKED):
            return clusters.read(self._clusters(inode), inode.size, self.blocks.read)
        if inode.layout == _PLAIN:
            blocks = range(inode.start, inode.start - (-inode.size // BLOCK))
            return b"".join(map(self.blocks.read, blocks))[: inode.size]
        whole = inode.size // BLOCK
        tail = inode.size % BLOCK
        parts = [self.blocks.read(index) for index in range(inode.start, inode.start + whole)]
        if tail and inode.body % BLOCK + tail > BLOCK:
            raise BakeError(f"erofs: the tail of inode {inode.nid} crosses a block")
        return b"".join((*parts, self._at(inode.body, tail)))

    def _clusters(self, inode: Inode) -> tuple[clusters.Cluster, ...]:
        return clusters.clusters(self._at, inode.body, inode.size, packed=inode.layout == _PACKED)

    def _children(self, inode: Inode) -> Iterator[tuple[str, int]]:
        if inode.size > _MAX_FOLDER:
            raise BakeError(f"erofs: inode {inode.nid} is a folder of {inode.size} bytes")
        data = self._raw(inode)
        for start in range(0, len(data), BLOCK):
            yield from _dirents(data[start : start + BLOCK], inode.nid)

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
        most = self.blocks.count * BLOCK * (_MOST_LZ4 if layout in (_FULL, _PACKED) else 1)
        if size > most and _has_contents(mode):
            raise BakeError(f"erofs: inode {nid} has {size} bytes, more than fit into the file system")
        body = place + header + (12 + 4 * (xattrs - 1) if xattrs else 0)
        return Inode(nid, mode, size, layout, start, uid, gid, links, body)

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


def _dirents(block: bytes, nid: int) -> Iterator[tuple[str, int]]:
    first = int.from_bytes(block[8:10], "little")
    if first < _DIRENT.size or first % _DIRENT.size or first > len(block):
        raise BakeError(f"erofs: the folder of inode {nid} is malformed")
    found = [_DIRENT.unpack_from(block, at) for at in range(0, first, _DIRENT.size)]
    ends = [place for _, place, _, _ in found[1:]] + [len(block)]
    for (child, place, _, _), end in zip(found, ends, strict=True):
        name = block[place:end].split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
        if not first <= place < end <= len(block) or not name or "/" in name:
            raise BakeError(f"erofs: the folder of inode {nid} has a malformed name")
        if name not in (".", ".."):
            yield name, child
