"""Triton itself, the locked version, with its own driver and with ours: the GPU's library is asked the same.

Triton compiles for an H100, which no GPU is needed for, and loads and launches on a library that only writes down what
it is asked. Its wheel for this Python is downloaded (190 MB); its own driver needs a C compiler and Python's headers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from provisioner.image.triton import BACKEND, VERSION, exchange_backend
from tests.fakes.fake_cuda import build
from tests.fakes.launches import RECORDED
from tests.fakes.stand_in import torch

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
STAND_IN = Path(torch.__file__).parents[1]
PROGRAM = REPOSITORY / "tests/fakes/triton_drive.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("triton")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder]
    subprocess.run([*pip, f"triton=={VERSION}"], check=True, timeout=600)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    wheel.unlink()
    for program in (folder / "site/triton/backends/nvidia/bin").iterdir():
        program.chmod(0o755)
    return folder / "site"


@pytest.fixture(scope="module")
def exchanged(site, tmp_path_factory):
    """Name our backend, as a bake does: the first folder that knows of a package is the one that counts."""
    folder = tmp_path_factory.mktemp("ours")
    name = f"triton-{VERSION}.dist-info"
    (folder / name).mkdir()
    (folder / name / "entry_points.txt").write_text((site / name / "entry_points.txt").read_text())
    (folder / name / "METADATA").write_text((site / name / "METADATA").read_text())
    exchange_backend(folder)
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("cuda"))


def drive(library, home, *folders, **environment):
    """Run the program with nothing of ours but what is said, and no site packages."""
    path = os.pathsep.join(str(folder) for folder in (REPOSITORY, STAND_IN, *folders))
    environment = {"HOME": str(home), "TMPDIR": str(home), "PATH": "/nonexistent", "PYTHONPATH": path} | environment
    argv = [sys.executable, "-S", "-P", PROGRAM, library]
    return subprocess.run(argv, env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def stock(site, library, tmp_path_factory):
    """Triton's own, on a machine with a compiler."""
    told = {"TRITON_LIBCUDA_PATH": str(library.parent), "PATH": "/usr/bin:/bin"}
    done = drive(library, tmp_path_factory.mktemp("stock"), site, **told)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def ours(site, exchanged, library, home):
    """Ours, on a machine without one."""
    done = drive(library, home, exchanged, site)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_each_has_the_driver_that_it_should(stock, ours):
    assert stock["driver"] == "triton.backends.nvidia.driver"
    assert ours["driver"] == f"{BACKEND}.driver"


def test_the_record_is_what_tritons_own_driver_does(stock):
    recorded = json.loads(RECORDED.read_text())
    assert {name: stock[name] for name in recorded} == recorded


def test_both_ask_the_same_at_every_step(stock, ours):
    assert ours | {"driver": ""} == stock | {"driver": ""}


def test_kernels_were_compiled_loaded_and_launched(ours):
    launches = [line for line in ours["compiled"] if line.startswith("launch")]
    assert len(launches) == 5
    # Machine code for the GPU is an ELF file.
    loads = [line for line in ours["compiled"] if line.startswith("load")]
    assert loads == ["load 7f454c46"] * 4


def test_nothing_was_written_that_a_processor_runs(ours, home):
    kept = {path.suffix for path in home.rglob("*") if path.is_file()}
    assert ".cubin" in kept
    assert not kept & {".so", ".c", ".o"}


def test_without_a_compiler_tritons_own_driver_runs_nothing(site, library, tmp_path):
    done = drive(library, tmp_path, site, TRITON_LIBCUDA_PATH=str(library.parent))
    assert done.returncode != 0
    assert "Failed to find C compiler" in done.stderr
