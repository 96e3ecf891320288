"""docs/api.md explains every public name, and its examples run, in order, against a simulated service."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

import client_sdk
from client_sdk import Production, VerificationError, verify_stored
from client_sdk.errors import EvidenceError
from client_sdk.report import ACCEPTED
from tests.fakes.judging import NONCE
from tests.fakes.judging_cloud import production
from tests.fakes.simulated_cloud_vm import GCP_TDX, MOMENT, SimulatedCloudVm
from tests.fakes.simulated_vm import publisher, release, signed

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("name", client_sdk.__all__)
def test_every_public_name_is_explained(name):
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    assert re.search(rf"\*\*`{name}\b[^`]*`\*\*", prose), f"docs/api.md does not explain {name}"


def test_nothing_is_explained_that_is_not_public():
    explained = set(re.findall(r"\*\*`(\w+)[^`]*`\*\*", TEXT))
    assert explained - set(client_sdk.__all__) == set()


def test_the_examples_run(server, pins, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "build" / "local"
    folder.mkdir(parents=True)
    for path in (pins.release, pins.publisher, pins.tpm_ca):
        shutil.copy(path, folder)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    port = str(server.server_address[1])
    for block in BLOCKS:
        exec(compile(block.replace("8443", port), "docs/api.md", "exec"), names)  # noqa: S102 - our own documentation
    said = capsys.readouterr().out
    assert "accepted" in said
    assert "D1" in said.splitlines()[-1]
    assert names["verdict"].release == names["release"]
    names["connection"].close()
    names["client"].close()


def stored(**changes):
    """Judge evidence of a cloud's VM that was stored."""
    vm = SimulatedCloudVm(GCP_TDX)
    given = {
        "releases": signed(release(measured=vm.measurement())),
        "publisher": publisher(),
        "now": MOMENT,
        "policy": production(GCP_TDX),
        "collateral": vm.collateral(),
    }
    return verify_stored(vm.evidence(NONCE).to_json(), changes.pop("nonce", NONCE), **given | changes)


def test_stored_evidence_of_a_cloud():
    report = stored().report
    assert report.verdict == ACCEPTED
    assert [why for rule, why in report.not_run if rule == "C3"] == [
        "the evidence was stored: no connection showed its certificate"
    ]


def test_stored_evidence_by_another_nonce():
    with pytest.raises(VerificationError, match=r"\[C2.2\]"):
        stored(nonce=bytes(32))


def test_stored_evidence_after_the_release_ended():
    with pytest.raises(VerificationError, match=r"\[R6\]"):
        stored(now=datetime(2100, 1, 1, tzinfo=UTC))


def test_stored_evidence_is_judged_by_production_unless_something_else_is_said():
    with pytest.raises(VerificationError, match=r"\[K1"):
        stored(policy=None)
    with pytest.raises(VerificationError, match=r"\[K1"):
        stored(policy=Production())


def test_stored_bytes_that_are_no_evidence():
    with pytest.raises(EvidenceError):
        verify_stored(b"{}", NONCE, releases=signed(release()), publisher=publisher(), now=MOMENT)
