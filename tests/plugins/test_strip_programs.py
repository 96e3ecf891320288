"""Programs are taken out of packages by dpkg's own lists, seen in a small tree."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "plugins/modules/strip_programs.py"
FILES = {
    "usr/bin/ls": 0o755,
    "usr/bin/false": 0o755,
    "usr/lib/tools/helper": 0o744,
    "usr/lib/libx.so": 0o644,
    "usr/lib/python3.13/pdb.py": 0o755,
    "usr/sbin/other": 0o755,
}


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("strip_programs", PATH)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def tree(tmp_path):
    for name, mode in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    (tmp_path / "etc/alternatives").mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "etc/alternatives/dir").symlink_to("../../usr/bin/ls")
    (tmp_path / "usr/bin/dir").symlink_to("../../etc/alternatives/dir")
    (tmp_path / "usr/bin/no").symlink_to("false")
    lists = tmp_path / "var/lib/dpkg/info"
    lists.mkdir(parents=True)
    # dpkg knows some files by the name they had before the folders were merged.
    (lists / "core.list").write_text("/.\n/bin\n/bin/ls\n/usr/bin/false\n/usr/lib/tools/helper\n/usr/lib/libx.so\n")
    (lists / "libpython:amd64.list").write_text("/usr/lib/python3.13/pdb.py\n")
    (lists / "new.list").write_text("/usr/sbin/other\n")
    return tmp_path


def left(tree):
    files = [path for path in tree.rglob("*") if path.is_symlink() or path.is_file()]
    return sorted((str(path.relative_to(tree)), path.lstat().st_mode) for path in files)


def test_programs_go_wherever_they_lie_and_libraries_stay(module, tree):
    module.strip(tree, ["core"], ["usr/bin/false", "usr/bin/no"])
    assert not (tree / "usr/bin/ls").exists()
    assert not (tree / "usr/lib/tools/helper").exists()
    assert (tree / "usr/lib/libx.so").exists()
    assert (tree / "usr/bin/false").exists()


def test_a_package_that_nobody_named_keeps_its_programs_for_the_gate_to_see(module, tree):
    module.strip(tree, ["core", "libpython"], [])
    assert (tree / "usr/sbin/other").exists()


def test_links_that_lead_nowhere_afterwards_go_through_all_stages(module, tree):
    changed = module.strip(tree, ["core"], ["usr/bin/false"])
    assert {"etc/alternatives/dir", "usr/bin/dir"} <= set(changed)
    assert not (tree / "usr/bin/dir").is_symlink()
    assert (tree / "usr/bin/no").is_symlink()


def test_a_module_of_python_stays_and_is_no_program_any_more(module, tree):
    assert module.strip(tree, ["libpython"], []) == ["usr/lib/python3.13/pdb.py"]
    assert (tree / "usr/lib/python3.13/pdb.py").stat().st_mode & 0o777 == 0o644


def test_a_second_time_changes_nothing(module, tree):
    module.strip(tree, ["core", "libpython"], ["usr/bin/false"])
    before = left(tree)
    assert module.strip(tree, ["core", "libpython"], ["usr/bin/false"]) == []
    assert left(tree) == before


def test_where_the_lists_have_gone_it_was_done_before(module, tree):
    shutil.rmtree(tree / "var")
    before = left(tree)
    assert module.strip(tree, ["core", "cor"], []) == []
    assert left(tree) == before


def test_a_package_that_is_not_installed_is_a_mistake_in_the_list(module, tree):
    with pytest.raises(FileNotFoundError, match="the package cor is not installed"):
        module.strip(tree, ["cor"], [])


def test_what_is_wanted_somewhere_else_is_not_kept_here(module, tree):
    listed = [{"path": "usr/bin/ls", "why": "x", "where": "usr/lib/driver"}, {"path": "usr/bin/false", "why": "y"}]
    assert module.due(tree, listed) == ["usr/bin/false"]
    (tree / "usr/lib/driver").mkdir()
    assert module.due(tree, listed) == ["usr/bin/ls", "usr/bin/false"]
