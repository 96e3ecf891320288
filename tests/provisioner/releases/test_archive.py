"""An archive is published whole, is that of the image, and has what its index names."""

from __future__ import annotations

import errno
import json
import os
import signal
from contextlib import contextmanager
from hashlib import sha256

import pytest

from provisioner.errors import BakeError, ReleaseError, SpecError
from provisioner.releases import archive as module
from provisioner.releases.archive import publish_archive

MANIFEST = b"m" * 32
FILES = {"recipe.json": b"{}", "image/uki.efi": b"a kernel", "debs/x.deb": b"a package"}


def index(archive, **values):
    files = {name: {"sha256": sha256(data).hexdigest(), "size": len(data), "what": "…"} for name, data in FILES.items()}
    told = {"version": 1, "manifest_sha256": MANIFEST.hex(), "files": files} | values
    (archive / "archive.json").write_text(json.dumps(told))
    return archive


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return index(folder)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "site"


def stored(root):
    paths = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_an_archive_lies_under_the_number_of_its_release(archive, root):
    assert publish_archive(archive, MANIFEST, root, 7) == 3
    assert stored(root / "archives/7") == FILES | {"archive.json": (archive / "archive.json").read_bytes()}


def test_what_is_published_is_left_as_it_is(archive, root):
    publish_archive(archive, MANIFEST, root, 7)
    before = stored(root)
    publish_archive(archive, MANIFEST, root, 7)
    assert stored(root) == before
    index(archive, files={})
    with pytest.raises(ReleaseError, match="the same archive, where one is published already"):
        publish_archive(archive, MANIFEST, root, 7)


def test_a_file_that_nobody_named_is_not_published(archive, root):
    (archive / "secret.key").write_text("mine")
    publish_archive(archive, MANIFEST, root, 7)
    assert "archives/7/secret.key" not in stored(root)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_what_the_index_names(archive, root, name):
    (archive / name).write_bytes(b"another")
    with pytest.raises(ReleaseError, match=f"{name}: expected the SHA-256 {sha256(FILES[name]).hexdigest()}"):
        publish_archive(archive, MANIFEST, root, 7)
    assert stored(root) == {}


@pytest.mark.parametrize("name", ["archive.json", "debs/x.deb"])
@pytest.mark.parametrize("got", ["a pipe or a device", "a folder", "a link"])
def test_a_pipe_a_folder_or_a_link_in_place_of_a_file_is_not_published_nor_waited_for(archive, root, name, got):
    path = archive / name
    path.rename(archive / "kept")
    make = {"a folder": path.mkdir, "a link": lambda: path.symlink_to(archive / "kept")}
    make.get(got, lambda: os.mkfifo(path))()
    told = f"{name}: expected a file of its own, got {got}; make it anew: vitrine image archive"
    with alarmed(), pytest.raises(ReleaseError, match=told):
        publish_archive(archive, MANIFEST, root, 7)
    assert stored(root) == {}


@contextmanager
def alarmed():
    """Interrupt whoever waits for a writer: a pipe has none."""

    def waited(*_):
        pytest.fail("it waited")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(5)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_file_that_is_missing(archive, root):
    (archive / "debs/x.deb").unlink()
    with pytest.raises(BakeError, match=r"x\.deb"):
        publish_archive(archive, MANIFEST, root, 7)
    assert stored(root) == {}


@pytest.mark.parametrize(
    ("fault", "values", "told"),
    [
        ("of another image", {"manifest_sha256": "00" * 32}, f"the archive of the manifest {MANIFEST.hex()}"),
        ("another version", {"version": 2}, "version"),
        ("a field that nobody knows", {"more": 1}, "unknown key"),
        ("files that are none", {"files": ["x"]}, "not an object"),
        ("no digest", {"files": {"debs/x.deb": {}}}, "not lower-case hex"),
        ("a file that is none", {"files": {"debs/x.deb": 1}}, "the index of an archive"),
        *((f"out of the folder: {name!r}", {"files": {name: {"sha256": "00" * 32}}}, "no path inside the archive")
          for name in ("../x", "/etc/passwd", "a/../../x", "", ".", "a//b", "./a", "archive.json", "a/", "x\0y")),
    ],
)  # fmt: skip
def test_an_index_that_cannot_be(archive, root, fault, values, told):
    index(archive, **values)
    with pytest.raises(ReleaseError, match=told):
        publish_archive(archive, MANIFEST, root, 7)
    assert stored(root) == {}


def test_an_archive_whose_name_no_system_takes(tmp_path, root):
    told = "archive.json: expected a file of its own, got file name too long; make it anew: vitrine image archive"
    with pytest.raises(ReleaseError, match=told):
        publish_archive(tmp_path / ("x" * 300), MANIFEST, root, 7)


def test_an_index_that_names_a_file_that_no_system_takes(archive, root):
    index(archive, files={"x" * 300: {"sha256": "00" * 32, "size": 1, "what": "…"}})
    with pytest.raises(ReleaseError, match="x: expected a file of its own, got file name too long"):
        publish_archive(archive, MANIFEST, root, 7)
    assert stored(root) == {}


def test_no_archive_at_all(tmp_path, root):
    with pytest.raises(SpecError, match="vitrine image archive IMAGE --output DIR"):
        publish_archive(tmp_path, MANIFEST, root, 7)


def test_a_full_disk_leaves_nothing_half_written(archive, root, monkeypatch):
    def full(source, target):
        target.write_bytes(source.read_bytes()[:3])
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(module, "share", full)
    with pytest.raises(BakeError, match="the disk is full"):
        publish_archive(archive, MANIFEST, root, 7)
    assert stored(root) == {}
