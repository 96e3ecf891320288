"""Wheels: the lock's form, and unpacking that stays in its folder."""

from __future__ import annotations

import hashlib
import json
import zipfile

import pytest

from provisioner.errors import BakeError
from provisioner.image import wheels
from provisioner.image.wheels import obtain_wheel, parse_wheels, shipped_wheels, unpack_wheel, wheels_digest

GOOD = {
    "name": "toy",
    "version": "1.0",
    "filename": "toy-1.0-py3-none-any.whl",
    "size": 10,
    "sha256": "ab" * 32,
    "use": "image",
    "why": "an example",
}


def document(**changes):
    return json.dumps({"version": 1, "wheels": [GOOD | changes]}).encode()


def test_the_shipped_wheels_are_the_engine_and_the_model():
    assert sorted(wheel.use for wheel in shipped_wheels()) == ["image", "model"]
    assert all(wheel.why for wheel in shipped_wheels())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sha256", "AB" * 32),
        ("sha256", ""),
        ("filename", "../toy-1.0-py3-none-any.whl"),
        ("filename", "toy-1.0.tar.gz"),
        ("filename", "toy.whl"),
        ("size", 0),
        ("size", 1.5),
        ("use", "host"),
    ],
)
def test_a_malformed_wheel_is_refused(field, value):
    with pytest.raises(BakeError, match=r"wheels lock \[0\]"):
        parse_wheels(document(**{field: value}))


@pytest.mark.parametrize("data", [b"[]", b'{"version":2,"wheels":[]}', b'{"version":1,"wheels":[],"more":1}', b"{"])
def test_a_malformed_lock_is_refused(data):
    with pytest.raises(BakeError, match="wheels lock"):
        parse_wheels(data)


def test_a_wheel_without_a_reason_field_is_refused():
    row = {name: value for name, value in GOOD.items() if name != "why"}
    with pytest.raises(BakeError, match="expected the fields"):
        parse_wheels(json.dumps({"version": 1, "wheels": [row]}).encode())


def test_another_hash_is_another_digest():
    assert wheels_digest(parse_wheels(document())) != wheels_digest(parse_wheels(document(sha256="cd" * 32)))


CONTENT = b"toy wheel"


@pytest.fixture
def locked():
    (wheel,) = parse_wheels(document(size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest()))
    return wheel


@pytest.fixture
def index(monkeypatch):
    """What pip would bring; the names of the wheels that it was asked for are kept."""
    asked, served = [], {"content": CONTENT}

    def download(wheel, folder):
        asked.append(wheel.name)
        (folder / wheel.filename).write_bytes(served["content"])

    monkeypatch.setattr(wheels, "_pip_download", download)
    return asked, served


def test_a_wheel_is_downloaded_once_and_then_comes_from_the_cache(locked, index, tmp_path):
    for _ in range(2):
        assert obtain_wheel(locked, tmp_path, progress=lambda _: None).read_bytes() == CONTENT
    assert index[0] == ["toy"]


@pytest.mark.parametrize(
    ("content", "said"), [(b"toy wheeL", "toy: the lock says sha256"), (b"toy", "toy: the lock says 9 bytes")]
)
def test_a_wheel_that_was_changed_in_the_cache_is_refused(locked, index, tmp_path, content, said):
    path = obtain_wheel(locked, tmp_path, progress=lambda _: None)
    path.write_bytes(content)
    with pytest.raises(BakeError, match=said):
        obtain_wheel(locked, tmp_path, progress=lambda _: None)


def test_another_file_than_the_locked_one_never_enters_the_cache(locked, index, tmp_path):
    index[1]["content"] = b"toy wheeL"
    with pytest.raises(BakeError, match="toy: the lock says sha256"):
        obtain_wheel(locked, tmp_path, progress=lambda _: None)
    assert list(tmp_path.rglob("*.whl")) == []


def wheel_with(tmp_path, *names):
    path = tmp_path / "toy.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return path


def test_unpacking_takes_the_asked_members_with_fixed_permissions(tmp_path):
    wheel = wheel_with(tmp_path, "toy/__init__.py", "toy/data/x.gguf", "toy-1.0.dist-info/RECORD")
    files = unpack_wheel(wheel, tmp_path / "out", "toy/data/x.gguf")
    assert [str(file.relative_to(tmp_path)) for file in files] == ["out/toy/data/x.gguf"]
    assert files[0].stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "toy/../../evil.py"])
def test_a_member_that_would_leave_the_folder_is_refused(tmp_path, name):
    with pytest.raises(BakeError, match="outside its folder"):
        unpack_wheel(wheel_with(tmp_path, name), tmp_path / "out")
    assert not (tmp_path / "evil.py").exists()
