"""A package beside the tiny image: what of it is in there, and packages that are none."""

from __future__ import annotations

import io
import subprocess
import tarfile

import pytest

from provisioner.contents import deb as module
from provisioner.contents.deb import Held, compare_deb
from provisioner.contents.image import open_contents
from provisioner.errors import BakeError
from provisioner.image.files import sha256_of

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    root = tmp_path_factory.mktemp("deb")
    tree = root / "tree"
    files = {
        "DEBIAN/control": "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n",
        "etc/passwd": "root:x:0:0\n",
        "block": "another text",
        "none": "gone",
        "sbin/init": "#!/bin/sh\n",
        "empty": "",
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "bin").symlink_to("usr/lib")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, root / "x.deb"], check=True, capture_output=True)
    return root / "x.deb"


def compared(image, deb, sha256=None):
    contents = open_contents(image)
    return list(compare_deb(deb, sha256 or sha256_of(deb), contents.part("root"), contents.part("initrd")))


def test_each_file_is_said_to_be_the_same_changed_or_absent(tiny_image, deb):
    assert sorted(compared(tiny_image, deb), key=lambda held: held.path) == [
        Held("/bin", "same", "root"),
        Held("/block", "changed", "root"),
        Held("/empty", "changed", "root"),  # a folder in the image
        Held("/etc/passwd", "same", "root"),
        Held("/none", "absent", "root"),
        Held("/sbin/init", "same", "initrd"),
    ]


class Damaged:
    """A part of an image of which no block is what it should be."""

    def walk(self):
        return iter(())

    def find(self, path):
        raise BakeError(f"{path}: a block is not what the root hash names")


def test_a_damaged_image_is_not_taken_for_one_without_the_file(deb):
    with pytest.raises(BakeError, match="is not what the root hash names"):
        list(compare_deb(deb, sha256_of(deb), Damaged(), Damaged()))


def test_another_package_than_the_manifests_is_refused(tiny_image, deb):
    with pytest.raises(BakeError, match="the manifest says sha256"):
        compared(tiny_image, deb, "0" * 64)


@pytest.mark.parametrize("data", [b"", b"!<arch>\n"])
def test_what_is_no_package_is_refused(tiny_image, tmp_path, data):
    (tmp_path / "x.deb").write_bytes(data)
    with pytest.raises(BakeError, match="not what dpkg-deb unpacks"):
        compared(tiny_image, tmp_path / "x.deb")


def test_a_package_that_unpacks_to_more_than_any_has_is_refused(tiny_image, deb, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 4096)
    with pytest.raises(BakeError, match="unpacks to more than 4096 bytes"):
        compared(tiny_image, deb)


def packed(*members):
    """Make a package by hand, with files as a tar archive may have them."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            archive.addfile(member)
    parts = {"debian-binary": b"2.0\n", "control.tar": bytes(10_240), "data.tar": data.getvalue()}
    head = "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n"
    return b"!<arch>\n" + b"".join(
        head.format(name, 0, 0, 0, "100644", len(part)).encode() + part for name, part in parts.items()
    )


def test_a_file_of_as_many_bytes_as_it_likes_to_say_is_refused(tiny_image, tmp_path):
    member = tarfile.TarInfo("./large")
    member.pax_headers = {"GNU.sparse.size": str(64 << 20), "GNU.sparse.map": "0,0", "GNU.sparse.numblocks": "1"}
    (tmp_path / "x.deb").write_bytes(packed(member))
    with pytest.raises(BakeError, match=r"x\.deb holds a sparse file, /large"):
        compared(tiny_image, tmp_path / "x.deb")
