"""A root file system small enough to make in a blink: a shell, a few tools, their libraries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, init_plugin_loader

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
TOOLS = ("sh", "cat", "ls", "sleep", "id", "mount", "readlink", "mkdir", "ln", "true")


def make_root(root):
    for name in ("proc", "dev", "run", "tmp", "etc", "root", "usr/bin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for folder in ("bin", "lib", "lib64"):
        (root / "usr" / folder).mkdir(exist_ok=True)
        (root / folder).symlink_to(f"usr/{folder}")
    for tool in TOOLS:
        binary = Path(shutil.which(tool)).resolve()
        shutil.copy(binary, root / "usr/bin" / tool)
        said = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+)", said):
            target = root / "usr" / library.removeprefix("/usr").lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    return root


@pytest.fixture(scope="session")
def pristine_root(tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("pristine") / "root")


@pytest.fixture
def root(pristine_root, tmp_path):
    shutil.copytree(pristine_root, tmp_path / "root", symlinks=True)
    return tmp_path / "root"


@pytest.fixture
def connect():
    """Open the connection as Ansible does: through its plugin loader."""
    if not connection_loader.has_plugin("rootdir"):
        init_plugin_loader([])
        connection_loader.add_directory(str(PLUGINS / "connection"))

    def opened(path):
        connection = connection_loader.get("rootdir", PlayContext(), os.devnull)
        connection.set_options(direct={"root": str(path)})
        return connection._connect()

    return opened
