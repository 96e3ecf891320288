"""The digests in a report: which bytes were judged, and which of them each check is about."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from client_sdk.errors import AttestationError, EvidenceError, Failure, FetchError, PolicyError, VerificationError
from client_sdk.evidence import Evidence, GpuEvidence, TeeEvidence
from client_sdk.report import Check, Report, refusal
from client_sdk.rules import broader
from client_sdk.sources import WHAT, digests, parts, source_of
from tests.fakes.judging import simulated
from tests.fakes.reports import judged, refused
from tests.fakes.simulated_vm import SimulatedVm, release, signed


def test_every_check_of_a_report_names_a_source_that_is_in_its_table():
    report = judged().report.as_dict()
    assert {check["source"] for check in report["checks"]} <= report["sources"].keys() <= WHAT.keys()
    assert "" not in {check["source"] for check in report["checks"]}


def test_the_digests_are_those_of_the_bytes_as_received():
    accepted = judged()
    sources, evidence = dict(accepted.report.sources), accepted.evidence.evidence
    wire = dict(accepted.evidence.received)["evidence"][0]
    assert Evidence.from_json(wire) == evidence
    assert sources["evidence"] == (sha256(wire).digest(),)
    assert sources["quote"] == (sha256(evidence.quote.attest).digest(),)
    assert sources["event_log"] == (sha256(evidence.event_log).digest(),)
    assert sources["ek_certificates"] == tuple(sha256(der).digest() for der in evidence.ek_certificates)
    assert sources["releases"] == (sha256(signed(release())).digest(),)
    assert len(sources["runtime_log"]) == 4
    assert "tee_report" not in sources


def test_parts_of_a_cpu_and_a_gpu():
    evidence = replace(
        SimulatedVm().evidence(bytes(32)),
        tee=TeeEvidence("snp", b"report", (b"vcek", b"ask"), b"", b""),
        gpu=(GpuEvidence(b"one", (b"a", b"b")), GpuEvidence(b"two", (b"c",))),
    )
    found = dict(parts(evidence))
    assert found["tee_certificates"] == (b"vcek", b"ask")
    assert found["gpu_evidence"] == (b"one", b"two")
    assert found["gpu_certificates"] == (b"a", b"b", b"c")
    assert "tee_ccel" not in found
    assert found.keys() <= WHAT.keys()


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("L1.0", "event_log"),
        ("L1.15", "runtime_log"),
        ("L7.pcr9", "quote"),
        ("L7.12", "event_log"),
        ("Q6.2", "quote_signature"),
        ("K1.4", "ek_certificates"),
        ("T2.1", "tee_report"),
        ("T11.amd.3", "tee_report"),
        ("G1.4", ""),
        ("Z1", ""),
    ],
)
def test_the_source_of_a_rule(rule, source):
    names = frozenset({"event_log", "runtime_log", "quote", "quote_signature", "ek_certificates", "tee_report"})
    assert source_of(rule, names) == source


def test_a_certificate_of_the_attestation_key_comes_before_one_of_the_endorsement_key():
    assert source_of("K1.1", frozenset({"ak_certificates", "ek_certificates"})) == "ak_certificates"


def test_an_id_and_what_it_is_a_part_of():
    assert broader("T11.amd.3") == ("T11.amd.3", "T11.amd", "T11")
    assert broader("L7.pcr9") == ("L7.pcr9", "L7.pcr", "L7")
    assert broader("R1") == ("R1",)


@pytest.mark.parametrize(
    ("attack", "rule", "known"),
    [
        ("sign", "Q6.2", {"releases", "evidence", "quote", "nonce"}),
        ("certificate", "C3.1", {"releases", "evidence", "quote", "connection_certificate"}),
        ("release", "L7.pcr9", {"releases", "evidence", "quote", "activation"}),
        ("publisher", "R1", {"releases"}),
        ("evidence", "", {"releases", "evidence", "nonce"}),
    ],
)
def test_a_refusal_names_what_was_received_until_then(attack, rule, known):
    report = refused(attack)
    assert rule in {check.id for check in report.checks if not check.passed} or not rule
    assert known <= dict(report.sources).keys()
    assert json.loads(report.to_json())["verdict"] == "refused"


def test_a_refusal_says_what_does_not_apply_and_what_is_known():
    report = refused("release")
    assert dict(report.not_run)["T1 to T11"]
    assert (dict(report.facts)["release"], dict(report.facts)["policy"]) == (1, simulated().name)
    assert dict(refused("sign").facts)["release"] == (1,)


def test_rules_without_a_row_in_a_ledger_are_checks_of_the_refusal():
    assert refusal(VerificationError("K5", "no", expected="a", got="b")).checks == (
        Check("K5", "no", "a", "b", passed=False),
    )
    failures = (Failure("R4: a release to compare with", "at least one", "none"),)
    assert refusal(PolicyError(failures)).checks == (
        Check("R4", "a release to compare with", "at least one", "none", passed=False),
    )
    assert refusal(EvidenceError("$.quote", "bad")).checks == ()


def test_what_failed_is_there_once():
    error = VerificationError("Q6.2", "x")
    error.checks = (Check("Q6.2", "x", "valid", "no", passed=False),)
    assert refusal(error).checks == error.checks


@pytest.mark.parametrize(("error", "verdict"), [(FetchError("x"), "no verdict"), (AttestationError("x"), "refused")])
def test_the_word_for_a_refusal(error, verdict):
    assert refusal(error).verdict == verdict


def test_a_report_made_by_hand_has_no_sources_and_says_so():
    report = Report("accepted", (Check("Q1.1", "x", 1, 1, passed=True),)).as_dict()
    assert (report["sources"], report["checks"][0]["source"]) == ({}, "")
    assert digests(()) == ()
