"""The tree as the roles leave it, made once per run by the playbook itself, and a way to run commands in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
# Unlike the connection that configures the tree, this keeps every capability: nft needs them.
ENTER = """
set -eu
cd "$1"; shift
mount -t proc proc proc
mount -t tmpfs -o mode=0755 dev dev; : > dev/null; mount --bind /dev/null dev/null
mount -t tmpfs run run; mount -t tmpfs tmp tmp
exec chroot . "$@"
"""


@pytest.fixture(scope="session")
def enter():
    """The shell script that enters a tree: its arguments are the tree and a command."""
    return ENTER


@pytest.fixture(scope="session")
def play():
    """Run a playbook of ours, or one that a test wrote."""

    def run(playbook, *arguments):
        ours = {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "PYTHONPATH": str(REPOSITORY)}
        environment = {**os.environ, **ours, "ANSIBLE_FORCE_COLOR": "0"}
        argv = [PLAYBOOK, "-i", str(REPOSITORY / "inventories/local"), str(playbook), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, cwd=REPOSITORY)

    return run


@pytest.fixture(scope="session")
def configured(tmp_path_factory, play):
    """The tree after all roles, before it is cleaned and packed. Tests only look at it."""
    if os.geteuid() != 0:
        pytest.skip("entering a root file system needs root")
    output = tmp_path_factory.mktemp("bake")
    done = play(REPOSITORY / "playbooks/bake.yml", "--skip-tags", "seal", "-e", f"bake_output={output}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    (tree,) = output.glob(".work-*/tree")
    return tree


@pytest.fixture(scope="session")
def inside(configured, enter):
    """Run a command in the configured tree, without a network."""

    def run(*argv):
        unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "sh", "-c", enter, "sh"]
        return subprocess.run([*unshared, str(configured), *argv], capture_output=True, text=True, check=False)

    return run
