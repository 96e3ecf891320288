"""PCR 0 on Google's cloud (rule L8) and platforms without a log (rule L6): each attack breaks one rule."""

from __future__ import annotations

import pytest

from client_sdk.clauses.golden import PCRS as GOLDEN_PCRS
from client_sdk.clauses.golden import GoldenPcrs
from client_sdk.clauses.google import GoogleFirmware
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.report import Ledger
from client_sdk.verify.eventlog import verify_without_log
from client_sdk.verify.gce import SNP, TDX, TECHNOLOGIES, gce_pcr0, verify_gce_pcr0
from tests.fakes.boot_log import replay, serialise
from tests.fakes.simulated_cloud_tpm import gce_log


def refused(rule, judge, *arguments, **options):
    with pytest.raises(VerificationError) as caught:
        judge(*arguments, **options)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


# --- L8: PCR 0 by technology


def test_the_table_is_what_the_log_gives():
    for name, technology in TECHNOLOGIES.items():
        for version in (1, 2, 3):
            events = gce_log(technology=technology, version=str(version))
            assert gce_pcr0(version, technology) == replay(events, 0), name


@pytest.mark.parametrize(
    ("attack", "version", "technology", "oldest"),
    [
        ("a VM that is not confidential", 2, "none", 2),
        ("SEV, which has no report", 2, "sev", 2),
        ("the other maker's machine", 2, "snp", 2),
        ("firmware that knew no TDX", 1, "tdx", 2),
        ("older firmware than the policy takes", 2, "tdx", 3),
    ],
)
def test_a_report_borrowed_from_a_machine_of_another_kind(attack, version, technology, oldest):
    value = gce_pcr0(version, TECHNOLOGIES[technology])
    error = refused("L8.1", verify_gce_pcr0, value, TDX, oldest=oldest, ledger=Ledger())
    assert f"{technology}, in firmware v{version}" in str(error)


def test_a_pcr_0_that_is_none_of_googles():
    assert verify_gce_pcr0(gce_pcr0(7, SNP), SNP, oldest=2, ledger=Ledger()) == 7
    assert "none of Google's" in str(refused("L8.1", verify_gce_pcr0, bytes(32), SNP, oldest=2, ledger=Ledger()))


def test_the_clause_about_firmware_never_goes_below_version_2():
    ledger = Ledger()
    assert GoogleFirmware(oldest=2).judge(gce_pcr0(2, TDX), "tdx", ledger) == ()
    assert [check.id for check in ledger.checks] == ["L8.2"]
    (failure,) = GoogleFirmware(oldest=1).judge(gce_pcr0(1, TDX), "tdx", ledger)
    assert failure.clause.startswith("L8.2: ")


# --- L6: no log at all


GOLDEN = {pcr: bytes([pcr + 1]) * 32 for pcr in GOLDEN_PCRS}
UNTOUCHED = dict.fromkeys((12, 13, 14), bytes(32))


def golden(**changes):
    values = {f"pcr{pcr}": (value, b"\xaa" * 32) for pcr, value in GOLDEN.items()} | changes
    return GoldenPcrs(tuple((int(name[3:]), value) for name, value in values.items()))


def test_golden_values_where_there_is_no_log():
    verify_without_log(b"", GOLDEN | UNTOUCHED, ledger=Ledger())
    assert golden().judge(GOLDEN, Ledger()) == ()
    assert golden().judge(dict.fromkeys(GOLDEN, b"\xaa" * 32), Ledger()) == ()


def test_a_log_that_is_there_is_not_passed_over():
    refused("L6.1", verify_without_log, serialise(gce_log()), GOLDEN | UNTOUCHED, ledger=Ledger())


@pytest.mark.parametrize("pcr", [12, 13, 14])
def test_something_added_on_a_platform_without_a_log(pcr):
    values = GOLDEN | UNTOUCHED | {pcr: b"\1" * 32}
    refused(f"L7.{pcr}", verify_without_log, b"", values, ledger=Ledger())


@pytest.mark.parametrize("pcr", GOLDEN_PCRS)
def test_a_pcr_without_a_golden_value(pcr):
    (failure,) = golden().judge(GOLDEN | {pcr: bytes(32)}, Ledger())
    assert failure.clause.startswith(f"L6.pcr{pcr}: ")


@pytest.mark.parametrize(
    "values",
    [(), tuple((pcr, (bytes(32),)) for pcr in GOLDEN_PCRS[1:]), tuple((pcr, ()) for pcr in GOLDEN_PCRS)],
)
def test_golden_values_leave_no_pcr_out(values):
    with pytest.raises(EvidenceError, match="golden values"):
        GoldenPcrs(values)
    with pytest.raises(EvidenceError, match="golden values"):
        golden(pcr4=(bytes(20),))
