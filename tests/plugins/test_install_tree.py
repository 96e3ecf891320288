from __future__ import annotations

import base64
import importlib.util
import os
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="the module runs as root and compares owners"),
]
PATH = Path(__file__).resolve().parents[2] / "plugins/modules/install_tree.py"


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("install_tree", PATH)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def entry(kind="file", content="text", mode=0o644):
    return {"kind": kind, "mode": mode, "content": base64.b64encode(content.encode()).decode()}


def link(target):
    return {"kind": "link", "mode": 0o777, "content": target}


def test_what_was_written_is_the_same_afterwards(module, tmp_path):
    for number, wanted in enumerate((entry(), entry(mode=0o755), link("/dev/null"), entry("directory", "", 0o755))):
        path = tmp_path / "new/folder" / str(number)
        assert not module.same(path, wanted)
        module.write(path, wanted)
        assert module.same(path, wanted)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("other"),
        lambda path: path.chmod(0o600),
        lambda path: path.chmod(0o4644),
        lambda path: os.chown(path, 1, 0),
        lambda path: path.unlink(),
    ],
    ids=["content", "mode", "setuid", "owner", "missing"],
)
def test_a_difference_is_seen_and_mended(module, tmp_path, spoil):
    path = tmp_path / "file"
    module.write(path, entry())
    spoil(path)
    assert not module.same(path, entry())
    module.write(path, entry())
    assert module.same(path, entry())


def test_a_link_in_the_way_is_replaced_not_written_through(module, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("keep")
    (tmp_path / "file").symlink_to(victim)
    assert not module.same(tmp_path / "file", entry(content="keep"))
    module.write(tmp_path / "file", entry())
    assert victim.read_text() == "keep"
    assert not (tmp_path / "file").is_symlink()


def test_a_link_to_another_place_is_a_difference(module, tmp_path):
    module.write(tmp_path / "unit", link("/lib/unit"))
    assert not module.same(tmp_path / "unit", link("/dev/null"))


def test_removing_a_link_leaves_what_it_points_to(module, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("keep")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    module.remove(tmp_path / "link")
    assert (tmp_path / "folder/file").exists()


def test_removing_what_is_gone_already_is_fine(module, tmp_path):
    module.remove(tmp_path / "missing")


def test_globs_find_hidden_files_and_spare_what_is_kept(module, tmp_path):
    for name in ("a.wants/x.service", "a.wants/vitrine-y.service", "a.wants/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = module.doomed([f"{tmp_path}/*.wants/*"], ["*/vitrine-*"])
    assert [Path(path).name for path in found] == [".hidden", "x.service"]
