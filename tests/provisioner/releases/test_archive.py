"""What an image was made of is kept by digest, whole or not at all."""

from __future__ import annotations

import errno
from hashlib import sha256

import pytest

from provisioner.errors import ReleaseError
from provisioner.releases import archive as module
from provisioner.releases.archive import archive
from tests.provisioner.measure.fake_artefacts import write_artefacts
from tests.provisioner.releases.conftest import DEB, MODEL, manifest_of

NAME = f"debs/{sha256(DEB).hexdigest()}.deb"


@pytest.fixture
def manifest(tmp_path):
    return manifest_of(write_artefacts(tmp_path / "image"))


def stored(root):
    return {p.relative_to(root / "archive").as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_files_lie_as_a_bake_looks_for_them(manifest, cache, tmp_path):
    done = archive(manifest, cache, tmp_path / "site")
    assert (done.files, done.new, done.missing) == (2, 2, ())
    assert stored(tmp_path / "site") == {NAME: DEB, f"weights/{sha256(MODEL).hexdigest()}": MODEL}


def test_what_is_there_is_not_copied_again(manifest, cache, tmp_path):
    archive(manifest, cache, tmp_path / "site")
    assert archive(manifest, tmp_path / "no cache", tmp_path / "site").new == 0


def test_what_the_cache_has_not_is_named(manifest, cache, tmp_path):
    (cache / NAME).unlink()
    assert archive(manifest, cache, tmp_path / "site").missing == ("openssl 3.5.1-1",)


@pytest.mark.parametrize("where", ["cache", "site/archive"])
def test_a_file_that_is_not_what_its_name_says(manifest, cache, tmp_path, where):
    archive(manifest, cache, tmp_path / "site")
    if where == "cache":
        (tmp_path / "site/archive" / NAME).unlink()
    (tmp_path / where / NAME).unlink()
    (tmp_path / where / NAME).write_bytes(b"another package")
    with pytest.raises(ReleaseError, match=f"{NAME}: expected the SHA-256 {sha256(DEB).hexdigest()}"):
        archive(manifest, cache, tmp_path / "site")


def test_on_another_disk_it_is_copied(manifest, cache, tmp_path, monkeypatch):
    def elsewhere(*_):
        raise OSError(errno.EXDEV, "another device")

    monkeypatch.setattr(module.os, "link", elsewhere)
    archive(manifest, cache, tmp_path / "site")
    assert stored(tmp_path / "site")[NAME] == DEB
    assert (tmp_path / "site/archive" / NAME).stat().st_nlink == 1


def test_a_full_disk_leaves_nothing_half_written(manifest, cache, tmp_path, monkeypatch):
    def full(source, target):
        target.write_bytes(source.read_bytes()[:3])
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(module.os, "link", full)
    monkeypatch.setattr(module.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        archive(manifest, cache, tmp_path / "site")
    assert stored(tmp_path / "site") == {}
