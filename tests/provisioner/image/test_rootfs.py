"""Work folders, the tools command and the comparison of two bakes: refused inputs."""

from __future__ import annotations

import pytest

from provisioner.errors import BakeError
from provisioner.image import rootfs
from provisioner.image.afresh import copy_sources
from provisioner.image.pack import kernel_release
from provisioner.image.reproduce import compare
from provisioner.image.tools import parse_bind


def test_a_folder_where_nothing_was_prepared_is_refused(tmp_path):
    with pytest.raises(BakeError, match="holds no prepared root file system"):
        rootfs.load_rootfs(tmp_path)


def test_somebody_elses_folder_is_never_cleared(tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(BakeError, match="not a work folder of ours"):
        rootfs._clear(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_an_interrupted_work_folder_is_cleared(tmp_path):
    (tmp_path / "rootfs.json").write_text("{}")
    (tmp_path / "tree").mkdir()
    rootfs._clear(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kernels", [(), ("6.12", "6.13")])
def test_a_tree_has_exactly_one_kernel(tmp_path, kernels):
    for name in kernels:
        (tmp_path / "usr/lib/modules" / name).mkdir(parents=True)
    with pytest.raises(BakeError, match=f"holds {len(kernels)} kernels' modules"):
        kernel_release(tmp_path)


@pytest.mark.parametrize("target", ["/etc", "/work/../etc", "work", "", "/work:wr"])
def test_a_bind_outside_its_place_is_refused(tmp_path, target):
    with pytest.raises(BakeError, match="expected SOURCE:/work"):
        parse_bind(f"{tmp_path}:{target}")


def test_a_bind_of_nothing_is_refused(tmp_path):
    with pytest.raises(BakeError, match="is not a folder"):
        parse_bind(f"{tmp_path}/gone:/work")


def test_bakes_that_differ_are_named_file_by_file():
    with pytest.raises(BakeError, match=r"the bakes differ: boot.raw: aa and bb; initrd: cc and absent$"):
        compare({"boot.raw": "aa", "uki.efi": "dd", "initrd": "cc"}, {"boot.raw": "bb", "uki.efi": "dd"})


def test_two_bakes_of_nothing_are_not_equal():
    with pytest.raises(BakeError, match="nothing was baked"):
        compare({}, {})


def test_equal_bakes_compare_without_a_word():
    compare({"boot.raw": "aa"}, {"boot.raw": "aa"})


def test_sources_are_copied_as_a_checkout_under_that_umask_would_be(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    (source / "plain").write_text("x")
    (source / "program").write_text("x")
    (source / "program").chmod(0o755)
    monkeypatch.setattr("provisioner.image.process.run", lambda *_, **__: b"plain\0program\0deleted\0")
    copy = copy_sources(source, tmp_path / "copy", 0o077)
    modes = {path.name: path.stat().st_mode & 0o777 for path in copy.iterdir()}
    assert modes == {"plain": 0o600, "program": 0o700}


def test_links_among_the_sources_stay_links(tmp_path, monkeypatch):
    """What a link names is a file of the image, and the same name on this machine is another."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "unit").symlink_to("/etc/hostname")
    (source / "lost").symlink_to("/nowhere")
    monkeypatch.setattr("provisioner.image.process.run", lambda *_, **__: b"unit\0lost\0")
    copy = copy_sources(source, tmp_path / "copy", 0o022)
    assert {path.name: str(path.readlink()) for path in copy.iterdir()} == {"unit": "/etc/hostname", "lost": "/nowhere"}
