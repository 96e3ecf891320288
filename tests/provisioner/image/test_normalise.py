"""Normalising a tree: what differs between bakes goes, what roles wrote stays."""

from __future__ import annotations

import pytest

from provisioner.errors import BakeError
from provisioner.image.normalise import clean, clean_base, normalise

EPOCH = 1795377644


@pytest.fixture
def tree(tmp_path):
    for name in ("etc/dpkg/dpkg.cfg.d", "usr/bin", "usr/lib", "var/log/apt", "var/cache/apt", "run/lock", "dev", "tmp"):
        (tmp_path / name).mkdir(parents=True)
    files = {
        "etc/machine-id": "0123456789abcdef\n",
        "etc/hostname": "build-host\n",
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "etc/passwd-": "old\n",
        "var/log/apt/history.log": "Start-Date: 2026-11-22  20:08:11\n",
        "var/cache/apt/pkgcache.bin": "cache",
        "tmp/left": "over",
        "usr/bin/su": "#!",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "usr/bin/su").chmod(0o6755)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["var/log/apt/history.log", "var/cache/apt/pkgcache.bin", "etc/passwd-", "tmp/left", "run/lock"]
)
@pytest.mark.parametrize("cleaning", [clean_base, clean])
def test_logs_caches_backups_and_leftovers_go(tree, name, cleaning):
    cleaning(tree)
    assert not (tree / name).exists()


def test_the_machine_id_is_emptied_never_left(tree):
    clean(tree)
    assert (tree / "etc/machine-id").read_bytes() == b""


def test_the_clock_floor_is_the_bakes_instant(tree):
    normalise(tree, EPOCH, ())
    assert (tree / "usr/lib/clock-epoch").stat().st_mtime == EPOCH


def test_mount_points_are_made(tree):
    normalise(tree, EPOCH, ("/usr/share/vitrine/model",))
    assert (tree / "usr/share/vitrine/model").is_dir()


def test_a_hosts_name_is_removed_after_bootstrapping_but_a_roles_name_stays(tree):
    clean_base(tree)
    assert not (tree / "etc/hostname").exists()
    (tree / "etc/hostname").write_text("vitrine\n")
    clean(tree)
    normalise(tree, EPOCH, ())
    assert (tree / "etc/hostname").read_text() == "vitrine\n"


def test_no_file_of_a_base_tree_keeps_a_set_id_bit(tree):
    clean_base(tree)
    assert (tree / "usr/bin/su").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("cleaning", [clean_base, clean])
def test_a_link_out_of_the_tree_is_removed_itself_not_its_target(tree, tmp_path_factory, cleaning):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "precious").write_text("mine")
    (tree / "var/log/out").symlink_to(outside)
    (tree / "boot").symlink_to(outside)
    cleaning(tree)
    assert (outside / "precious").read_text() == "mine"
    assert not (tree / "var/log/out").is_symlink()


@pytest.mark.parametrize("name", ["etc/hostname", "etc/apt", "var/log/apt/history.log"])
def test_a_base_tree_is_not_cleaned_through_a_link_either(tree, tmp_path_factory, name):
    outside = tmp_path_factory.mktemp("outside") / "folder"
    top = tree / name.split("/")[0]
    top.rename(outside)
    (outside / "apt").mkdir(exist_ok=True)
    top.symlink_to(outside)
    with pytest.raises(BakeError, match="leads out of the tree"):
        clean_base(tree)
    assert (outside / name.partition("/")[2]).exists()


@pytest.mark.parametrize("way", ["usr/lib/clock-epoch", "usr/share/vitrine/model", "usr/share"])
def test_packing_makes_nothing_through_a_link(tree, tmp_path_factory, way):
    outside = tmp_path_factory.mktemp("outside")
    (tree / way).parent.mkdir(parents=True, exist_ok=True)
    (tree / way).symlink_to(outside / "made")
    with pytest.raises(BakeError, match="refusing to follow"):
        normalise(tree, EPOCH, ("/usr/share/vitrine/model",))
    assert list(outside.iterdir()) == []
