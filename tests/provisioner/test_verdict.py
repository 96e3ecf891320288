"""The verdict that is kept: whole or not at all, and what is no verdict is said, never taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from client_sdk.errors import EvidenceError, Failure, PolicyError, VerificationError
from provisioner import acceptance
from provisioner.acceptance import Trust, accept
from provisioner.errors import CloudError, MeasureError, SpecError
from provisioner.verdict import FILE, Verdict, broken_rule, keeper, last_verdict, shorten
from tests.fakes.simulated_server import serving
from tests.fakes.simulated_vm import SimulatedVm, TestCa
from tests.provisioner.clouds.conftest import quiet

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ACCEPTED = Verdict(
    when=NOW, verdict="accepted", origin="https://127.0.0.1:8443", policy="simulated", release=3, checks=43
)


def test_what_is_kept_is_read_again(tmp_path):
    refused = replace(ACCEPTED, verdict="refused", rule="K1", why="another CA")
    for verdict in (ACCEPTED, refused):
        keeper(tmp_path, quiet)(verdict)
        assert last_verdict(tmp_path) == verdict
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_none_was_kept(tmp_path):
    assert last_verdict(tmp_path) is None
    assert last_verdict(tmp_path / "nowhere") is None


WHOLE = ACCEPTED.as_dict()


@pytest.mark.parametrize(
    ("fault", "content"),
    [
        ("empty", b""),
        ("half of it", json.dumps(WHOLE).encode()[:40]),
        ("no object", b"[]"),
        ("of another version", json.dumps(WHOLE | {"version": 2}).encode()),
        ("a word that is none", json.dumps(WHOLE | {"verdict": "fine"}).encode()),
        ("verified is not accepted", json.dumps(WHOLE | {"verdict": "verified"}).encode()),
        ("an unknown key", json.dumps(WHOLE | {"token": "x"}).encode()),
        ("a key is missing", json.dumps({key: WHOLE[key] for key in WHOLE if key != "policy"}).encode()),
        ("a number as text", json.dumps(WHOLE | {"release": "3"}).encode()),
        ("a list as verdict", json.dumps(WHOLE | {"verdict": ["accepted"]}).encode()),
        ("an instant without a zone", json.dumps(WHOLE | {"when": "2026-11-26T12:00:00"}).encode()),
        ("what a terminal obeys", json.dumps(WHOLE | {"why": "\x1b[2J"}).encode()),
        ("far too long", json.dumps(WHOLE | {"why": "x" * 100_000}).encode()),
    ],
)
def test_a_damaged_file_is_a_fault_of_ours_with_what_to_do(tmp_path, fault, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(SpecError, match=r"verdict\.json: expected a verdict.*delete the file and verify again"):
        last_verdict(tmp_path)


def test_a_folder_in_its_place_is_a_fault_of_ours(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(SpecError, match="expected a verdict"):
        last_verdict(tmp_path)


def test_what_cannot_be_written_is_said_and_raises_nothing(tmp_path):
    said = []
    (tmp_path / "root").write_bytes(b"a file where the folder should be")
    keeper(tmp_path / "root", said.append)(ACCEPTED)
    assert len(said) == 1
    assert "could not be kept" in said[0]


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (VerificationError("Q3", "the PCRs are what was quoted", expected="a", got="b"), "Q3"),
        (PolicyError((Failure("D1: production", "a", "b"), Failure("D2: x", "a", "b"))), "D1"),
        (PolicyError(()), ""),
        (EvidenceError("quote", "too short"), ""),
    ],
)
def test_the_rule_of_a_refusal(error, rule):
    assert broken_rule(error) == rule


def test_what_a_peer_says_is_kept_printable_and_short():
    assert shorten("\x1b[2Jx") == "\\x1b[2Jx"
    assert len(shorten("x" * 10_000)) == 2000


def judged(target, vm, root):
    with serving(vm) as server:
        return accept(replace(target, origin=server.origin), seconds=1, progress=quiet, keep=keeper(root, quiet))


def test_an_acceptance_is_kept_with_policy_release_and_checks(target, tmp_path):
    report = judged(target, SimulatedVm(), tmp_path)
    kept = last_verdict(tmp_path)
    assert (kept.verdict, kept.release, kept.checks) == ("accepted", 1, len(report["checks"]))
    assert kept.policy == report["facts"]["policy"]
    assert (kept.rule, kept.why) == ("", "")


def test_a_refusal_is_kept_with_its_rule(target, tmp_path):
    with pytest.raises(MeasureError):
        judged(target, SimulatedVm(ca=TestCa("another CA")), tmp_path)
    kept = last_verdict(tmp_path)
    assert (kept.verdict, kept.rule, kept.release) == ("refused", "K1.1", 1)
    assert "K1" in kept.why


def test_production_refuses_a_local_vm_where_no_policy_is_named(target, tmp_path):
    with pytest.raises(MeasureError, match="D1"):
        judged(replace(target, trust=Trust("policy", None)), SimulatedVm(), tmp_path)
    assert last_verdict(tmp_path).rule == "D1"


def test_a_refusal_that_cannot_be_kept_is_still_that_refusal(target, tmp_path):
    with pytest.raises(MeasureError, match="K1"):
        judged(target, SimulatedVm(ca=TestCa("another CA")), tmp_path / "nowhere")


def test_nobody_who_answers_is_no_verdict(target, tmp_path, monkeypatch):
    monkeypatch.setattr(acceptance, "PAUSE", 0.01)
    keeper(tmp_path, quiet)(ACCEPTED)
    with pytest.raises(CloudError):
        accept(target, seconds=0, progress=quiet, keep=keeper(tmp_path, quiet))
    assert last_verdict(tmp_path) == ACCEPTED


def test_a_file_of_ours_that_is_wrong_is_no_verdict(target, tmp_path):
    target.release.write_bytes(b"{}")
    with pytest.raises(SpecError):
        accept(target, seconds=0, progress=quiet, keep=keeper(tmp_path, quiet))
    assert last_verdict(tmp_path) is None
