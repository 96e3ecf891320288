"""File systems whose inodes say what they like: a hostile publisher computes the root hash over anything."""

from __future__ import annotations

import stat
import struct
import tracemalloc
from dataclasses import dataclass

import pytest

from client_sdk.manifest import MAX_SIZE
from provisioner.contents import erofs
from provisioner.contents.entry import MAX_WHOLE, PartEntry
from provisioner.contents.erofs import open_erofs
from provisioner.contents.packages import read_packages
from provisioner.contents.verity import BLOCK
from provisioner.errors import BakeError
from provisioner.image.artefacts import MANIFEST

PLAIN, FULL, INLINE, PACKED = 0, 1, 2, 3
FILE, FOLDER, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
INODES = 3  # the block in which the first inode beside the root lies; each has a block of its own
SMALL = 8 << 20


@dataclass(frozen=True)
class Device:
    """Blocks of which only the first were written; all others are zeros, however many there are."""

    data: bytes
    count: int

    def read(self, index):
        if not 0 <= index < self.count:
            raise BakeError("no such block")
        return self.data[index * BLOCK : (index + 1) * BLOCK].ljust(BLOCK, b"\0")


def inode(mode, size, *, start=0, layout=PLAIN, beside=b""):
    """Write an inode with what lies beside it."""
    fields = (1 | layout << 1, 0, mode, 0, size, start, 1, 0, 0, 0, 0, 1)
    return struct.pack("<HHHHQIIIIQII16x", *fields) + beside


def dirents(names, child):
    """Write a block of a folder with these names, in this order, all of which lead to one inode."""
    return _dirents([(name, child) for name in names])


def _dirents(rows):
    first = 12 * len(rows)
    names, heads = b"", b""
    for name, child in rows:
        heads += struct.pack("<QHBB", child, first + len(names), 0, 0)
        names += name
    return heads + names


def folder(children):
    """Write a folder as mkfs.erofs does, with the names in order."""
    data = _dirents(sorted((name.encode(), child) for name, child in children.items()))
    return inode(FOLDER, len(data), layout=INLINE, beside=data)


def nid(number):
    """Return the number of the inode that lies in a block of its own."""
    return (INODES - 1 + number) * BLOCK // 32


def device(inodes, names=None, *, count=64, features=1):
    """Write a file system whose root has these inodes in it, by default each under its number."""
    children = {str(n): nid(n) for n in range(len(inodes))} if names is None else names
    head = (0xE0F5E1E2, 0, 0, 12, 0, 0, 0, 0, 0, 0, 1, 0, bytes(16), bytes(16), features, 0, 0, 0, 0, 0, 0, 0)
    superblock = bytes(1024) + struct.pack("<IIIBBHQQIIII16s16sIHHHBBIQ", *head)
    blocks = [superblock, folder(children), b"", *inodes]
    return Device(b"".join(block.ljust(BLOCK, b"\0") for block in blocks), count)


def walk(*words, **more):
    return list(open_erofs(device(*words, **more)).walk())


def full_map(*blocks):
    """Write a map that says of each cluster that a compressed block begins in it, and which."""
    return bytes(16) + b"".join(struct.pack("<HHI", 1, 0, block) for block in blocks)


@pytest.mark.parametrize(
    ("mode", "layout", "size", "start"),
    [
        (FILE, PLAIN, BLOCK, 64),
        (FILE, PLAIN, 2 * BLOCK, 63),
        (FILE, PLAIN, 64 * BLOCK + 1, 0),
        (FILE, PLAIN, 1 << 60, 0),
        (FILE, PLAIN, (1 << 64) - 1, (1 << 32) - 1),
        (FILE, INLINE, BLOCK + 1, 64),
        (FOLDER, PLAIN, BLOCK, 64),
        (LINK, PLAIN, BLOCK, 64),
        (FILE, FULL, BLOCK, 65),
        (FILE, PACKED, BLOCK, (1 << 32) - 1),
    ],
)
def test_an_inode_that_claims_blocks_outside_the_device_is_refused(mode, layout, size, start):
    with pytest.raises(BakeError, match=r"inode \d+ claims blocks up to \d+, of 64 that there are"):
        walk([inode(mode, size, start=start, layout=layout)])


@pytest.mark.parametrize("start", [0, 1])
def test_a_compressed_file_that_is_longer_than_its_blocks_can_hold_is_refused(start):
    size = start * 255 * BLOCK + 1
    with pytest.raises(BakeError, match=f"{size} bytes, more than its {start} blocks can hold"):
        walk([inode(FILE, size, start=start, layout=FULL)])


def test_inodes_that_claim_the_same_blocks_again_and_again_are_refused():
    """Each of them is inside the device; whoever reads them all would read it as many times as there are inodes."""
    with pytest.raises(BakeError, match=r"with /\d more blocks are claimed than the 64 that there are"):
        walk([inode(FILE, 40 * BLOCK, start=8), inode(FILE, 40 * BLOCK, start=8)])
    with pytest.raises(BakeError, match="more blocks are claimed than the 64"):
        walk([inode(FILE, BLOCK, start=40, layout=FULL)] * 2)
    assert len(walk([inode(FILE, 30 * BLOCK, start=8), inode(FILE, 34 * BLOCK, start=8)])) == 2


def test_a_file_of_many_names_claims_its_blocks_once():
    names = {f"name {number}": nid(0) for number in range(9)}
    assert len(walk([inode(FILE, 40 * BLOCK, start=8)], names)) == 9


def test_a_large_file_of_as_many_names_as_fit_is_refused():
    """Whoever hashes every entry would read it once for each name."""
    names = {f"name {number}": nid(0) for number in range(40)}
    with pytest.raises(BakeError, match="16 times more blocks have further names than the 64 that there are"):
        walk([inode(FILE, 40 * BLOCK, start=8)], names)


def test_a_file_system_that_shares_blocks_by_deduplication_is_refused():
    """Under this feature two files may claim one block, so that the bound would not be one."""
    with pytest.raises(BakeError, match="features 0x21"):
        walk([], features=0x21)


def peak(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("layout", [PLAIN, INLINE])
def test_a_claim_of_millions_of_blocks_takes_no_memory(layout):
    count = 1 << 21
    found = device([inode(FILE, (count - 64) * BLOCK + 5, start=8, layout=layout)], count=count)

    def places():
        (entry,) = open_erofs(found).walk()
        assert entry.where()[0].start == 8
        assert sum(map(len, entry.where())) == count - 63

    assert peak(places) < SMALL


def test_a_long_file_is_hashed_in_pieces():
    (entry,) = walk([inode(FILE, 4096 * BLOCK, start=8)], count=8192)
    assert peak(entry.sha256) < SMALL


@pytest.mark.parametrize("layout", [FULL, PACKED])
def test_a_map_with_more_blocks_than_its_inode_claims_is_refused(layout):
    """The map costs two bytes a block, and what is built of it a hundred."""
    beside = full_map(*range(8, 40)) if layout == FULL else bytes(2048)
    claimed = inode(FILE, 32 * BLOCK, start=2, layout=layout, beside=beside)
    (entry,) = walk([claimed])
    for ask in (entry.where, entry.read, entry.sha256):
        with pytest.raises(BakeError, match="more blocks than the 2 that its inode claims"):
            ask()


def test_a_map_that_is_longer_than_the_device_is_not_read_in_one_piece():
    count = 1 << 14
    claimed = inode(FILE, count * 254 * BLOCK, start=count, layout=FULL, beside=full_map(8))
    (entry,) = walk([claimed], count=count)

    def ask():
        with pytest.raises(BakeError, match="erofs: "):
            entry.where()

    assert peak(ask) < 2 * SMALL


def test_what_is_too_long_to_be_held_is_not_read():
    def pieces():
        pytest.fail("it was read")

    entry = PartEntry("/long", FILE, MAX_WHOLE + 1, pieces)
    with pytest.raises(BakeError, match=f"/long has {MAX_WHOLE + 1} bytes, and what it is read as has at most"):
        entry.read()


@pytest.mark.parametrize("size", [4096, 8 * BLOCK])
def test_a_link_whose_target_is_no_path_is_refused(size):
    (entry,) = walk([inode(LINK, size, start=8)])
    with pytest.raises(BakeError, match=f"/0 has {size} bytes"):
        assert entry.target
    with pytest.raises(BakeError, match=f"/0 has {size} bytes"):
        open_erofs(device([inode(LINK, size, start=8)])).find("/0/inner")


def test_folders_that_hold_more_entries_than_any_image_are_refused(monkeypatch):
    """Two folders may say that the same block is their own, and each name in it is an entry of both."""
    monkeypatch.setattr(erofs, "_MAX_ENTRIES", 5)
    files = {f"name {number}": nid(0) for number in range(3)}
    with pytest.raises(BakeError, match="one entry too many, after 5"):
        walk([inode(FILE, 0), folder(files), folder(files)])


def test_a_path_that_no_system_opens_is_refused():
    inner = folder({"b" * 300: nid(1)})
    with pytest.raises(BakeError, match="a path of more than 4096 characters"):
        walk([inner, inode(FILE, 0)], {"a" * 3900: nid(0)})


def test_paths_that_are_together_longer_than_any_images_are_refused(monkeypatch):
    """Each is short enough, and so is their number: under a long name many short ones take a gigabyte."""
    monkeypatch.setattr(erofs, "_MAX_PATHS", 20_000)
    many = folder({f"{number:02}": nid(1) for number in range(12)})
    found = [many, inode(FILE, 0), many]
    assert len(walk(found, {"a" * 800: nid(0), "b" * 600: nid(2)})) == 26
    with pytest.raises(BakeError, match=r"/b+ have more than 20000 characters, with what was met before"):
        walk(found, {"a" * 800: nid(0), "b" * 900: nid(2)})


def test_paths_that_are_too_long_together_are_not_made_before_they_are_refused(monkeypatch):
    child, data = nid(0), b""
    for block in range(40):
        data += dirents([b"%02d%03d" % (block, number) for number in range(240)], child).ljust(BLOCK, b"\0")
    long = inode(FOLDER, len(data), start=8)
    made = device([inode(FILE, 0), long], {"a" * 3900: nid(1)})
    made = Device(made.data.ljust(8 * BLOCK, b"\0") + data, 64)
    assert len(list(open_erofs(made).walk())) == 9601

    monkeypatch.setattr(erofs, "_MAX_PATHS", 9600 * 3900)

    def ask():
        with pytest.raises(BakeError, match="characters, with what was met"):
            list(open_erofs(made).walk())

    assert peak(ask) < SMALL


@pytest.mark.parametrize(
    "blocks",
    [
        ([b"init", b"init"],),
        ([b"b", b"a"],),
        ([b"a", b"c", b"b"],),
        ([b".", b"..", b"!"],),
        ([b"..", b"."],),
        ([b"Z", b"a", b"B"],),
        ([b"\xff", b"\xc3\xa4"],),
        ([b"a", b"init"], [b"init", b"z"]),
        ([b"m", b"n"], [b"a", b"b"]),
        ([b"\\xff", b"\xff"],),
    ],
    ids=[
        "twice",
        "backwards",
        "later",
        "dots",
        "dot after dots",
        "case",
        "bytes",
        "in two blocks",
        "blocks",
        "written",
    ],
)
def test_names_that_repeat_or_are_out_of_order_are_refused(blocks):
    """Linux searches a folder as an ordered one: it may run another file of a name than the one that is shown."""
    data = b"".join(dirents(names, nid(0)).ljust(BLOCK, b"\0") for names in blocks)
    made = device([inode(FILE, 0), inode(FOLDER, len(data), start=8)], {"folder": nid(1)})
    found = open_erofs(Device(made.data.ljust(8 * BLOCK, b"\0") + data, 64))
    with pytest.raises(BakeError, match=r"has '.+' twice, or out of order"):
        list(found.walk())
    with pytest.raises(BakeError, match=r"has '.+' twice, or out of order"):
        found.find("/folder/init")


def test_names_are_in_order_as_bytes_with_the_folder_and_the_one_above_among_them():
    names = [b"!", b"-x", b".", b"..", b"...", b".a", b"A", b"a", b"a b", b"ab", "ä".encode(), b"\xff"]
    data = dirents(names, nid(0))
    made = device([inode(FILE, 0), inode(FOLDER, len(data), start=0, layout=INLINE, beside=data)], {"f": nid(1)})
    found = [entry.path.removeprefix("/f/") for entry in open_erofs(made).walk()][1:]
    assert set(found) == {"!", "-x", "...", ".a", "A", "a", "a b", "ab", "ä", "\\xff"}


def test_a_manifest_that_is_larger_than_any_of_ours_is_not_read(tmp_path):
    with (tmp_path / MANIFEST).open("wb") as file:
        file.truncate(MAX_SIZE + 1)
    with pytest.raises(BakeError, match=f"{MANIFEST} has more than {MAX_SIZE} bytes"):
        read_packages(tmp_path)
