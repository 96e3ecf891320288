"""What Azure's paravisor says (rule T1 on Azure): every attack breaks one rule on a report that is accepted."""

from __future__ import annotations

import pytest

from client_sdk.clauses.azure import UNSTATED, AzureVm
from client_sdk.clauses.expected import AnyValue, OneOf
from client_sdk.errors import VerificationError
from client_sdk.parse.azure import parse_hcl_report
from client_sdk.report import Ledger
from client_sdk.verify.azure import verify_hcl, verify_hcl_ak, verify_user_data
from tests.fakes.simulated_cloud_tpm import (
    AzureTpm,
    jwk,
)
from tests.fakes.simulated_vm import ec_key, rsa_key


def refused(rule, judge, *arguments, **options):
    with pytest.raises(VerificationError) as caught:
        judge(*arguments, **options)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


# --- T1 on Azure


def bound(tpm: AzureTpm, *, report_data=None, key=None, user_data=None):
    report = parse_hcl_report(tpm.hcl_report())
    facts = verify_hcl(report, report_data or report.report_data, ledger=Ledger())
    verify_hcl_ak(facts, (key or tpm.ak).public_key(), ledger=Ledger())
    verify_user_data(facts, tpm.user_data if user_data is None else user_data, ledger=Ledger())
    return facts


@pytest.mark.parametrize("kind", [2, 4])
def test_a_paravisors_report_is_accepted(kind):
    facts = bound(AzureTpm(report_type=kind))
    assert (facts.kind, facts.user_data) == (kind, bytes(range(64)))


def test_the_key_is_found_by_its_name_and_not_by_its_place():
    tpm = AzureTpm()
    tpm.claims["keys"] = list(reversed(tpm.claims["keys"]))
    assert bound(tpm).ak == tpm.ak.public_key()


REPORT_ATTACKS = [
    ("a hash of other runtime data", "T1.runtime", {"report_data": bytes(64)}),
    ("something behind the hash", "T1.rest", {"tail": b"\1"}),
    ("an attacker's key in the JSON", "T1.runtime", {"substitute": True}),
    ("no attestation key", "T1.ak", {"keys": ["HCLEkPub"]}),
    ("the endorsement key in its place", "T1.ak", {"swap": True}),
]


@pytest.mark.parametrize("kind", [2, 4])
@pytest.mark.parametrize(
    ("attack", "rule", "change"),
    REPORT_ATTACKS,
)
def test_a_report_about_another_key(attack, rule, change, kind):
    tpm = AzureTpm(report_type=kind)
    if "report_data" in change:
        tpm.report_data = change["report_data"]
    if "tail" in change:
        tpm.report_data = tpm.signed_data()[:63] + change["tail"]
    if "keys" in change:
        tpm.claims["keys"] = [item for item in tpm.claims["keys"] if item["kid"] in change["keys"]]
    if "swap" in change:
        tpm.claims["keys"] = [jwk("HCLAkPub", rsa_key("ek azure").public_key())]
    if "substitute" in change:
        tpm.report_data = tpm.signed_data()
        tpm.claims["keys"] = [jwk("HCLAkPub", rsa_key("attacker").public_key())]
        tpm.ak = rsa_key("attacker")
    refused(rule, bound, tpm)


def test_a_td_quote_of_another_td():
    tpm, other = AzureTpm(report_type=4), AzureTpm("other", report_type=4)
    other.claims["user-data"] = "00" * 64
    refused("T1.report", bound, tpm, report_data=other.signed_data())


def test_one_space_in_the_runtime_data_is_another_text():
    tpm = AzureTpm()
    tpm.report_data = tpm.signed_data()
    tpm.runtime = tpm.runtime_data().replace(b'"keys":', b'"keys": ')
    refused("T1.runtime", bound, tpm)


@pytest.mark.parametrize("key", [rsa_key("stranger"), ec_key("stranger")])
def test_a_quote_by_a_key_that_the_report_does_not_name(key):
    refused("T1.ak", bound, AzureTpm(), key=key)


@pytest.mark.parametrize("user_data", [bytes(64), bytes(range(63)), b"", bytes(range(1, 65))])
def test_other_bytes_of_the_guest(user_data):
    refused("T1.user", bound, AzureTpm(), user_data=user_data)


def test_a_report_from_before_there_were_bytes_of_the_guest():
    tpm = AzureTpm()
    del tpm.claims["user-data"]
    refused("T1.user", bound, tpm)
    refused("T1.user", bound, tpm, user_data=b"")


# --- clauses


ANY = AnyValue("the test does not look at it")


def azure_clause(**wanted):
    names = ("console_enabled", "secure_boot", "tpm_enabled", "tpm_persisted", "vm_id", "root_thumbprint")
    return AzureVm(**(dict.fromkeys(names, ANY) | {name: OneOf((value,)) for name, value in wanted.items()}))


SAID = {
    "console_enabled": False,
    "secure_boot": True,
    "tpm_enabled": True,
    "tpm_persisted": True,
    "vm_id": "390cbcf5-6c67-4d9b-98ef-c3f1699cc8fc",
    "root_thumbprint": "",
}


OTHER_VMS = [
    ("T1.console", "console_enabled", True),
    ("T1.console", "console_enabled", 0),
    ("T1.secure-boot", "secure_boot", False),
    ("T1.tpm", "tpm_enabled", False),
    ("T1.persisted", "tpm_persisted", UNSTATED),
    ("T1.vm", "vm_id", "390cbcf5-6c67-4d9b-98ef-c3f1699cc8fd"),
    ("T1.thumbprint", "root_thumbprint", "6nZZ"),
]


@pytest.mark.parametrize(
    ("rule", "name", "wrong"),
    OTHER_VMS,
)
def test_another_vm(rule, name, wrong):
    facts = bound(AzureTpm())
    assert azure_clause(**SAID).judge(facts, Ledger()) == ()
    (failure,) = azure_clause(**(SAID | {name: wrong})).judge(facts, Ledger())
    assert failure.clause.startswith(f"{rule}: ")


def test_a_flag_that_is_not_stated_is_not_false():
    tpm = AzureTpm()
    del tpm.claims["vm-configuration"]["console-enabled"]
    (failure,) = azure_clause(**SAID).judge(bound(tpm), Ledger())
    assert failure.got == UNSTATED


def test_what_is_not_compared_stands_in_the_report_with_its_reason():
    ledger = Ledger()
    azure_clause().judge(bound(AzureTpm()), ledger)
    rows = [check.as_dict() for check in ledger.checks]
    assert {row["expected"] for row in rows} == {f"anything: {ANY.why}"}
    assert len(rows) == 6
