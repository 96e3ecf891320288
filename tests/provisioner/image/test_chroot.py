"""Entering a tree: read-only unless asked, no network, no mount that outlives the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from provisioner.errors import BakeError
from provisioner.image.chroot import Bind, run_inside

pytestmark = pytest.mark.root


@pytest.fixture
def tree(tmp_path):
    """The smallest tree that can run something: the host's shell and its libraries."""
    root = tmp_path / "tree with a blank"
    for name in ("bin", "dev", "proc", "tmp", "work", "root"):
        (root / name).mkdir(parents=True)
    shell = Path("/bin/sh").resolve()
    shutil.copy(shell, root / "bin/sh")
    listing = subprocess.run(["ldd", shell], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+) \(0x", listing):
        (root / library.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / library.lstrip("/"))
    return root


def shell(tree, script, **options):
    return run_inside(tree, ["/bin/sh", "-c", script], what="a test", **options).decode()


def test_the_program_sees_the_tree_and_its_binds(tree, tmp_path):
    (tmp_path / "bound").mkdir()
    (tmp_path / "bound/file").write_text("hello\n")
    assert shell(tree, "read line </work/file; echo $line", binds=[Bind(tmp_path / "bound", "/work")]) == "hello\n"


def test_arguments_are_not_read_by_a_shell(tree):
    got = run_inside(tree, ["/bin/sh", "-c", 'echo "$1"', "sh", "$(echo x); 'y'"], what="a test")
    assert got == b"$(echo x); 'y'\n"


@pytest.mark.parametrize("path", ["/file", "/bin/file", "/work/file"])
def test_the_tree_and_its_binds_are_read_only(tree, tmp_path, path):
    with pytest.raises(BakeError, match="Read-only file system"):
        shell(tree, f"echo x >{path}", binds=[Bind(tmp_path, "/work")])


def test_a_writable_bind_and_a_writable_tree_are_written(tree, tmp_path):
    (tmp_path / "out").mkdir()
    shell(tree, "echo x >/work/file", binds=[Bind(tmp_path / "out", "/work", writable=True)])
    shell(tree, "echo x >/file", writable=True)
    assert (tmp_path / "out/file").read_text() == (tree / "file").read_text() == "x\n"


def test_there_is_no_network_but_the_loopback(tree):
    names = shell(tree, "while read -r line; do echo $line; done </proc/net/dev")
    assert re.findall(r"^(\w+):", names, re.MULTILINE) in (["lo"], [])


def test_nothing_of_the_hosts_environment_is_seen(tree, monkeypatch):
    monkeypatch.setenv("VITRINE_SECRET", "leak")
    assert shell(tree, "echo $VITRINE_SECRET") == "\n"


def test_no_mount_and_no_device_outlives_a_failure(tree):
    before = Path("/proc/self/mountinfo").read_text()
    with pytest.raises(BakeError, match="status 7"):
        shell(tree, "exit 7")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not list((tree / "dev").iterdir())
    assert not list((tree / "proc").iterdir())


def test_a_missing_mount_point_is_a_typed_error(tree, tmp_path):
    with pytest.raises(BakeError, match="a test: failed"):
        shell(tree, "exit 0", binds=[Bind(tmp_path, "/nowhere")])
