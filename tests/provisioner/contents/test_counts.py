"""Each number of packages says what it counts, and together they are of one image."""

from __future__ import annotations

from dataclasses import replace

from client_sdk.manifest import Package
from provisioner.contents import counts
from provisioner.contents.bill import Bill, Listed
from tests.client_sdk.test_manifest import MANIFEST

NAMES = ("bash", "libc6", "tar")


def listed(name, where=("root",), files=1):
    return Listed(name, "1", name, "1", where, files)


BILL = Bill("ab", "trixie", tuple(map(listed, NAMES)), ("engine",))


def test_a_manifest_tells_the_root_from_the_tools():
    packages = tuple(Package(name, "1", bytes(32)) for name in NAMES)
    manifest = replace(MANIFEST, packages=packages, wheels=packages[:1], tools=packages[:2])
    expected = "3 of Debian and 1 from PyPI in the root; 2 of Debian built the image"
    assert counts.of_manifest(manifest) == expected


def test_a_bill_tells_the_root_from_what_lies_beside_it():
    assert counts.of_bill(BILL) == "3 of Debian trixie: 3 in the root"
    beside = (listed("busybox", ("initrd",), None), listed("systemd-boot-efi", ("stub",), None))
    found = counts.of_bill(replace(BILL, packages=(*BILL.packages, *beside)))
    assert found == "5 of Debian trixie: 3 in the root, and 2 in initrd or UKI alone"


def test_what_is_in_both_is_counted_in_the_root_and_what_is_gone_is_said():
    packages = (listed("libc6", ("root", "initrd")), listed("tar", files=0))
    found = counts.of_bill(replace(BILL, packages=packages))
    assert found == "2 of Debian trixie: 2 in the root (of 1 nothing but the licence is left)"
