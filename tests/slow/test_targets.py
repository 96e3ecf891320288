"""The targets of the Makefile that take long, run as a person runs them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from provisioner.image.packages import LOCK_FILE, data_path, parse_lock
from provisioner.image.vllm_wheels import LOCK_FILE as VLLM_LOCK
from tests.e2e.machine import CHECKOUT, make
from tests.hardening.page import PAGE

pytestmark = pytest.mark.slow
VLLM = os.environ.get("VITRINE_VLLM", "")


def test_make_reproduce_ends_with_equal_disks():
    outcome = make("reproduce", seconds=3000)
    assert outcome.status == 0, outcome.err[-4000:]
    assert {"boot.raw", "model.raw", "uki.efi", "manifest.json"} <= set(
        re.findall(r"^[0-9a-f]{64}  (\S+)$", outcome.out, re.MULTILINE)
    )
    assert outcome.out.rstrip().endswith("both bakes are equal, byte for byte")


def test_make_bake_of_a_baked_image_does_nothing():
    assert make("bake").status == 0
    again = make("bake")
    assert again.status == 0
    assert re.search(r"localhost +: ok=\d+ +changed=0 ", again.out)


def test_make_lock_writes_a_lock_that_can_be_read():
    path = data_path(LOCK_FILE)
    before = path.read_bytes()
    try:
        outcome = make("lock")
        assert outcome.status == 0, outcome.err
        assert len(parse_lock(path.read_bytes()).image.packages) > 50
    finally:
        path.write_bytes(before)


def test_make_vllm_lock_writes_what_is_there():
    """The versions are those of a day that is past, so nothing can have changed but a wheel that was taken back."""
    path = CHECKOUT / VLLM_LOCK
    before = path.read_text()
    try:
        outcome = make("vllm-lock", seconds=1800)
        assert outcome.status == 0, outcome.err
        assert path.read_text() == before
    finally:
        path.write_text(before)


def test_make_docs_builds_the_site_and_looks_at_it():
    outcome = make("docs", seconds=900)
    assert outcome.status == 0, outcome.out + outcome.err
    assert (CHECKOUT / "build/site/index.html").exists()


def test_make_whitepaper_prints_a_pdf():
    outcome = make("whitepaper", seconds=900)
    assert outcome.status == 0, outcome.out + outcome.err
    assert (CHECKOUT / "build/whitepaper.pdf").read_bytes().startswith(b"%PDF-")


def test_make_bench_prints_every_figure():
    outcome = make("bench", seconds=3000)
    assert outcome.status == 0, outcome.out + outcome.err
    for figure in (
        "ratio of the best 2 %",
        "import client_sdk",
        "start to accepted attestation",
        "start to first chat token",
    ):
        assert figure in outcome.out


def test_make_hardening_numbers_writes_every_table():
    before = PAGE.read_text()
    try:
        assert make("deploy").status == 0
        assert make("destroy").status == 0
        outcome = make("hardening-numbers", seconds=1200)
        assert outcome.status == 0, outcome.out[-2000:] + outcome.err[-2000:]
        for figure in ("| shells |", "hardening index", "| all |"):
            assert figure in outcome.out
        assert re.findall("<!-- .* -->", PAGE.read_text()) == re.findall("<!-- .* -->", before)
    finally:
        PAGE.write_text(before)


def test_make_test_serving_is_green_with_vllm_really_serving():
    outcome = make("test-serving", seconds=3600)
    assert outcome.status == 0, outcome.out[-6000:] + outcome.err[-2000:]
    assert re.search(r"^=+ \d\d+ passed in ", outcome.out, re.MULTILINE)


def test_make_test_gpu_says_what_it_wants():
    outcome = make("test-gpu", "VITRINE_VLLM=")
    assert outcome.status == 2
    assert "a virtual environment with the wheels of requirements/vllm-gpu.lock" in outcome.err


@pytest.mark.skipif(
    not (VLLM and Path("/dev/nvidiactl").exists()),
    reason="it runs where a GPU is, and VITRINE_VLLM names vLLM's environment (docs/gpu.md)",
)
def test_make_test_gpu_is_green_on_a_gpu():
    outcome = make("test-gpu", f"VITRINE_VLLM={VLLM}", seconds=3600)
    assert outcome.status == 0, outcome.out[-6000:] + outcome.err[-2000:]


def test_make_bench_serving_prints_every_table():
    outcome = make("bench-serving", "BENCH=--quick", seconds=3600)
    assert outcome.status == 0, outcome.out[-4000:] + outcome.err[-4000:]
    for figure in ("CPU of the door per streamed token", "requests per second", "vllm: ", "llamacpp: ", "32 stream(s)"):
        assert figure in outcome.out


def test_make_soak_keeps_a_thousand_streams_open_and_prints_memory():
    outcome = make("soak", "MINUTES=1", seconds=600)
    assert outcome.status == 0, outcome.out[-4000:] + outcome.err[-4000:]
    (minute,) = re.findall(r"^ +1\.0 +(\d+) .* +(\d+)$", outcome.out, re.MULTILINE)
    assert int(minute[0]) > 900, outcome.out
    assert minute[1] == "0", outcome.out
    assert re.search(r"^at most [\d.]+ MB", outcome.out, re.MULTILINE)


def test_make_bench_attestation_shares_quotes_and_prints_both_tables():
    outcome = make("bench-attestation", "BENCH=--seconds 2 --turns 1 --clients 50", seconds=600)
    assert outcome.status == 0, outcome.out + outcome.err
    rate = re.search(r"shared: ([\d.]+) x the rate", outcome.out)
    assert rate
    assert float(rate[1]) > 5  # of 50, on whatever machine this is
    assert outcome.out.count("x the page's CPU") == 2


def test_make_bench_log_prints_every_figure():
    """A hundredth of the ten million entries."""
    outcome = make("bench-log", "BENCH=--entries 100000", seconds=600)
    assert outcome.status == 0, outcome.out + outcome.err
    assert "| inclusion proof | 17 hashes, 544 bytes |" in outcome.out
    for figure in ("tiles", "consistency proof", "append, 1 with a checkpoint", "a client judges a bundle"):
        assert f"| {figure} |" in outcome.out, figure


def test_make_fuzz_runs_every_harness():
    outcome = make("fuzz", "SECONDS=60", seconds=1200)
    assert outcome.status == 0, outcome.out[-3000:] + outcome.err[-3000:]


def test_make_mutants_leaves_no_survivor_unexplained():
    outcome = make("mutants", seconds=3000)
    assert outcome.status == 0, outcome.out[-4000:] + outcome.err
    told = re.search(r"^(\d+) mutants: .*\nnoticed by vectors: .*; survivors: 0$", outcome.out, re.MULTILINE)
    assert told
