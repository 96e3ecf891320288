"""Files and links are replaced whole; whatever interrupts it leaves nothing beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provisioner.atomic import replace_file, replace_link


def test_the_mode_is_the_final_one_from_the_first_byte_on(tmp_path, monkeypatch):
    seen = []
    write = os.fdopen

    def opened(descriptor, mode):
        seen.append(os.fstat(descriptor).st_mode & 0o777)
        return write(descriptor, mode)

    monkeypatch.setattr(os, "fdopen", opened)
    replace_file(tmp_path / "key", b"secret", 0o600)
    assert seen == [0o600]
    assert (tmp_path / "key").read_bytes() == b"secret"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", ["replace", "write"])
def test_an_interruption_keeps_the_old_content_and_leaves_nothing_else(tmp_path, monkeypatch, error, step):
    def fail(*_):
        raise error

    path = tmp_path / "key"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        if step == "replace":
            patch.setattr(Path, "replace", fail)
        else:
            patch.setattr(os, "fdopen", fail)
        with pytest.raises(type(error)):
            replace_file(path, b"new")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_a_link_is_replaced_whole(tmp_path, monkeypatch):
    link = tmp_path / "link"
    replace_link(link, tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            replace_link(link, tmp_path / "two")
    assert (link.readlink(), list(tmp_path.iterdir())) == (tmp_path / "one", [link])
    replace_link(link, tmp_path / "two")
    assert link.readlink() == tmp_path / "two"


def test_content_and_name_are_on_the_disk_when_it_returns(tmp_path, monkeypatch):
    """A power cut behind it leaves no empty key whose public half was handed out."""
    put, replace, order = os.fsync, Path.replace, []

    def fsync(descriptor):
        order.append(Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path)
        put(descriptor)

    def renamed(path, target):
        order.append("name")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    replace_file(tmp_path / "key", b"secret", 0o600)
    assert order == [False, "name", True]
