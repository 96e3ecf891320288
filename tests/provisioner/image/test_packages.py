"""The lock format: what is refused, and that what we write we read."""

from __future__ import annotations

import json

import pytest

from provisioner.errors import BakeError
from provisioner.image.debs import driver_wanted
from provisioner.image.packages import (
    TREES,
    Package,
    PackageLock,
    Tree,
    parse_lock,
    serialise_lock,
    shipped_lock,
    shipped_wanted,
)

GOOD = {
    "name": "bash",
    "version": "5.2.37-2+b10",
    "architecture": "amd64",
    "filename": "pool/main/b/bash/bash_5.2.37-2+b10_amd64.deb",
    "size": 1500792,
    "sha256": "2f" * 32,
}


def document(package=None, **changes):
    row = dict(GOOD if package is None else package)
    tree = {"packages": [row], "unpacked": []}
    fields = {"version": 2, "suite": "trixie", "epoch": 1795377644, "trees": dict.fromkeys(TREES, tree)}
    return json.dumps(fields | changes).encode()


def test_what_is_written_is_read_back():
    package = Package(**GOOD)
    lock = PackageLock("trixie", 5, Tree((package,), ("bash",)), *[Tree((package,), ())] * 2)
    assert parse_lock(serialise_lock(lock)) == lock


def test_the_shipped_lock_is_well_formed_and_written_as_we_write():
    lock = shipped_lock()
    assert parse_lock(serialise_lock(lock)) == lock
    assert len(lock.image.packages) > 100


@pytest.mark.parametrize("tree", ["image", "tools", "driver"])
def test_everything_wanted_is_locked(tree):
    lock = shipped_lock()
    wanted = driver_wanted(lock.image) if tree == "driver" else shipped_wanted(tree)
    locked = lock.tree(tree)
    names = {package.name for package in locked.packages}
    assert set(wanted.install) <= names
    assert all(wanted.install.values()), "each package needs its reason"
    assert len(locked.unpacked) == len(wanted.unpack)


def test_both_trees_hold_the_same_versions():
    lock = shipped_lock()
    image = {p.name: p.version for p in lock.image.packages}
    assert all(image.get(p.name, p.version) == p.version for p in lock.tools.packages)


def test_the_image_holds_no_package_manager_front_end_and_no_initramfs_generator():
    names = {package.name for package in shipped_lock().image.packages}
    assert not names & {"apt", "initramfs-tools", "dracut", "openssh-server", "cloud-init", "busybox"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sha256", "2F" * 32),
        ("sha256", "2f" * 31),
        ("sha256", None),
        ("size", 0),
        ("size", -1),
        ("size", True),
        ("size", "1500792"),
        ("name", "../bash"),
        ("name", "Bash"),
        ("version", "1 2"),
        ("version", "1;rm"),
        ("architecture", "arm64"),
        ("filename", "/pool/main/b/bash.deb"),
        ("filename", "pool/../../etc/bash.deb"),
        ("filename", "pool//main/bash.deb"),
        ("filename", "http://mirror/pool/bash.deb"),
        ("filename", "pool/main/b/bash.tar"),
        ("filename", 7),
    ],
)
def test_a_malformed_package_is_refused(field, value):
    with pytest.raises(BakeError, match=field):
        parse_lock(document(GOOD | {field: value}))


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_a_package_without_a_field_is_refused(missing):
    with pytest.raises(BakeError, match="expected the fields"):
        parse_lock(document({name: value for name, value in GOOD.items() if name != missing}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "make lock"),
        ({"epoch": 0}, "epoch"),
        ({"epoch": 1.5}, "epoch"),
        ({"suite": "Trixie!"}, "suite"),
        ({"extra": 1}, "expected the fields"),
        ({"trees": {"image": {"packages": [], "unpacked": []}}}, "trees"),
        ({"trees": {name: {"packages": [], "unpacked": []} for name in TREES}}, "got none"),
        ({"trees": {name: {"packages": [GOOD, GOOD], "unpacked": []} for name in TREES}}, "twice"),
        ({"trees": {name: {"packages": [GOOD], "unpacked": ["zsh"]} for name in TREES}}, "zsh"),
    ],
)
def test_a_malformed_lock_is_refused(changes, message):
    with pytest.raises(BakeError, match=message):
        parse_lock(document(**changes))


@pytest.mark.parametrize("tree", ["tools", "driver"])
def test_two_versions_of_one_package_are_refused(tree):
    other = GOOD | {"version": "5.3", "sha256": "3f" * 32}
    trees = {name: {"packages": [GOOD], "unpacked": []} for name in TREES}
    trees[tree] = {"packages": [other], "unpacked": []}
    with pytest.raises(BakeError, match="bash has two versions"):
        parse_lock(document(trees=trees))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"version":1,"version":1}'])
def test_what_is_not_one_json_object_is_refused(data):
    with pytest.raises(BakeError, match="package lock"):
        parse_lock(data)


@pytest.mark.parametrize("field", ["version", "sha256"])
def test_any_change_of_a_package_changes_the_digest_of_its_tree(field):
    changed = {"version": "5.4", "sha256": "00" * 32}[field]
    assert parse_lock(document()).digest("image") != parse_lock(document(GOOD | {field: changed})).digest("image")
