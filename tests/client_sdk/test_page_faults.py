"""What the page says of a failed rule is true: which link it marks, how, and what to do; and it claims no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from client_sdk.cli.rules import rows
from client_sdk.errors import AttestationError
from client_sdk.page import Heading, render
from client_sdk.page.faults import FAULTS, State, advice, fault, worst
from client_sdk.page.links import findings, place
from client_sdk.policy import (
    AnyValue,
    AzureCloud,
    Count,
    GoogleCloud,
    NvidiaGpu,
    SevSnp,
)
from client_sdk.report import Check, refusal
from client_sdk.rules import broader
from tests.client_sdk.test_page import PRODUCTION, Page, page_of
from tests.fakes.judging_cloud import accepted, production
from tests.fakes.reports import confidential, judged
from tests.fakes.simulated_cloud_vm import (
    AZURE_SNP,
    AZURE_TDX,
    DAY,
    GCP_SNP,
    GCP_TDX,
    KINDS,
    MOMENT,
    SimulatedCloudVm,
)

FAILED, UNWANTED, STALE = State.FAILED, State.UNWANTED, State.STALE
ANY = AnyValue("a test")
RULES = sorted({row.id for row in rows(None)})
"""Of every module of the client."""

# Rule → the link that it marks, how, and words that the advice must have: at least one of each family.
TABLE = [
    ("C2.2", "freshness", FAILED, "give the nonce that"),
    ("C3", "connection", FAILED, "Name the service itself"),
    ("C3.1", "connection", FAILED, "Somebody stands between"),
    ("C6.1", "freshness", FAILED, "missing"),
    ("C7", "connection", UNWANTED, "what this client was called with"),
    ("D1", "tpm-root", FAILED, "--simulated"),
    ("D2", "tpm-root", FAILED, "CA of this very run"),
    ("K1.1", "tpm-root", FAILED, "pinned the right root"),
    ("K1.2", "tpm-root", STALE, "dates"),
    ("K3.2", "tpm-root", FAILED, "in production"),
    ("K3.3", "policy", UNWANTED, "belongs to another project or zone"),
    ("K3.5", "policy", UNWANTED, "Check [google] in your policy"),
    ("K3.7", "policy", UNWANTED, "Check [google] in your policy"),
    ("K5", "key", FAILED, "Update this client"),
    ("K5.1", "key", FAILED, "did not come"),
    ("L1.pcr4", "measurements", FAILED, "During a rollout give both"),
    ("L1.4", "logs", FAILED, "booted something else"),
    ("L8.1", "measurements", FAILED, "booted something else"),
    ("L8.2", "policy", UNWANTED, "older than your policy takes"),
    ("L10.2", "measurements", FAILED, "Another image was started"),
    ("P1", "policy", UNWANTED, "no confidential one"),
    ("P2", "prediction", UNWANTED, "leaves open"),
    ("P5", "policy", UNWANTED, "on another cloud"),
    ("P6", "tpm-root", UNWANTED, "roots of this very policy"),
    ("P7", "policy", UNWANTED, "alternatives"),
    ("Q6.2", "signature", FAILED, "not genuine"),
    ("R1", "publisher", FAILED, "from the publisher"),
    ("R3", "publisher", FAILED, "revoked"),
    ("P9", "prediction", UNWANTED, "DEBUG image"),
    ("R4", "prediction", UNWANTED, "measurements for this platform"),
    ("R4.1", "policy", UNWANTED, "a policy with clauses"),
    ("R6", "publisher", STALE, "newer release"),
    ("T1.1", "tee-binding", FAILED, "another machine"),
    ("T1.ak", "tee-binding", FAILED, "another machine"),
    ("T1.vm", "policy", UNWANTED, "`vm_ids` of [azure]"),
    ("T1.console", "policy", UNWANTED, "Check [azure]"),
    ("T2.1", "tee-root", FAILED, "Do not use"),
    ("T2.2", "tee-root", STALE, "inside the dates"),
    ("T2.13", "tee-signature", FAILED, "Do not use"),
    ("T3.7", "tee-values", UNWANTED, "is not taken"),
    ("T4.8", "tee-values", FAILED, "may look into this machine"),
    ("T4.17", "tee-values", FAILED, "Ask the operator to update"),
    ("T5.6", "tee-values", UNWANTED, "paravisor"),
    ("T6.5", "tee-signature", FAILED, "Do not use"),
    ("T7.3.2", "tee-root", STALE, "or give --at inside the dates"),
    ("T7.3.3", "tee-root", FAILED, "revoked"),
    ("T7.8", "tee-root", FAILED, "not signed by the maker"),
    ("T7.12", "tee-root", STALE, "or give --at inside the dates"),
    ("T7.15", "tee-root", STALE, "other hardware"),
    ("T7.21", "tee-values", FAILED, "update"),
    ("T8.5", "tee-values", FAILED, "may look into this machine"),
    ("T8.11", "tee-values", FAILED, "booted something else"),
    ("T9.3", "tee-values", FAILED, "booted something else"),
    ("T10.1", "tee-values", UNWANTED, "only Google's word does"),
    ("T11.1", "tee-root", STALE, "was not given. Run `vitrine collateral fetch`"),
    ("T11.2", "tee-root", STALE, "Run `vitrine collateral fetch` again"),
    ("T11.4", "tee-root", STALE, "older than the newest"),
    ("T11.amd.3", "tee-root", FAILED, "revoked"),
    ("T11.amd.6", "tee-values", UNWANTED, "denied"),
    ("G1.1.1", "gpu-root", FAILED, "not shown to be genuine"),
    ("G1.6.3", "gpu-root", FAILED, "revoked"),
    ("G1.6.4", "gpu-root", STALE, "Run `vitrine collateral fetch` again"),
    ("G1.7", "gpu-root", STALE, "was not given"),
    ("G2.2", "gpu-binding", FAILED, "Do not use"),
    ("G3.7", "gpu-values", FAILED, "not what NVIDIA published"),
    ("G3.10", "gpu-values", STALE, "was not given"),
    ("G4.1", "gpu-policy", UNWANTED, "The machine has 1 of NVIDIA's GPUs, your policy or the release wants 2."),
    ("G4.3", "gpu-policy", UNWANTED, "not one that your policy names"),
    ("G4.6", "gpu-values", FAILED, "debugging"),
    ("G5.1", "gpu-binding", FAILED, "Do not use"),
]


@pytest.mark.parametrize(("rule", "link", "state", "words"), TABLE, ids=[row[0] for row in TABLE])
def test_a_failed_rule_marks_its_own_link_and_says_what_to_do(rule, link, state, words):
    check = Check(rule, "x", "2 to 2", 1, passed=False)
    assert (place(rule).key, fault(rule).state) == (link, state)
    assert words in advice(check)


def test_the_table_has_every_family():
    families = {rule.partition(".")[0].rstrip("0123456789") for rule in RULES}
    assert families <= {rule[0] for rule, *_ in TABLE}
    assert {f"T{number}" for number in range(1, 12)} <= {rule.partition(".")[0] for rule, *_ in TABLE}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_an_advice_of_its_family(rule):
    known = [part for part in (*broader(rule), rule[:1]) if part in FAULTS]
    assert known, "say what to do when it fails, in client_sdk/page/faults.py"


def test_every_fault_is_of_a_rule_or_family():
    kept = {part for rule in RULES for part in (*broader(rule), rule[:1])}
    assert FAULTS.keys() - kept == set()


@pytest.mark.parametrize("rule", sorted(rule for rule, found in FAULTS.items() if found.state is UNWANTED))
def test_what_is_only_unwanted_is_not_called_false(rule):
    said = advice(Check(rule, "x", "y", "z", passed=False))
    assert not any(word in said for word in ("not genuine", "pinned the right root", "Do not use"))


def test_the_worst_failure_of_a_link_is_shown():
    checks = [Check(rule, "x", 1, 2, passed=False) for rule in ("T11.1", "T3.7", "T2.1")]
    assert (worst(checks), worst(checks[:2]), worst(checks[:1]), worst(())) == (FAILED, UNWANTED, STALE, None)
    assert worst([check._replace(passed=True) for check in checks]) is None


def test_an_unknown_rule_is_taken_for_the_worst():
    assert fault("Z9.9").state is FAILED


def refused(vm, **options):
    """Return the report of a refusal, and its page."""
    with pytest.raises(AttestationError) as caught:
        accepted(vm, **options)
    report = refusal(caught.value)
    heading = Heading("https://vitrine.example", "production", MOMENT)
    return report, Page(render(report, heading, error=caught.value))


def marked(report):
    return {item.link.key: item.state for item in findings(report) if item.state in {FAILED, UNWANTED, STALE}}


ELSEWHERE = {"project": "another-project", "zones": ANY}
MISMATCHES = [
    ("a project of somebody else", GCP_TDX, {"google": GoogleCloud(**ELSEWHERE)}, "policy", "another project or zone"),
    ("another zone", GCP_SNP, {"google": GoogleCloud(ANY, ("mars-1a",))}, "policy", "Check [google]"),
    ("another cloud", GCP_TDX, {"azure": AzureCloud()}, "policy", "on another cloud"),
    ("another VM", AZURE_SNP, {"azure": AzureCloud(vm_ids=("0",))}, "policy", "another one than your policy names"),
    (
        "fewer GPUs",
        GCP_TDX,
        {"gpu": NvidiaGpu(count=Count(2, 2))},
        "gpu-policy",
        "has 1 of NVIDIA's GPUs, your policy or the release wants 2.",
    ),
    ("no cloud's word", GCP_SNP, {"snp": SevSnp()}, "tee-values", "cloud_vouched_boot"),
]


@pytest.mark.parametrize(("name", "kind", "clauses", "link", "words"), MISMATCHES, ids=[row[0] for row in MISMATCHES])
def test_a_genuine_machine_that_is_not_wanted(name, kind, clauses, link, words):
    report, page = refused(SimulatedCloudVm(kind, gpus=1), policy=production(kind, **clauses))
    assert marked(report) == {link: UNWANTED}, name
    failed, top = page.by_id("failed")["text"], page.all("header")[0]["text"]
    assert words in failed
    assert "not genuine" not in failed
    assert "What was checked of it is genuine" in top


def test_collateral_that_was_not_given():
    report, page = refused(SimulatedCloudVm(GCP_TDX), collateral=None)
    assert marked(report) == {"tee-root": STALE}
    assert "`vitrine collateral fetch`" in page.by_id("failed")["text"]
    assert "out of date or was not given" in page.all("header")[0]["text"]


def test_collateral_that_is_out_of_date():
    report, page = refused(SimulatedCloudVm(GCP_TDX), now=MOMENT + 60 * DAY)
    assert set(marked(report).values()) == {STALE}
    assert "--at inside the dates" in page.by_id("failed")["text"]


def test_an_ocsp_answer_that_is_out_of_date():
    report, page = refused(SimulatedCloudVm(GCP_TDX, gpus=1), now=MOMENT + 10 * DAY + timedelta(seconds=1))
    assert marked(report) == {"gpu-root": STALE}
    assert "not shown to be genuine" not in page.by_id("failed")["text"]


def test_a_false_report_beside_an_unwanted_zone_is_still_false():
    report = confidential(failed="T2.13")
    zone = Check("K3.5", "the zone is expected", "a", "b", passed=False)
    top = page_of(replace(report, checks=(*report.checks, zone)), PRODUCTION).all("header")[0]["text"]
    assert "genuine, but" not in top


def test_nothing_is_called_genuine_before_a_quote_was_verified():
    report = replace(confidential(), verdict="refused", checks=(Check("K3.5", "the zone", "a", "b", passed=False),))
    assert "genuine, but" not in page_of(report).all("header")[0]["text"]


def shown_and_not(vm):
    report = accepted(vm).report
    shown, _, hidden = page_of(report).all("header")[0]["text"].partition("This does not show")
    return shown, hidden


def test_googles_word_for_the_image_is_called_googles_word():
    shown, hidden = shown_and_not(SimulatedCloudVm(GCP_SNP))
    assert "The machine booted exactly" not in shown
    assert "Google's virtual TPM says that the machine booted exactly" in shown
    assert "which image the machine booted is the cloud's word" in shown
    assert "that is Google's word" in hidden


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != GCP_SNP])
def test_where_hardware_names_the_image_no_cloud_is_quoted_for_it(kind):
    shown, hidden = shown_and_not(SimulatedCloudVm(kind))
    assert "The machine booted exactly the image of this release" in shown
    assert "Google's" not in shown + hidden
    assert ("paravisor is honest" in hidden) is kind.startswith("azure")


@pytest.mark.parametrize("kind", [GCP_TDX, AZURE_TDX])
def test_a_gpu_is_not_said_to_sit_in_the_machine(kind):
    shown, hidden = shown_and_not(SimulatedCloudVm(kind, gpus=1))
    assert "A genuine GPU with firmware that NVIDIA published answered" in shown
    assert "belongs to this machine" not in shown
    assert "genuine GPU of its own in its place cannot be excluded" in hidden


def test_without_a_gpu_nothing_is_said_of_one():
    shown, hidden = shown_and_not(SimulatedCloudVm(GCP_TDX))
    assert "GPU" not in shown
    assert "none was attested" in hidden


def test_stored_evidence_is_not_called_a_service_or_a_platform_without_connections():
    report = judged().evidence.without(("C3", "the evidence was stored: no connection showed its certificate")).report
    checks = tuple(check for check in report.checks if check.id != "C3.1")
    report = replace(report, verdict="accepted", checks=checks)
    found = {item.link.key: item for item in findings(report)}
    assert (found["connection"].state, found["connection"].why) == (
        State.OPEN,
        "the evidence was stored: no connection showed its certificate",
    )
    heading = Heading("raw.json", "production", datetime(2026, 1, 31, tzinfo=UTC), saved=True, stored=True)
    top = Page(render(report, heading)).all("header")[0]["text"]
    assert "nobody connected" in top
    assert "evidence in" in top
    assert "your own client wrote that file" not in top
    assert "service at" not in top
    assert "that a service uses the attested TLS key" in top
