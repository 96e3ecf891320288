from __future__ import annotations

import pytest

from provisioner.errors import BakeError
from provisioner.gate import refuse
from provisioner.image.normalise import DEBUG_MARK, clean


def put(root, path, text="x"):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


TRACES = (
    *("root/.ansible/tmp/module.py", "root/.bash_history", "tmp/x", "var/tmp/.ansible/y", "var/log/dpkg.log"),
    *("var/cache/apt/pkgcache.bin", "var/lib/systemd/random-seed", "run/lock/z", "home/user/.profile"),
    *("etc/passwd-", "etc/shadow-", "etc/.pwd.lock", "etc/a.dpkg-old", "etc/b/c.dpkg-dist", "etc/resolv.conf"),
    *("usr/lib/vitrine/serving/__pycache__/x.cpython-313.pyc",),
)


@pytest.mark.parametrize("trace", TRACES)
def test_a_trace_of_the_bake_goes(tree, trace):
    put(tree, trace)
    clean(tree)
    assert not (tree / trace).exists()
    refuse(tree)


@pytest.mark.parametrize("tool", ["sh", "dash", "systemd-analyze", "systemd-sysusers"])
def test_what_configured_the_tree_goes_but_from_a_debug_image(tree, tool):
    put(tree, f"usr/bin/{tool}")
    clean(tree)
    assert not (tree / "usr/bin" / tool).exists()
    put(tree, f"usr/bin/{tool}")
    put(tree, DEBUG_MARK)
    clean(tree)
    assert (tree / "usr/bin" / tool).exists()


def test_what_belongs_to_the_image_stays(tree):
    put(tree, "usr/lib/vitrine/serving/main.py")
    put(tree, "usr/lib/python3/dist-packages/x/__pycache__/y.pyc")
    before = {path.relative_to(tree) for path in tree.rglob("*")}
    clean(tree)
    assert {path.relative_to(tree) for path in tree.rglob("*")} == before


def test_the_machine_gets_no_identity(tree):
    put(tree, "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    clean(tree)
    assert (tree / "etc/machine-id").read_text() == ""


def test_the_day_of_the_bake_does_not_reach_shadow(tree):
    put(tree, "etc/shadow", "root:!*:20779:0:99999:7:::\nx:!*:20780::::::\n")
    clean(tree)
    assert (tree / "etc/shadow").read_text() == "root:!*::0:99999:7:::\nx:!*:::::::\n"


def test_cleaning_twice_changes_nothing_more(tree):
    clean(tree)
    before = {str(path): path.lstat() for path in tree.rglob("*")}
    clean(tree)
    assert {str(path): path.lstat().st_size for path in tree.rglob("*")} == {k: v.st_size for k, v in before.items()}


def test_a_linked_folder_is_not_emptied_through_the_link(tree, tmp_path):
    put(tmp_path, "host/log/precious")
    (tree / "var").mkdir()
    (tree / "var/log").symlink_to(tmp_path / "host/log")
    clean(tree)
    assert (tmp_path / "host/log/precious").exists()


@pytest.mark.parametrize("name", ["log", "tmp", "cache"])
def test_a_parent_that_leads_out_of_the_tree_stops_the_bake(tree, tmp_path, name):
    put(tmp_path, f"host/{name}/precious")
    (tree / "var").symlink_to(tmp_path / "host")
    with pytest.raises(BakeError, match="leads out of the tree"):
        clean(tree)
    assert (tmp_path / f"host/{name}/precious").exists()


def test_a_machine_id_that_is_a_link_is_not_written_through(tree, tmp_path):
    put(tmp_path, "victim", "keep")
    (tree / "etc/machine-id").unlink()
    (tree / "etc/machine-id").symlink_to(tmp_path / "victim")
    with pytest.raises(BakeError, match="/etc/machine-id is a link"):
        clean(tree)
    assert (tmp_path / "victim").read_text() == "keep"


@pytest.mark.parametrize("path", ["resolv.conf", "b/c.dpkg-dist", "passwd-"])
def test_nothing_is_removed_through_a_link_out_of_the_tree(tree, tmp_path, path):
    (tree / "etc").rename(tmp_path / "host")
    put(tmp_path, f"host/{path}")
    (tree / "etc").symlink_to(tmp_path / "host")
    with pytest.raises(BakeError, match="leads out of the tree"):
        clean(tree)
    assert (tmp_path / "host" / path).exists()


def test_a_link_that_leads_nowhere_goes_like_a_file(tree):
    (tree / "etc/resolv.conf").symlink_to("/run/nowhere")
    clean(tree)
    assert not (tree / "etc/resolv.conf").is_symlink()


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(BakeError, match="is not a folder"):
        clean(tmp_path / "missing")
