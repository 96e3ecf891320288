"""TDX rules (T1, T6, T7, T8, T11): every attack breaks exactly one, on a platform that is accepted without it."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from client_sdk.ages import Ages
from client_sdk.clauses.expected import AnyValue, MustBeZero, OneOf
from client_sdk.clauses.tdx import (
    Attributes,
    CrlFloor,
    DenyList,
    EvaluationFloor,
    Grace,
    PinnedBoot,
    Registers,
    TcbStatus,
)
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.report import Ledger
from client_sdk.rules import keepers
from client_sdk.verify.tdx import verify_quote, verify_report_data
from client_sdk.verify.tdx_collateral import TdxFacts, verify_collateral
from client_sdk.verify.tdx_tcb import NO_MATCH, STATUSES, worst
from tests.fakes.keys import ec_key, rsa_key
from tests.fakes.simulated_tdx import (
    ATTRIBUTES,
    FMSPC,
    NOW,
    PPID,
    XFAM,
    Certified,
    SimulatedTdx,
    element,
    instant,
    integer,
    raw_signature,
    sgx_pair,
)

REPORT_DATA = bytes(range(64))
VERSIONS = pytest.mark.parametrize(("version", "body"), [(4, 2), (5, 2), (5, 3)])
DAY = timedelta(days=1)
OTHER = Certified("Intel SGX Root CA", ec_key("another root"), None, True, 1, ("key_cert_sign", "crl_sign"))
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
P384 = ec_key("not on P-256", ec.SECP384R1)

AGES = Ages()


def judged(td: SimulatedTdx, ledger: Ledger | None = None, *, anchors=None, now=NOW, ages=AGES) -> TdxFacts:
    """Verify a quote with its collateral, as the stages do."""
    ledger, anchors = ledger or Ledger(), anchors or td.intel.anchors
    facts = verify_quote(td.quote(), anchors, now=now, ledger=ledger)
    verify_report_data(facts.body, REPORT_DATA, ledger=ledger)
    return verify_collateral(facts, td.intel.collateral(), anchors, ages=ages, now=now, ledger=ledger)


def policy(facts: TdxFacts) -> list[str]:
    """Return the rules that fail under the production clauses."""
    failures = TcbStatus().judge(facts, Ledger()) + Attributes().judge(facts, Ledger())
    return [failure.clause.partition(":")[0] for failure in failures]


@VERSIONS
def test_control_is_accepted(version, body):
    ledger = Ledger()
    facts = judged(SimulatedTdx(version=version, body_type=body), ledger)
    assert facts.tcb.status == "UpToDate"
    assert facts.tcb.advisories == ()
    assert policy(facts) == []
    assert {check.passed for check in ledger.checks} == {True}
    assert facts.quote.pck.fmspc == FMSPC


# Attack, rule, what is changed before everything is signed again.
ATTACKS = [
    ("other report data", "T1.1", {"report_data": bytes(64)}),
    ("report data that differ behind the first half", "T1.1", {"report_data": REPORT_DATA[:32] + bytes(32)}),
    ("a version before TDX", "T6.1", {"version": 3}),
    ("a version that is not known", "T6.1", {"version": 6}),
    ("a quote of SGX", "T6.2", {"tee_type": 0}),
    ("an attestation key over P-384", "T6.3", {"key_type": 3}),
    ("a quoting enclave of another vendor", "T6.4", {"vendor": bytes(16)}),
    ("a quote that another key signed", "T6.5", {"sign_quote_with": ec_key("thief")}),
    ("a QE report that another key signed", "T6.6", {"sign_qe_with": ec_key("thief")}),
    ("a PCK key that is not on P-256", "T6.6", {"pck.key": P384, "sign_qe_with": ec_key("thief")}),
    ("a QE report that names no key", "T6.7", {"qe_report_data": bytes(63) + b"\1"}),
    ("an encrypted PPID in place of the PCK chain", "T6.8", {"certification_types": (6, 3)}),
    ("a quoting enclave of another signer", "T6.9", {"qe_signer": b"\1" * 32}),
    ("another enclave of Intel's", "T6.10", {"qe_product": 1}),
    ("a quoting enclave in debug mode", "T6.11", {"qe_attributes": b"\x17" + bytes(15)}),
    ("a quoting enclave with other MISCSELECT", "T6.12", {"qe_misc_select": b"\1\0\0\0"}),
    ("a PCK certificate that expired", "T7.1.2", {"pck.until": NOW - DAY}),
    ("a PCK certificate of tomorrow", "T7.1.2", {"pck.since": NOW + DAY}),
    ("a PCK CA that expired", "T7.1.2", {"intel.platform_ca.until": NOW - DAY}),
    ("an issuer that is no CA", "T7.1.3", {"intel.platform_ca.ca": False, "intel.platform_ca.path_length": None}),
    ("a root without room", "T7.1.3", {"intel.root.path_length": 0}),
    ("an issuer that may not sign certificates", "T7.1.4", {"intel.platform_ca.flags": ("crl_sign",)}),
    ("a critical extension that nobody reads", "T7.1.5", {"pck.critical": UNKNOWN}),
    ("a signature over SHA-224", "T7.1.6", {"pck.hash": hashes.SHA224()}),
    ("a CA's certificate as a PCK certificate", "T7.2", {"pck.ca": True}),
    ("a PCK certificate for key agreement", "T7.2", {"pck.flags": ("key_agreement",)}),
    ("a PCK certificate that says no use", "T7.2", {"pck.flags": ()}),
    ("a PCK certificate that may sign others", "T7.2", {"pck.flags": ("digital_signature", "key_cert_sign")}),
    ("a PCK revocation list of another key", "T7.3.1", {"intel.pck_crl.signer": OTHER}),
    ("a PCK revocation list that ran out", "T7.3.2", {"intel.pck_crl.until": NOW - DAY}),
    (
        "a PCK revocation list of tomorrow",
        "T7.3.2",
        {"intel.pck_crl.since": NOW + DAY, "intel.pck_crl.until": NOW + DAY * 2},
    ),
    ("an old PCK revocation list that says it lasts", "T7.3.2", {"intel.pck_crl.since": NOW - DAY * 32}),
    ("a revoked platform", "T7.3.3", {"intel.pck_crl.serials": (7, 20)}),
    ("a root revocation list of another key", "T7.4.1", {"intel.root_crl.signer": OTHER}),
    ("a root revocation list that ran out", "T7.4.2", {"intel.root_crl.until": NOW - DAY}),
    ("an old root revocation list that says it lasts", "T7.4.2", {"intel.root_crl.since": NOW - DAY * 401}),
    ("a revoked PCK CA", "T7.4.3", {"intel.root_crl.serials": (11,)}),
    ("a revoked signer of TCB statements", "T7.4.3", {"intel.root_crl.serials": (12,)}),
    ("a PCK CA that may not revoke", "T7.5", {"intel.platform_ca.flags": ("key_cert_sign",)}),
    ("a root that may not revoke", "T7.5", {"intel.root.flags": ("key_cert_sign",)}),
    ("TCB statements under another root", "T7.6.1", {"intel.signer.issuer": OTHER}),
    ("a signer of TCB statements that expired", "T7.6.2", {"intel.signer.until": NOW - DAY}),
    ("a signer with a critical extension", "T7.6.5", {"intel.signer.critical": UNKNOWN}),
    ("a signer over SHA-224", "T7.6.6", {"intel.signer.hash": hashes.SHA224()}),
    ("a CA that signs TCB statements", "T7.7", {"intel.signer.ca": True}),
    ("a signer of another name", "T7.7", {"intel.signer.common": "Intel SGX PCK Certificate"}),
    ("a signer for key agreement", "T7.7", {"intel.signer.flags": ("key_agreement",)}),
    ("a signer that says no use", "T7.7", {"intel.signer.flags": ()}),
    ("a signer that may sign certificates", "T7.7", {"intel.signer.flags": ("digital_signature", "key_cert_sign")}),
    ("TCB info that somebody else signed", "T7.8", {"intel.tcb_key": ec_key("thief")}),
    ("TCB info that ran out", "T7.9", {"intel.tcb_info.nextUpdate": instant(NOW - DAY)}),
    ("TCB info of tomorrow", "T7.9", {"intel.tcb_info.issueDate": instant(NOW + DAY)}),
    ("a QE identity that somebody else signed", "T7.11", {"intel.qe_key": ec_key("thief")}),
    ("a QE identity that ran out", "T7.12", {"intel.qe_identity.nextUpdate": instant(NOW - DAY)}),
    ("a QE identity of tomorrow", "T7.12", {"intel.qe_identity.issueDate": instant(NOW + DAY)}),
    ("TCB info of SGX", "T7.13", {"intel.tcb_info.id": "SGX"}),
    ("TCB info of an old version", "T7.13", {"intel.tcb_info.version": 2}),
    ("the identity of SGX's quoting enclave", "T7.14", {"intel.qe_identity.id": "QE"}),
    ("the identity of the verifying enclave", "T7.14", {"intel.qe_identity.id": "QVE"}),
    ("a QE identity of another version", "T7.14", {"intel.qe_identity.version": 1}),
    ("TCB info of a better platform", "T7.15", {"intel.tcb_info.fmspc": "00806f050000"}),
    ("TCB info of another PCE", "T7.16", {"intel.tcb_info.pceId": "0001"}),
    ("a TDX module whose signer Intel replaced", "T7.17", {"intel.tcb_info.tdxModuleIdentities.0.mrsigner": "01" * 48}),
    ("a TDX module whose attributes differ", "T7.18", {"intel.tcb_info.tdxModuleIdentities.0.attributes": "01" * 8}),
    ("a reserved TD attribute", "T8.1", {"attributes": ATTRIBUTES | 1 << 32}),
    ("XFAM without SSE", "T8.2", {"xfam": XFAM & ~2}),
    ("XFAM with a component that no TD has", "T8.2", {"xfam": XFAM | 1 << 10}),
    ("a TDX module of another signer", "T8.3", {"mr_signer_seam": b"\1" * 48}),
    ("a TDX module in debug mode", "T8.4", {"seam_attributes": b"\1" + bytes(7)}),
    ("TCB info older than the caller's limit", "T11.2", {"intel.tcb_info.issueDate": instant(NOW - DAY * 32)}),
    ("a QE identity older than the caller's limit", "T11.3", {"intel.qe_identity.issueDate": instant(NOW - DAY * 32)}),
]


@pytest.mark.parametrize(("attack", "rule", "changes"), ATTACKS, ids=[attack[0] for attack in ATTACKS])
def test_an_attack_is_refused_by_its_rule(attack, rule, changes):
    td = SimulatedTdx(version=5, body_type=3)
    for path, value in changes.items():
        td.change(path, value)
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == rule, str(caught.value)
    assert str(caught.value).startswith(f"[{rule}] ")


# Attack, the rules of the policy that fail, what is changed.
REFUSED_BY_POLICY = [
    ("a debug TD", ["T8.5"], {"attributes": ATTRIBUTES | 1}),
    ("a TD that is profiled", ["T8.5"], {"attributes": ATTRIBUTES | 1 << 4}),
    ("a TD that can be migrated", ["T8.6"], {"attributes": ATTRIBUTES | 1 << 29}),
    ("a TD with performance counters", ["T8.7"], {"attributes": ATTRIBUTES | 1 << 63}),
    ("a TD that the host takes pages from", ["T8.8"], {"attributes": 0}),
    ("a provisioning agent", ["T8.9"], {"attributes": ATTRIBUTES | 1 << 62}),
    ("all of them at once", ["T8.5", "T8.6", "T8.7", "T8.8"], {"attributes": 1 | 1 << 29 | 1 << 63}),
    ("an old microcode", ["T7.21"], {"components": bytes((2, 3, 2, 2, 4, 1, 0, 5)) + bytes(8)}),
    ("an old PCE", ["T7.21"], {"pce_svn": 12}),
    ("an old TDX microcode", ["T7.21"], {"tee_tcb_svn": bytes((6, 1, 2)) + bytes(13)}),
    ("an old TDX module", ["T7.21"], {"tee_tcb_svn": bytes((5, 1, 3)) + bytes(13)}),
    ("an old quoting enclave", ["T7.21"], {"qe_svn": 3}),
    ("a status that Intel made up later", ["T7.21"], {"intel.tcb_info.tcbLevels.0.tcbStatus": "Quarantined"}),
    ("a platform that Intel revoked", ["T7.21"], {"intel.tcb_info.tcbLevels.0.tcbStatus": "Revoked"}),
    ("a platform below every level", ["T7.20", "T7.21"], {"components": bytes(16)}),
    ("the last component below every level", ["T7.20", "T7.21"], {"intel.tcb_info.tcbLevels": [], "qe_svn": 9}),
    ("a TDX module below every level", ["T7.20", "T7.21"], {"tee_tcb_svn": bytes((3, 1, 3)) + bytes(13)}),
    ("a TDX module that Intel does not state", ["T7.20", "T7.21"], {"tee_tcb_svn": bytes((6, 2, 3)) + bytes(13)}),
    ("a quoting enclave below every level", ["T7.20", "T7.21"], {"qe_svn": 1}),
]


@pytest.mark.parametrize(("attack", "rules", "changes"), REFUSED_BY_POLICY, ids=[row[0] for row in REFUSED_BY_POLICY])
def test_a_genuine_quote_that_policy_refuses(attack, rules, changes):
    td = SimulatedTdx(version=5, body_type=3)
    for path, value in changes.items():
        td.change(path, value)
    assert policy(judged(td)) == rules


def test_no_match_is_no_out_of_date():
    td = SimulatedTdx().change("components", bytes(16))
    tcb = judged(td).tcb
    assert (tcb.status, tcb.platform_status, tcb.module_status, tcb.tcb_date) == (NO_MATCH, NO_MATCH, "UpToDate", "")


def test_an_old_level_names_its_advisories():
    td = SimulatedTdx().change("pce_svn", 11).change("tee_tcb_svn", bytes((4, 1, 3)) + bytes(13))
    tcb = judged(td).tcb
    assert (tcb.platform_status, tcb.module_status, tcb.status) == ("OutOfDate", "OutOfDate", "OutOfDate")
    assert tcb.advisories == ("INTEL-SA-00837", "INTEL-SA-01036")
    assert tcb.tcb_date == "2029-03-01T00:00:00Z"


@pytest.mark.parametrize(
    ("svn", "status"),
    [
        (bytes((5, 0, 3)), "UpToDate"),
        (bytes((4, 0, 3)), NO_MATCH),  # components 0 and 1 count where the module has no version
        (bytes((5, 0, 2)), "OutOfDate"),
        (bytes((0, 1, 3)), NO_MATCH),  # the module's own levels count where it has one
        (bytes((255, 1, 3)), "UpToDate"),
    ],
)
def test_what_counts_depends_on_the_version_of_the_tdx_module(svn, status):
    tcb = judged(SimulatedTdx().change("tee_tcb_svn", svn + bytes(13))).tcb
    assert tcb.status == status
    assert bool(tcb.module_status) == bool(svn[1])


def test_a_module_without_a_version_has_the_default_identity():
    td = SimulatedTdx().change("tee_tcb_svn", bytes((5, 0, 3)) + bytes(13))
    td.change("intel.tcb_info.tdxModule.mrsigner", "01" * 48)
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == "T7.17"


def test_every_component_counts():
    for index in range(16):
        td = SimulatedTdx()
        td.change(f"intel.tcb_info.tcbLevels.0.tcb.sgxtcbcomponents.{index}.svn", td.components[index] + 1)
        td.change("intel.tcb_info.tcbLevels.1", td.intel.tcb_info["tcbLevels"][0])
        assert judged(td).tcb.platform_status == NO_MATCH, index
    for index in range(2, 16):
        td = SimulatedTdx()
        td.change(f"intel.tcb_info.tcbLevels.0.tcb.tdxtcbcomponents.{index}.svn", td.tee_tcb_svn[index] + 1)
        td.change("intel.tcb_info.tcbLevels.1", td.intel.tcb_info["tcbLevels"][0])
        assert judged(td).tcb.platform_status == NO_MATCH, index


def test_the_worst_status_wins_and_two_faults_are_both_named():
    for better, worse in pairwise(STATUSES):
        expected = "OutOfDateConfigurationNeeded" if (better[:13], worse) == ("Configuration", "OutOfDate") else worse
        assert worst((better, worse)) == worst((worse, better)) == expected
    assert worst(("ConfigurationNeeded", "UpToDate", "OutOfDate")) == "OutOfDateConfigurationNeeded"
    assert worst(("UpToDate", "made up later", "Revoked")) == "made up later"


def test_a_grace_is_for_one_status_and_ends():
    facts = judged(SimulatedTdx().change("pce_svn", 11))
    assert TcbStatus((Grace("OutOfDate", NOW),)).judge(facts, Ledger()) == ()
    for grace in (Grace("OutOfDate", NOW - timedelta(seconds=1)), Grace("ConfigurationNeeded", NOW + DAY)):
        (failure,) = TcbStatus((grace,)).judge(facts, Ledger())
        assert failure.clause.startswith("T7.21: ")
        assert "INTEL-SA-00837" in failure.got


@pytest.mark.parametrize("status", ["Revoked", NO_MATCH, "UpToDate", "anything"])
def test_no_grace_for_these(status):
    with pytest.raises(EvidenceError, match="a status that a grace is possible for"):
        Grace(status, NOW)


def test_numbers_never_go_back():
    facts = judged(SimulatedTdx())
    assert EvaluationFloor(17, 17).judge(facts, Ledger()) == ()
    assert CrlFloor(1, 1).judge(facts, Ledger()) == ()
    for clause, rule in (
        (EvaluationFloor(18, 17), "T7.22"),
        (EvaluationFloor(17, 18), "T7.23"),
        (CrlFloor(2, 1), "T11.4"),
        (CrlFloor(1, 2), "T11.5"),
    ):
        (failure,) = clause.judge(facts, Ledger())
        assert failure.clause.startswith(f"{rule}: ")


def test_a_platform_on_the_deny_list():
    facts = judged(SimulatedTdx())
    assert DenyList(frozenset({bytes(16)})).judge(facts, Ledger()) == ()
    (failure,) = DenyList(frozenset({PPID})).judge(facts, Ledger())
    assert failure.clause.startswith("T11.6: ")


def registers(**changes) -> Registers:
    td = SimulatedTdx()
    values = {
        "mr_seam": td.mr_seam,
        "mr_td": td.mr_td,
        "rtmr0": td.rtmrs[0],
        "rtmr1": td.rtmrs[1],
        "rtmr2": td.rtmrs[2],
    }
    wanted = {name: OneOf((value,)) for name, value in values.items()}
    zero = ("rtmr3", "mr_config_id", "mr_owner", "mr_owner_config", "mr_service_td")
    return Registers(**wanted | {name: MustBeZero() for name in zero} | changes)


@VERSIONS
def test_control_of_the_registers(version, body):
    facts = judged(SimulatedTdx(version=version, body_type=body))
    assert PinnedBoot(registers()).judge(facts, Ledger()) == ()


REGISTERS = [
    ("mr_seam", "T8.10"),
    ("mr_td", "T8.11"),
    ("rtmrs.0", "T8.12"),
    ("rtmrs.1", "T8.13"),
    ("rtmrs.2", "T8.14"),
    ("rtmrs.3", "T8.15"),
    ("mr_config_id", "T8.16"),
    ("mr_owner", "T8.17"),
    ("mr_owner_config", "T8.18"),
    ("mr_service_td", "T8.19"),
]


@pytest.mark.parametrize(("register", "rule"), REGISTERS)
def test_another_value_in_a_register(register, rule):
    facts = judged(SimulatedTdx(version=5, body_type=3).change(register, bytes(47) + b"\1"))
    (failure,) = registers().judge(facts, Ledger())
    assert failure.clause.startswith(f"{rule}: ")
    assert failure.got == "00" * 47 + "01"
    name = register.replace("rtmrs.", "rtmr")
    ledger = Ledger()
    assert registers(**{name: AnyValue("a test")}).judge(facts, ledger) == ()
    assert [check.expected for check in ledger.checks if check.id == rule] == [("anything:", "a test")]
    assert registers(**{name: OneOf((b"\0",))}).judge(facts, Ledger()) != ()


@pytest.mark.parametrize("name", ["mr_td", "rtmr1", "rtmr2", "rtmr3"])
def test_off_azure_no_boot_register_is_anything(name):
    facts = judged(SimulatedTdx())
    (failure,) = PinnedBoot(registers(**{name: AnyValue("a test")})).judge(facts, Ledger())
    assert failure.clause.startswith("T9.1: ")


def test_another_root():
    td = SimulatedTdx()
    td.chain = (td.intel.platform_ca,)
    td.intel.with_root = False
    assert judged(td).tcb.status == "UpToDate"  # neither chain has to bring the root
    impostor = SimulatedTdx().change("intel.root.key", ec_key("another root"))
    with pytest.raises(VerificationError) as caught:
        judged(impostor, anchors=td.intel.anchors)
    assert caught.value.rule == "T7.1.1"


def test_a_pck_certificate_that_the_root_signed_itself():
    td = SimulatedTdx()
    td.change("pck.issuer", td.intel.root).change("chain", ())
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == "T7.2"


def test_a_platforms_key_signs_no_tcb_statements():
    """A PCK's key is in a machine that its owner may have opened: it vouches for that machine and nothing else."""
    td = SimulatedTdx()
    thief = Certified("Intel SGX TCB Signing", ec_key("pck"), td.intel.platform_ca, serial=20)
    td.change("intel.signer", thief).change("intel.qe_signer", thief)
    td.change("intel.tcb_key", thief.key).change("intel.qe_key", thief.key)
    chain = thief.pem + td.intel.platform_ca.pem
    td.change("intel.changes", {"tcb_info_issuer_chain": chain, "qe_identity_issuer_chain": chain})
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == "T7.7"


def test_a_certificate_with_sgx_extensions_signs_no_tcb_statements():
    td = SimulatedTdx()
    td.change("intel.signer.extension", td.sgx_extensions())
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == "T7.7"


SIGNER_ATTACKS = [
    ("a certificate that is no CA's signs a signer", "T7.6.3", False, ("key_cert_sign",)),
    ("a CA that may not sign certificates signs a signer", "T7.6.4", True, ("crl_sign",)),
]


@pytest.mark.parametrize(
    ("attack", "rule", "ca", "flags"),
    SIGNER_ATTACKS,
)
def test_who_may_sign_the_signer(attack, rule, ca, flags):
    td = SimulatedTdx()
    td.change("intel.signer.issuer", Certified("between", ec_key("between"), td.intel.root, ca, None, flags))
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == rule


def test_two_signers_are_both_checked():
    td = SimulatedTdx()
    second = Certified("Intel SGX TCB Signing", ec_key("second"), td.intel.root, serial=13)
    td.change("intel.qe_signer", second).change("intel.qe_key", second.key)
    assert judged(td).tcb.status == "UpToDate"
    td.change("intel.root_crl.serials", (13,))
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == "T7.4.3"
    td.change("intel.root_crl.serials", ()).change("intel.qe_signer.issuer", OTHER)
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == "T7.6.1"


def test_the_signature_is_over_the_text_as_received():
    """Other spaces say the same and are another text: whoever serialises again would not notice."""
    td = SimulatedTdx()
    td.intel.edit = lambda text: text.replace(b'"version":3', b'"version": 3')
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == "T7.8"


def test_a_text_with_spaces_that_was_signed_like_that():
    td = SimulatedTdx()
    text = json.dumps(td.intel.qe_identity, indent=1).encode()
    signature = raw_signature(td.intel.qe_key, text).hex().upper().encode()
    served = b' { "enclaveIdentity" : ' + text + b' , "signature" :\n"' + signature + b'" }\n'
    td.change("intel.changes", {"qe_identity": served})
    assert judged(td).tcb.qe_status == "UpToDate"


@pytest.mark.parametrize(
    "extension",
    [
        b"",
        element(0x30, sgx_pair((1,), element(4, bytes(16)))),
        element(0x30, sgx_pair((2,), integer(1))),
    ],
)
def test_a_pck_certificate_without_the_facts_of_a_platform(extension):
    with pytest.raises(EvidenceError, match="PCK certificate"):
        judged(SimulatedTdx().change("extension", extension))


def test_a_pck_key_that_is_rsa():
    td = SimulatedTdx().change("pck.key", rsa_key("pck")).change("sign_qe_with", ec_key("thief"))
    with pytest.raises(VerificationError) as caught:
        judged(td)
    assert caught.value.rule == "T6.6"


def test_an_attestation_key_off_the_curve():
    with pytest.raises(EvidenceError, match="not a point on P-256"):
        judged(SimulatedTdx().change("ak_bytes", b"\1" * 64))


def test_padding_behind_the_signature_data_is_ignored():
    for padding in (b"", bytes(3065), b"\nextra bytes(only for testing purpose)\n"):
        assert judged(SimulatedTdx().change("padding", padding)).tcb.status == "UpToDate"


def test_report_data_of_another_length_never_match():
    facts = verify_quote(SimulatedTdx().quote(), SimulatedTdx().intel.anchors, now=NOW, ledger=Ledger())
    for wanted in (b"", REPORT_DATA[:32], REPORT_DATA + b"\0"):
        with pytest.raises(VerificationError, match=r"T1\.1"):
            verify_report_data(facts.body, wanted, ledger=Ledger())


def test_every_rule_of_a_td_has_an_attack():
    kept = {keeper.rule for keeper in keepers() if ".tdx" in keeper.module and "tdx_log" not in keeper.module}
    kept -= {"T9.12", "T11.1"}  # about logs, and about the conformance stage: test_verify_tdx_log.py, test_conformance
    attacked = {rule for _, rule, _ in ATTACKS} | {rule for _, rules, _ in REFUSED_BY_POLICY for rule in rules}
    attacked |= {rule for _, rule in REGISTERS} | {"T7.22", "T7.23", "T9.1", "T11.4", "T11.5", "T11.6"}
    attacked |= {"T7.1.1", "T7.6.3", "T7.6.4"}  # in tests of their own, above
    assert kept - attacked == set()
