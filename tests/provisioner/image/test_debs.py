"""Getting package files: the cache, a mirror (a folder here), and every way in which it can fail."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import pytest

from provisioner.errors import BakeError
from provisioner.image import debs
from provisioner.image.debs import differences, obtain
from provisioner.image.files import check_file
from provisioner.image.mirror import Mirror
from provisioner.image.packages import Package, PackageLock, Tree
from provisioner.image.sources import Sources

needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="not a Debian host")


def package(name="toy", version="1", content=b"toy package"):
    filename = f"pool/main/t/{name}/{name}_{version}_all.deb"
    return Package(name, version, "all", filename, len(content), hashlib.sha256(content).hexdigest())


# Only the bake of a GPU image has it: no mirror here serves this file, and nothing may ask for it.
DRIVER = Tree((package("driver", content=b"driver"),), ())


def lock_of(*packages):
    return PackageLock("trixie", 1, Tree(tuple(packages), ()), Tree(tuple(packages), ()), DRIVER)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror in a folder: apt's file method answers as a web server would, with files or without."""
    base = tmp_path / "mirror/debian"
    base.mkdir(parents=True)
    found = Mirror(main=f"file:{base}", security=f"file:{base}-security")
    monkeypatch.setattr(debs, "find_mirror", lambda *_: found)
    return base


@pytest.fixture
def answering(monkeypatch):
    """The mirror has an index: whether it is signed and what it says is apt's business, not this test's."""
    monkeypatch.setattr(debs.apt, "open_apt", lambda home, *_, **__: debs.apt.Apt(debs.apt.private_conf(home)))


def serve(mirror, locked, content=b"toy package"):
    path = mirror / locked.filename
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def quiet(_line):
    pass


@needs_apt
def test_a_locked_file_is_fetched_once_and_then_comes_from_the_cache(mirror, tmp_path):
    locked = package()
    serve(mirror, locked)
    got = obtain(lock_of(locked), Sources(tmp_path / "cache", "release"), progress=quiet)
    assert got.path(locked).read_bytes() == b"toy package"
    shutil.rmtree(mirror)
    assert obtain(lock_of(locked), Sources(tmp_path / "cache", "release"), progress=quiet) == got


@needs_apt
@pytest.mark.usefixtures("mirror", "answering")
def test_a_release_refuses_a_file_that_the_mirror_no_longer_has_and_says_what_to_do(tmp_path):
    with pytest.raises(BakeError, match=r"does not serve toy 1 as locked.*`make lock`"):
        obtain(lock_of(package()), Sources(tmp_path / "cache", "release"), progress=quiet)


@needs_apt
@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize("content", [b"toy packagE", b"toy package and more", b""])
def test_a_file_with_other_bytes_never_enters_the_cache(mirror, tmp_path, content):
    locked = package()
    serve(mirror, locked, content)
    with pytest.raises(BakeError):
        obtain(lock_of(locked), Sources(tmp_path / "cache", "release"), progress=quiet)
    assert not list((tmp_path / "cache/debs").glob("*.deb"))


@needs_apt
@pytest.mark.usefixtures("answering")
def test_a_test_bake_follows_the_mirror_and_says_so(mirror, tmp_path, monkeypatch):
    old, new = package(version="1"), package(version="2", content=b"newer")
    serve(mirror, new, b"newer")
    monkeypatch.setattr(debs, "resolve", lambda *_: lock_of(new))
    said = []
    got = obtain(lock_of(old), Sources(tmp_path / "cache", "test"), progress=said.append)
    assert got.lock == lock_of(new)
    assert got.drift == ("image: toy 1 -> 2", "tools: toy 1 -> 2")
    assert any("toy 1 -> 2" in line for line in said)
    # Without a mirror now: what it fell back to is remembered.
    shutil.rmtree(mirror)
    assert obtain(lock_of(old), Sources(tmp_path / "cache", "test"), progress=quiet).drift == got.drift
    with pytest.raises(BakeError, match="a release takes nothing else"):
        obtain(lock_of(old), Sources(tmp_path / "cache", "release"), progress=quiet)


@needs_apt
@pytest.mark.parametrize("mode", ["test", "release"])
def test_no_network_is_said_as_such_and_not_blamed_on_the_lock(mirror, tmp_path, mode):
    shutil.rmtree(mirror.parent)
    with pytest.raises(BakeError, match="is there a network, and is the mirror right"):
        obtain(lock_of(package()), Sources(tmp_path / "cache", mode), progress=quiet)


def test_a_file_of_another_size_or_hash_is_named(tmp_path):
    path = tmp_path / "x.deb"
    path.write_bytes(b"toy packag")
    with pytest.raises(BakeError, match=r"the lock says 11 bytes, the file has 10; delete .*x\.deb"):
        check_file(path, package())
    path.write_bytes(b"toy packagE")
    with pytest.raises(BakeError, match="the lock says sha256"):
        check_file(path, package())


def test_differences_name_what_came_went_and_changed():
    old = lock_of(package("a"), package("b"), package("d"))
    new = lock_of(package("a"), package("b", "2"), package("c"))
    one = ("b 1 -> 2", "c absent -> 1", "d 1 -> absent")
    assert differences(old, new) == tuple(f"{tree}: {change}" for tree in ("image", "tools") for change in one)


def test_a_package_that_one_tree_gains_and_the_other_has_already_is_a_difference():
    one, both = Tree((), ()), Tree((package("a"),), ())
    assert differences(PackageLock("trixie", 1, one, both, DRIVER), PackageLock("trixie", 1, both, both, DRIVER)) == (
        "image: a absent -> 1",
    )


def test_a_rebuild_under_the_same_version_is_a_difference():
    assert differences(lock_of(package()), lock_of(package(content=b"rebuilt"))) == (
        "image: toy 1: another file of the same version",
        "tools: toy 1: another file of the same version",
    )


def test_a_file_that_was_moved_within_the_archive_is_the_same_package():
    moved = replace(package(), filename="pool/updates/main/t/toy_1_all.deb")
    assert differences(lock_of(package()), lock_of(moved)) == ()
    assert lock_of(package()).digest("image") == lock_of(moved).digest("image")
    assert lock_of(package()).digest("image") != lock_of(package(content=b"rebuilt")).digest("image")


@needs_apt
@pytest.mark.usefixtures("answering")
def test_what_only_some_bakes_need_is_asked_for_by_them_alone(mirror, tmp_path):
    locked = lock_of(package())
    serve(mirror, package())
    obtain(locked, Sources(tmp_path / "cache", "release"), progress=quiet)
    with pytest.raises(BakeError, match="does not serve driver 1 as locked"):
        obtain(locked, Sources(tmp_path / "cache", "release"), progress=quiet, trees=("image", "driver"))
