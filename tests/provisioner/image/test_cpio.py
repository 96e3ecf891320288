"""The cpio writer: exact bytes, and the archives that it refuses to write."""

from __future__ import annotations

import pytest

from provisioner.errors import BakeError
from provisioner.image import cpio


def member(fields, name, data=b""):
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    body = header + name + b"\0"
    return body + bytes(-len(body) % 4) + data + bytes(-len(data) % 4)


TRAILER = member((0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0), b"TRAILER!!!")


def test_exact_bytes():
    written = cpio.write_cpio(
        [
            cpio.folder("bin"),
            cpio.file("bin/sh", b"#!x", 0o755),
            cpio.link("bin/cat", "sh"),
            cpio.folder("dev"),
            cpio.character_device("dev/console", 5, 1, 0o600),
        ]
    )
    assert written == (
        member((1, 0o040755, 0, 0, 2, 0, 0, 0, 0, 0, 0, 4, 0), b"bin")
        + member((2, 0o100755, 0, 0, 1, 0, 3, 0, 0, 0, 0, 7, 0), b"bin/sh", b"#!x")
        + member((3, 0o120777, 0, 0, 1, 0, 2, 0, 0, 0, 0, 8, 0), b"bin/cat", b"sh")
        + member((4, 0o040755, 0, 0, 2, 0, 0, 0, 0, 0, 0, 4, 0), b"dev")
        + member((5, 0o020600, 0, 0, 1, 0, 0, 0, 0, 5, 1, 12, 0), b"dev/console")
        + TRAILER
    )


def test_the_first_header_byte_by_byte():
    assert cpio.write_cpio([cpio.folder("bin")]).startswith(
        b"07070100000001000041ed" + b"00000000" * 2 + b"00000002" + b"00000000" * 6 + b"00000004" + b"00000000"
    )


def test_an_empty_archive_is_its_trailer():
    assert cpio.write_cpio([]) == TRAILER


@pytest.mark.parametrize("path", ["", "/bin", "bin/", "bin//sh", "../bin", "bin/../etc", ".", "./bin"])
def test_a_path_that_is_not_plain_and_relative_is_refused(path):
    with pytest.raises(BakeError, match="plain relative path"):
        cpio.write_cpio([cpio.folder("bin"), cpio.folder(path)])


def test_a_second_entry_of_one_name_is_refused():
    with pytest.raises(BakeError, match="init stands twice"):
        cpio.write_cpio([cpio.file("init", b"ours"), cpio.file("init", b"theirs")])


def test_a_file_before_its_folder_is_refused():
    with pytest.raises(BakeError, match="bin/sh comes before its folder"):
        cpio.write_cpio([cpio.file("bin/sh", b""), cpio.folder("bin")])
