"""LZ4, cpio, verity and units on bytes that are made here, each as it can be wrong."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.contents.cpio import read_cpio
from provisioner.contents.entry import PartEntry
from provisioner.contents.image import split
from provisioner.contents.lz4 import decompress
from provisioner.contents.units import find_unit, read_units
from provisioner.contents.unpacked import unpacked
from provisioner.contents.verity import BLOCK, Area, Verity
from provisioner.errors import BakeError, SpecError
from provisioner.image import cpio

SALT = bytes(range(32))


@pytest.mark.parametrize(
    ("block", "made"),
    [
        (b"\x30abc", b"abc"),
        (b"\x32abc\x03\x00", b"abcabcabc"),  # a match that reaches into itself
        (b"\x1fa\x01\x00\x05\x00", b"a" * 25),
        (b"\xf0\x00" + b"x" * 15, b"x" * 15),
        (b"\xf0\xff\x01" + b"x" * 271, b"x" * 271),
    ],
)
def test_lz4_blocks_of_the_documents_kinds(block, made):
    assert decompress(block, len(made)) == made


@pytest.mark.parametrize(
    "block", [b"", b"\x30ab", b"\x02\x01\x00", b"\x12a\x00\x00", b"\x12a\x02\x00", b"\xf0\xff", b"\x12a"]
)
def test_a_malformed_lz4_block_is_refused(block):
    with pytest.raises(BakeError, match="LZ4"):
        decompress(block, 64)


@given(st.binary(max_size=200), st.integers(1, 5000))
def test_whatever_lz4_is_given_ends_in_bytes_of_that_size_or_in_our_error(block, size):
    try:
        assert len(decompress(block, size)) == size
    except BakeError:
        pass


def archive():
    return cpio.write_cpio(
        [
            cpio.folder("dev"),
            cpio.character_device("dev/console", 5, 1, 0o600),
            cpio.file("init", b"#!"),
            cpio.link("l", "t"),
        ]
    )


def test_what_the_packing_writes_is_read_back():
    found = {entry.path: entry for entry in read_cpio(archive())}
    assert list(found) == ["/dev", "/dev/console", "/init", "/l"]
    assert (found["/dev/console"].device, found["/init"].read(), found["/l"].target) == ((5, 1), b"#!", "t")


@pytest.mark.parametrize("cut", [0, 50, 111, 115, -4])
def test_an_archive_that_is_cut_short_is_refused(cut):
    with pytest.raises(BakeError, match="cpio"):
        list(read_cpio(archive()[:cut]))


@pytest.mark.parametrize("size", [b"-0000070", b"+0000000", b"0x000000", b"0_000000", b" 0000000", b"0000000g"])
def test_a_size_in_cpio_is_eight_hex_digits_and_leads_no_way_back(size):
    data = cpio.write_cpio([cpio.file("x", b"")])
    found = read_cpio(data[:54] + size + data[62:])
    with pytest.raises(BakeError, match="a malformed entry at 0x0"):
        next(found)


def test_a_link_in_cpio_whose_target_is_no_path_is_refused():
    (found,) = read_cpio(cpio.write_cpio([cpio.link("l", "t" * 4096)]))
    with pytest.raises(BakeError, match="/l has 4096 bytes, and what it is read as has at most 4095"):
        assert found.target


@given(st.binary(max_size=300))
def test_whatever_cpio_is_given_is_read_or_refused(data):
    try:
        list(read_cpio(b"070701" + data))
    except BakeError:
        pass


def test_an_initrd_that_is_no_zstd_or_too_large_is_refused():
    with pytest.raises(BakeError, match="not what zstd unpacks"):
        unpacked(b"no frame")
    # A frame of one raw block: RFC 8878, section 3.1.1.
    frame = b"\x28\xb5\x2f\xfd\x20\x05" + (5 << 3 | 1).to_bytes(3, "little") + b"hello"
    assert unpacked(frame) == b"hello"
    with pytest.raises(BakeError, match="more than 4 bytes"):
        unpacked(frame, limit=4)


def verity(folder: Path, count: int) -> Verity:
    """Hash blocks as the documents say, level by level from below."""
    blocks = [bytes([n % 251]) * BLOCK for n in range(count)]
    levels, below = [], blocks
    while len(below) > 1 or not levels:
        digests = [hashlib.sha256(SALT + block).digest() for block in below]
        below = [b"".join(digests[n : n + 128]).ljust(BLOCK, b"\0") for n in range(0, len(digests), 128)]
        levels.insert(0, below)
    (folder / "data").write_bytes(b"".join(blocks))
    (folder / "tree").write_bytes(b"".join(b"".join(level) for level in levels))
    areas = [Area(folder / name, 0, (folder / name).stat().st_size) for name in ("data", "tree")]
    return Verity(*areas, hashlib.sha256(SALT + levels[0][0]).hexdigest(), SALT, count)


@pytest.mark.parametrize("count", [1, 2, 128, 129, 200])
def test_every_block_is_read_under_the_root_hash(tmp_path, count):
    found = verity(tmp_path, count)
    assert [found.read(n)[0] for n in range(count)] == [n % 251 for n in range(count)]
    steps = list(found.path(count - 1))
    assert steps[-1].digest == found.root_hash
    with pytest.raises(BakeError, match="block"):
        found.read(count)


@pytest.mark.parametrize(
    ("name", "at"), [("data", 5 * BLOCK + 7), ("tree", 3), ("tree", BLOCK + 5 * 32), ("tree", BLOCK)]
)
def test_a_flipped_bit_in_data_or_hash_tree_is_refused(tmp_path, name, at):
    found = verity(tmp_path, 200)
    with (tmp_path / name).open("r+b") as file:
        byte = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), at)
    with pytest.raises(BakeError, match="is not what the root hash"):
        [found.read(n) for n in range(200)]


def test_another_root_hash_or_a_short_file_is_refused(tmp_path):
    found = verity(tmp_path, 3)
    with pytest.raises(BakeError, match="is not what the root hash"):
        Verity(found.data, found.tree, "0" * 64, SALT, 3).read(0)
    (tmp_path / "data").write_bytes(b"short")
    with pytest.raises(BakeError, match="cut short"):
        found.read(1)


def unit_entries(*paths):
    kinds = {"link": stat.S_IFLNK | 0o777, "file": stat.S_IFREG | 0o644}
    return tuple(
        PartEntry(path, kinds["link" if target else "file"], 0, lambda target=target: (target.encode(),))
        for path, target in paths
    )


def test_units_are_found_as_systemd_would():
    lib, etc = "/usr/lib/systemd/system", "/etc/systemd/system"
    found = read_units(
        unit_entries(
            (f"{lib}/a.service", ""),
            (f"{lib}/b@.service", ""),
            (f"{lib}/c.service", ""),
            (f"{etc}/c.service", "/dev/null"),
            (f"{etc}/a.service.d/10-x.conf", ""),
            (f"{lib}/a.service.d/10-x.conf", ""),
            (f"{etc}/multi-user.target.wants/b@one.service", f"{lib}/b@.service"),
            ("/usr/lib/systemd/system-preset/x", ""),
        )
    )
    assert [(unit.name, unit.state) for unit in found] == [
        ("a.service", "static"),
        ("b@.service", "static"),
        ("b@one.service", "started"),
        ("c.service", "masked"),
    ]
    assert [entry.path for entry in find_unit(found, "a.service").over] == [f"{etc}/a.service.d/10-x.conf"]
    assert find_unit(found, "b@one.service").file.path == f"{lib}/b@.service"
    with pytest.raises(BakeError, match="no unit d"):
        find_unit(found, "d.service")


def test_a_path_names_its_part():
    assert split("/etc/a:b") == ("root", "/etc/a:b")
    assert split("initrd:/init") == ("initrd", "/init")
    assert split("model:") == ("model", "/")
    told = "^disk:/x: expected a path in one of an image's parts, root, initrd, model, uki, got the part 'disk'$"
    with pytest.raises(SpecError, match=told):
        split("disk:/x")
