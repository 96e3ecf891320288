"""Triton's kernels on a GPU, launched by Triton's own driver and by ours: the same comes out."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from provisioner.image.triton import BACKEND
from tests.fakes.triton_site import REPOSITORY, exchange

PROGRAM = Path(__file__).with_name("kernels.py")
PYTHON = Path(os.environ["VITRINE_VLLM"]) / "bin/python"
(PACKAGES,) = PYTHON.parents[1].glob("lib/python3.*/site-packages")


def run(home, *folders, path="/nonexistent"):
    """Run the kernels with these folders before all others; nothing that compiles is found but where it is said."""
    found = os.pathsep.join(map(str, (REPOSITORY, *folders, PACKAGES)))
    told = {"HOME": str(home), "TMPDIR": str(home), "PATH": path, "PYTHONPATH": found}
    argv = [str(PYTHON), "-S", "-P", str(PROGRAM), "run"]
    return subprocess.run(argv, env=told, cwd=home, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("ours")
    done = run(home, exchange(PACKAGES, folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout), home


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    done = run(tmp_path_factory.mktemp("stock"), path="/usr/bin:/bin")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_kernel_runs_and_answers_as_through_tritons_own_driver(ours, stock):
    assert stock["driver"] == "triton.backends.nvidia.driver"
    assert ours[0] == stock | {"driver": f"{BACKEND}.driver"}


def test_what_does_not_fit_on_the_gpu_is_refused_by_name(ours):
    assert ours[0]["refused"] == "OutOfResources"


def test_nothing_was_written_that_a_processor_runs(ours):
    kept = {path.suffix for path in ours[1].rglob("*") if path.is_file()}
    assert ".cubin" in kept
    assert not kept & {".so", ".c", ".o"}


def test_without_a_compiler_tritons_own_driver_runs_nothing(tmp_path):
    done = run(tmp_path)
    assert done.returncode != 0
    assert "Failed to find C compiler" in done.stderr
