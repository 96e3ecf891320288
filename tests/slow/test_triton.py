"""Triton itself, the locked version, with its own driver and with ours: the GPU's library is asked the same.

Triton compiles for an H100, which no GPU is needed for, and loads and launches on a library that only writes down what
it is asked. Its wheel for this Python is downloaded (190 MB); its own driver needs a C compiler and Python's headers.
"""

from __future__ import annotations

import json

import pytest

from provisioner.image.triton import BACKEND
from tests.fakes.fake_cuda import build
from tests.fakes.launches import RECORDED
from tests.fakes.triton_site import drive, exchange, unpack, with_compiler

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("triton"))


@pytest.fixture(scope="module")
def exchanged(site, tmp_path_factory):
    return exchange(site, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("cuda"))


@pytest.fixture(scope="module")
def stock(site, library, tmp_path_factory):
    """Triton's own, on a machine with a compiler."""
    done = drive(library, tmp_path_factory.mktemp("stock"), site, **with_compiler(library))
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
