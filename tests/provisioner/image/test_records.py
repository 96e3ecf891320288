"""What Debian's files say of a package: its source, its licences."""

from __future__ import annotations

import pytest

from provisioner.errors import BakeError
from provisioner.image.materials import distribution, owners
from provisioner.image.records import Source, installed_sources, licences, source_of, wheel_licences

STATUS = """\
Package: libc6
Status: install ok installed
Source: glibc
Version: 2.41-12
Description: a library
 Source: not a field

Package: bash
Status: install ok installed
Version: 5.2.37-2+b5
Source: bash (5.2.37-2)

Package: tar
Status: install ok installed
Version: 1.35
"""
FORMAT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"


def put(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_the_source_of_every_installed_package(tmp_path):
    put(tmp_path, "var/lib/dpkg/status", STATUS)
    assert installed_sources(tmp_path) == {
        "libc6": Source("glibc", "2.41-12"),
        "bash": Source("bash", "5.2.37-2"),
        "tar": Source("tar", "1.35"),
    }


def test_a_tree_without_a_list_of_packages(tmp_path):
    with pytest.raises(BakeError, match="has no list of packages"):
        installed_sources(tmp_path)


@pytest.mark.parametrize("told", ["", "x y", "Glibc", "glibc (", "glibc (1) (2)", "glibc\nglibc"])
def test_a_malformed_source_is_refused(told):
    with pytest.raises(BakeError, match="malformed source"):
        source_of("libc6", "1", told)


def test_a_signed_kernel_is_known_by_the_kernels_own_source():
    assert source_of("linux-image-6.12", "6.12.118-1", "linux-signed-amd64 (6.12.118+1)") == Source(
        "linux", "6.12.118-1"
    )


def test_licences_are_those_that_a_machine_can_read(tmp_path):
    text = f"{FORMAT}\nFiles: *\nLicense: GPL-2+\n\nFiles: x\nLicense:  Expat\n the text\n\n"
    text += "License: GPL-2+\n License: no\n"
    put(tmp_path, "usr/share/doc/a/copyright", text)
    put(tmp_path, "usr/share/doc/prose/copyright", "This is free software.\nLicense: GPL\n")
    assert licences(tmp_path, "a") == ("Expat", "GPL-2+")
    assert licences(tmp_path, "prose") == ()
    assert licences(tmp_path, "missing") == ()


def test_a_documentation_folder_that_is_a_link_is_followed_within_the_tree_alone(tmp_path):
    tree = tmp_path / "tree"
    put(tree, "usr/share/doc/a/copyright", f"{FORMAT}\nLicense: Expat\n")
    put(tmp_path, "outside/copyright", f"{FORMAT}\nLicense: Secret\n")
    (tree / "usr/share/doc/b").symlink_to("a")
    (tree / "usr/share/doc/c").symlink_to(tmp_path / "outside")
    assert licences(tree, "b") == ("Expat",)
    assert licences(tree, "c") == ()


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: x\n", ("MIT OR Apache-2.0",)),
        ("License: MIT\n", ("MIT",)),
        (
            "License: a text\n        of several lines\nClassifier: License :: OSI Approved :: BSD License\n",
            ("BSD License",),
        ),
        ("Name: x\n", ()),
    ],
)
def test_a_wheel_says_its_licence_in_one_of_three_ways(tmp_path, metadata, found):
    put(tmp_path, "my_wheel-1.0.dist-info/METADATA", metadata)
    put(tmp_path, "my_wheel_other-1.0.dist-info/METADATA", "License: no\n")
    assert wheel_licences(tmp_path, "My-Wheel", "1.0") == found
    assert wheel_licences(tmp_path, "My-Wheel", "2.0") == ()


def test_the_owner_of_a_file_whatever_its_folder_was_called(tmp_path):
    put(tmp_path, "var/lib/dpkg/info/libc6:amd64.list", "/.\n/lib64/ld.so\n/usr/lib/libc.so.6\n")
    put(tmp_path, "var/lib/dpkg/info/busybox-static.list", "/bin/busybox\n")
    assert owners(tmp_path, ("usr/bin/busybox", "/lib64/ld.so", "/usr/lib/libc.so.6")) == {"libc6", "busybox-static"}
    with pytest.raises(BakeError, match="no package of the tools tree has usr/bin/other"):
        owners(tmp_path, ("usr/bin/other",))


def test_a_tree_that_does_not_say_what_it_is(tmp_path):
    put(tmp_path, "usr/lib/os-release", 'ID=debian\nVERSION_ID="13"\n')
    assert distribution(tmp_path) == "debian-13"
    put(tmp_path, "usr/lib/os-release", "ID=debian\n")
    with pytest.raises(BakeError, match="does not say which system"):
        distribution(tmp_path)
