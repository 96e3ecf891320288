"""The boot sequence of a machine with GPUs, on a real software TPM; the GPUs' library has its own tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from client_sdk.binding import gpu_digest, gpu_nonce, report_data
from client_sdk.evidence import Evidence, GpuEvidence
from serving.attest.__main__ import listen
from serving.attest.boot import seal
from serving.attest.local import LocalQemu
from serving.attest.server import Limits, Server
from serving.errors import GpuError, SealError
from tests.serving.attest.test_boot import pcr15, replay

FOUND = (GpuEvidence(b"report one", (b"leaf", b"root")), GpuEvidence(b"report two", (b"leaf two",)))
ROOT = Path(__file__).resolve().parents[3]
DIGEST = gpu_digest(tuple(one.evidence for one in FOUND))


def test_their_evidence_is_asked_with_this_boots_nonce_and_measured(tpm, verdict, tls):
    asked = []

    def gpus(nonce):
        asked.append(nonce)
        return FOUND

    sealed = seal(tpm, selfcheck=verdict, tls=tls, root=tls, gpus=gpus)
    assert asked == [gpu_nonce(sealed.identity.ak.name, sealed.spki)]
    assert sealed.gpu == sealed.evidence.runtime_log[2].data == DIGEST
    assert pcr15(tpm) == replay(sealed.evidence.runtime_log)
    assert Evidence.from_json(sealed.evidence.to_json()).gpu == FOUND


def test_the_cpus_report_binds_them(tpm, verdict, tls, monkeypatch):
    bound = []
    monkeypatch.setattr(LocalQemu, "report", lambda *arguments: bound.append(arguments[-1]))
    sealed = seal(tpm, selfcheck=verdict, tls=tls, root=tls, gpus=lambda _: FOUND)
    final = dict(sealed.evidence.pcrs)[15]
    assert bound == [report_data(sealed.identity.ak.name, sealed.spki, DIGEST, final)]


def test_gpus_that_are_refused_leave_the_boot_unsealed(tpm, verdict, tls, tmp_path):
    """PCR 15 has neither ``gpu`` nor ``sealed``, and a second try is refused: no client takes what is left."""

    def gpus(nonce):
        raise GpuError("a GPU is missing")

    with pytest.raises(GpuError, match="missing"):
        seal(tpm, selfcheck=verdict, tls=tls, root=tls, gpus=gpus)
    left = pcr15(tpm)
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(SealError, match="PCR 15 is not zero"):
        seal(tpm, selfcheck=verdict, tls=again, root=again, gpus=lambda _: FOUND)
    assert pcr15(tpm) == left


@pytest.mark.parametrize("lost_at", [1, 3])
def test_a_server_ends_with_the_first_loss(tmp_path, lost_at):
    rounds = []

    def watch():
        rounds.append(1)
        if len(rounds) == lost_at:
            raise GpuError("a GPU is lost")

    listener = listen(tmp_path / "a.sock")
    server = Server(listener, None, limits=Limits(), clock=lambda: 0.0)
    server.round = lambda **_: None
    with pytest.raises(GpuError, match="lost"):
        server.serve(watch)
    assert len(rounds) == lost_at
    server.close()


def test_an_attester_that_is_told_of_gpus_ends_where_there_is_no_driver(software_tpm, verdict, tls, tmp_path):
    """The process, as the unit starts it: nothing is measured but what came before, and no socket is there."""
    argv = [sys.executable, "-S", "-P", "-m", "serving.attest", "--tcti", software_tpm.tcti, "--gpus", "1"]
    argv += ["--selfcheck", str(verdict), "--tls", str(tls), "--socket", str(tmp_path / "a.sock")]
    environment = {"PYTHONPATH": f"{ROOT}:/usr/lib/python3/dist-packages", "TSS2_LOG": "all+NONE"}
    done = subprocess.run(argv, env=environment, cwd="/", capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert b"libnvidia-ml.so.1 cannot be opened" in done.stderr
    assert not (tmp_path / "a.sock").exists()
