"""The same TDX quotes judged by an independent verifier, dcap-qvl (Rust): real ones, and simulated ones with one fault.

Two verifiers that disagree about a quote show that one of them has a rule that the other lacks. Where they differ on
purpose, the test says so. dcap-qvl gives a TCB status or an error; what it refuses of a TD's attributes is policy here,
so that clause is judged beside.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from client_sdk.clauses.tdx import PRODUCTION_AGES, Attributes
from client_sdk.clauses.values import MustBeZero
from client_sdk.errors import AttestationError
from client_sdk.fields import instant
from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.intel_collateral import QE_IDENTITY, TCB_INFO, parse_statement
from client_sdk.parse.issuer_chain import parse_chain
from client_sdk.report import Ledger
from client_sdk.verify.tdx import verify_quote
from client_sdk.verify.tdx_collateral import Collateral, verify_collateral
from client_sdk.verify.tdx_tcb import NO_MATCH, REVOKED, UP_TO_DATE
from tests.fakes.simulated_tdx import ATTRIBUTES, NOW, Certified, SimulatedTdx
from tests.fakes.simulated_vm import ec_key

dcap_qvl = pytest.importorskip("dcap_qvl", reason="dcap-qvl is not installed: pip install dcap-qvl")
REFUSED = "refused"
FOLDER = os.environ.get("VITRINE_EVIDENCE", "")
COLLATERAL = ("tcb_info", "tcb_info_issuer_chain", "qe_identity", "qe_identity_issuer_chain", "pck_crl", "root_ca_crl")


def ours(quote: bytes, collateral: Collateral, root: bytes, now) -> tuple[str, tuple[str, ...]]:
    """Return the TCB status and the advisories, or that it is refused."""
    anchors = (parse_certificate(root, "root"),)
    try:
        facts = verify_quote(quote, anchors, now=now, ledger=Ledger())
        found = verify_collateral(facts, collateral, anchors, ages=PRODUCTION_AGES, now=now, ledger=Ledger())
    except AttestationError as error:
        return REFUSED, (str(error),)
    failures = Attributes().judge(found, Ledger())
    failures += MustBeZero().judge("T8.19", "MRSERVICETD", facts.body.mr_service_td, Ledger())
    # A platform that no level covers, or that is revoked, is an error there and has a status here.
    refused = failures or found.tcb.status in (NO_MATCH, REVOKED)
    return (REFUSED, ()) if refused else (found.tcb.status, found.tcb.advisories)


def theirs(quote: bytes, collateral: Collateral, root: bytes, now) -> tuple[str, tuple[str, ...]]:
    tcb, qe = (
        parse_statement(d, m) for d, m in ((collateral.tcb_info, TCB_INFO), (collateral.qe_identity, QE_IDENTITY))
    )
    given = dcap_qvl.QuoteCollateralV3(
        pck_crl_issuer_chain=unquote(collateral.tcb_info_issuer_chain.decode()),
        root_ca_crl=collateral.root_crl,
        pck_crl=collateral.pck_crl,
        tcb_info_issuer_chain=unquote(collateral.tcb_info_issuer_chain.decode()),
        tcb_info=tcb.signed.decode(),
        tcb_info_signature=tcb.signature,
        qe_identity_issuer_chain=unquote(collateral.qe_identity_issuer_chain.decode()),
        qe_identity=qe.signed.decode(),
        qe_identity_signature=qe.signature,
    )
    try:
        report = dcap_qvl.verify_with_root_ca(quote, given, root, int(now.timestamp()))
    except ValueError as error:
        return REFUSED, (str(error),)
    return report.status, tuple(sorted(set(report.advisory_ids)))


def cases():
    if not FOLDER:
        return []
    known = json.loads((Path(FOLDER) / "CASES.json").read_text())
    return [case for case in known if case["time"] and "tcb_info" in case["inputs"]]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_a_real_quote_gets_the_same_verdict(case):
    inputs = {
        name: (Path(FOLDER) / path).read_bytes() for name, path in case["inputs"].items() if isinstance(path, str)
    }
    root = parse_chain(inputs.get("root") or inputs["intel_root"], "root")[0]
    collateral = Collateral(*[inputs[part] for part in COLLATERAL])
    given = (inputs.get("td_quote") or inputs["quote"], collateral, root, instant(case["time"], "time"))
    mine, other = ours(*given), theirs(*given)
    print(case["id"], mine[0], other[0], other[1] if other[0] == REFUSED else "")
    assert mine[0] == other[0], (mine, other)
    if mine[0] != REFUSED:
        assert mine[1] == other[1]


SVNS = bytes(13)
LEVEL = "intel.tcb_info.tcbLevels.0.tcbStatus"
# What is wrong → what is changed before everything is signed, by path.
FAULTS: dict[str, dict[str, object]] = {
    "nothing": {},
    "an old microcode": {"components": bytes((2, 3, 2, 2, 4, 1, 0, 5)) + bytes(8)},
    "an old PCE": {"pce_svn": 11},
    "a PCE older than any level": {"pce_svn": 10},
    "components older than any level": {"components": bytes(16)},
    "an old TDX microcode": {"tee_tcb_svn": bytes((6, 1, 2)) + SVNS},
    "an old TDX module": {"tee_tcb_svn": bytes((5, 1, 3)) + SVNS},
    "a TDX module older than any level": {"tee_tcb_svn": bytes((3, 1, 3)) + SVNS},
    "a TDX module that Intel does not state": {"tee_tcb_svn": bytes((6, 2, 3)) + SVNS},
    "a TDX module of a version in hex": {
        "tee_tcb_svn": bytes((6, 0x1A, 3)) + SVNS,
        "intel.tcb_info.tdxModuleIdentities.0.id": "TDX_1a",
    },
    "a TDX module of a version in decimal": {
        "tee_tcb_svn": bytes((6, 0x1A, 3)) + SVNS,
        "intel.tcb_info.tdxModuleIdentities.0.id": "TDX_26",
    },
    "a TDX module without a version": {"tee_tcb_svn": bytes((5, 0, 3)) + SVNS},
    "an old one without a version": {"tee_tcb_svn": bytes((4, 0, 3)) + SVNS},
    "an old quoting enclave": {"qe_svn": 3},
    "a quoting enclave older than any level": {"qe_svn": 1},
    "software hardening needed": {LEVEL: "SWHardeningNeeded"},
    "configuration needed": {LEVEL: "ConfigurationNeeded"},
    "configuration needed and an old quoting enclave": {LEVEL: "ConfigurationNeeded", "qe_svn": 3},
    "a revoked level": {LEVEL: "Revoked"},
    "another FMSPC": {"fmspc": bytes(6)},
    "another PCE-ID": {"pce_id": b"\0\1"},
    "a quote signed by another key": {"sign_quote_with": ec_key("other")},
    "a QE report signed by another key": {"sign_qe_with": ec_key("other")},
    "a QE report about another key": {"qe_report_data": bytes(64)},
    "another quoting enclave": {"qe_signer": bytes(32)},
    "another product of its signer": {"qe_product": 1},
    "a quoting enclave in debug mode": {"qe_attributes": b"\x17" + bytes(15)},
    "a debug TD": {"attributes": ATTRIBUTES | 1},
    "a TD that the host takes pages from": {"attributes": 0},
    "a TD with performance counters": {"attributes": ATTRIBUTES | 1 << 63},
    "a TD that can be migrated": {"attributes": ATTRIBUTES | 1 << 29},
    "a TDX module of another signer": {"mr_signer_seam": b"\1" * 48},
    "a revoked PCK": {"intel.pck_crl.serials": (20,)},
    "a revoked CA": {"intel.root_crl.serials": (11,)},
    "a revoked signer of TCB statements": {"intel.root_crl.serials": (12,)},
    "a revocation list of another key": {"intel.pck_crl.signer": Certified("other", ec_key("other"))},
    "TCB info that somebody else signed": {"intel.tcb_key": ec_key("other")},
    "a QE identity that somebody else signed": {"intel.qe_key": ec_key("other")},
    "TCB info of last month": {"intel.tcb_info.nextUpdate": "2030-05-20T00:00:00Z"},
    "a PCK certificate of last year": {"pck.until": NOW - timedelta(days=1)},
    "TCB info of SGX": {"intel.tcb_info.id": "SGX"},
    "a QE identity of SGX": {"intel.qe_identity.id": "QE"},
}
# Where dcap-qvl says UpToDate: it neither compares the PCE-ID nor minds performance counters.
STRICTER_HERE = {"another PCE-ID", "a TD with performance counters"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("version", "body"), [(4, 2), (5, 2), (5, 3)])
def test_a_simulated_quote_gets_the_same_verdict(fault, version, body):
    td = SimulatedTdx(version=version, body_type=body)
    for path, value in FAULTS[fault].items():
        td.change(path, value)
    td.tee_tcb_svn_2 = td.tee_tcb_svn
    given = (td.quote(), td.intel.collateral(), td.intel.root.der, NOW)
    mine, other = ours(*given), theirs(*given)
    print(fault, mine[0], other[0], other[1] if other[0] == REFUSED else "")
    if fault in STRICTER_HERE:
        assert (mine[0], other[0]) == (REFUSED, UP_TO_DATE)
        return
    assert mine[0] == other[0], (mine, other)
    if mine[0] != REFUSED:
        assert mine[1] == other[1]
