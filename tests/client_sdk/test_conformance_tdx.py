"""Stages ``tdx`` and ``ccel``: what they take, what they refuse, and that their documents say so."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client_sdk.conformance.__main__ import ACCEPTED, MALFORMED, REFUSED, judge
from client_sdk.conformance.describe import SCHEMAS
from client_sdk.conformance.tdx import ccel, quote
from client_sdk.fields import format_instant
from client_sdk.vendor import vendor_roots
from tests.fakes.simulated_tdx import NOW, PPID, SimulatedTdx, extended, serialise, td_log

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = {"root_crl": "root_ca_crl"}


def text(data: bytes) -> str:
    return b64encode(data).decode()


def fields(td: SimulatedTdx) -> dict:
    collateral = td.intel.collateral()
    names = collateral.__slots__
    parts = {PARTS.get(name, name): text(getattr(collateral, name)) for name in names}
    return {"quote": text(td.quote()), **parts, "roots": [text(td.intel.root.der)], "now": format_instant(NOW)}


def verdict(stage, request: dict) -> tuple[int, dict]:
    return judge(stage, json.dumps(request).encode())


TD = SimulatedTdx()
GOOD = fields(TD)
LOG = {"ccel": text(serialise(td_log()))}


def test_a_quote_that_is_accepted():
    expected = {"report_data": TD.report_data.hex(), "mr_td": TD.mr_td.hex(), "rtmr3": "00" * 48}
    status, found = verdict(quote, GOOD | {"expected": expected})
    assert (status, found["verdict"]) == (ACCEPTED, "accepted")
    assert found["facts"]["tcb_status"] == found["facts"]["module_status"] == "UpToDate"
    assert found["facts"]["rtmrs"] == [value.hex() for value in TD.rtmrs]


@pytest.mark.parametrize(
    ("fault", "rule", "change"),
    [
        ("report data", "T1.1", {"expected": {"report_data": "00" * 64}}),
        ("MRTD", "T8.11", {"expected": {"mr_td": "00" * 48}}),
        ("RTMR3", "T8.15", {"expected": {"rtmr3": "01" * 48}}),
        ("evaluation of TCB info", "T7.22", {"params": {"min_tcb_evaluation": 18}}),
        ("evaluation of the QE", "T7.23", {"params": {"min_qe_evaluation": 18}}),
        ("age", "T7.3.2", {"params": {"max_age_days": 1}}),
        ("age of the root's list", "T7.4.2", {"params": {"max_root_crl_age_days": 1}}),
        ("deny-list", "T11.6", {"params": {"deny_ppids": ["00" * 16, PPID.hex()]}}),
        ("root", "T7.1.1", {"roots": None}),
    ],
)
def test_what_a_request_can_ask_for(fault, rule, change):
    status, found = verdict(quote, GOOD | change)
    assert status == REFUSED
    assert rule in found["rules"]


@pytest.mark.parametrize("part", [name for name in GOOD if name not in {"quote", "roots", "now"}])
def test_collateral_is_required(part):
    status, found = verdict(quote, {name: value for name, value in GOOD.items() if name != part})
    assert (status, found["rules"]) == (REFUSED, ["T11.1"])
    assert part in found["message"]


def test_a_grace():
    old = fields(SimulatedTdx().change("pce_svn", 11))
    assert verdict(quote, old)[0] == REFUSED
    graces = [{"status": "OutOfDate", "until": format_instant(NOW)}]
    assert verdict(quote, old | {"params": {"graces": graces}})[0] == ACCEPTED
    graces[0]["until"] = "2029-01-01T00:00:00Z"
    assert verdict(quote, old | {"params": {"graces": graces}})[1]["rules"] == ["T7.21"]


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"expected": {"mrtd": "00" * 48}},
        {"expected": {"mr_td": "00" * 47}},
        {"params": {"skip": True}},
        {"params": {"graces": [{"status": "Revoked", "until": "2031-01-01T00:00:00Z"}]}},
        {"params": {"graces": [{"status": "OutOfDate"}]}},
        {"params": {"deny_ppids": ["00"]}},
        {"now": "yesterday"},
        {"now": None},
        {"quote": "no base64"},
        {"roots": [text(b"no certificate")]},
        {"pck_crl": text(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")},
        {"pck_crl": text(b"no list")},
    ],
)
def test_a_request_that_is_malformed(change):
    status, found = verdict(quote, GOOD | change)
    assert (status, found["verdict"]) == (MALFORMED, "malformed")


def test_pem_where_der_will_do():
    pem = x509.load_der_x509_crl(TD.intel.pck_crl.der).public_bytes(Encoding.PEM)
    assert verdict(quote, GOOD | {"pck_crl": text(pem), "roots": [text(TD.intel.root.pem)]})[0] == ACCEPTED


def test_intels_root_ships():
    (root,) = vendor_roots("intel", "sgx")
    assert root.certificate.subject == root.certificate.issuer
    assert "Intel SGX Root CA" in root.certificate.subject.rfc4514_string()


def test_a_log_alone_is_replayed():
    status, found = verdict(ccel, LOG)
    assert status == ACCEPTED
    values = {str(index): value.hex() for index, value in enumerate(extended(td_log()))}
    assert found["facts"]["rtmr_replay"] == values
    assert found["facts"]["compared"] is False


def test_a_log_beside_registers():
    rtmrs = [value.hex() for value in extended(td_log())]
    status, found = verdict(ccel, LOG | {"expected": {"rtmrs": rtmrs}})
    assert (status, found["facts"]["compared"]) == (ACCEPTED, True)
    assert verdict(ccel, LOG | {"expected": {"rtmrs": ["00" * 48] * 4}})[1]["rules"] == ["T9.2"]
    assert verdict(ccel, LOG | {"expected": {"rtmrs": rtmrs[:3]}})[0] == MALFORMED


def test_a_log_beside_a_quote():
    td = SimulatedTdx()
    td.rtmrs = list(extended(td_log()))
    genuine = {name: fields(td)[name] for name in ("quote", "roots", "now")}
    status, found = verdict(ccel, LOG | genuine)
    assert (status, found["facts"]["compared"]) == (ACCEPTED, True)
    assert verdict(ccel, LOG | genuine | {"quote": GOOD["quote"]})[1]["rules"] == ["T9.2"]
    td.sign_quote_with = TD.pck.key
    assert verdict(ccel, LOG | genuine | {"quote": text(td.quote())})[1]["rules"] == ["T6.5"]


def test_the_grammar_is_judged_where_it_is_asked_for():
    log = {"ccel": text(serialise(td_log()[1:]))}
    assert verdict(ccel, log)[0] == ACCEPTED
    assert verdict(ccel, log | {"params": {"grammar": "rtmr0"}})[1]["rules"] == ["T9.7"]
    assert verdict(ccel, LOG | {"params": {"grammar": "rtmr0"}})[1]["facts"]["secure_boot"] == "off"
    assert verdict(ccel, LOG | {"params": {"grammar": "all"}})[0] == MALFORMED


@pytest.mark.parametrize(("stage", "function"), [("tdx", quote), ("ccel", ccel)])
def test_the_documents_name_every_field(stage, function):
    schema = json.loads((SCHEMAS / f"{stage}.schema.json").read_text())
    words = set(re.findall(r"\w+", (ROOT / f"docs/conformance/{stage}.md").read_text())) | {"rtmr1", "rtmr2"}
    properties = schema["properties"]
    taken = {"": set(properties)} | {part: set(properties[part]["properties"]) for part in ("expected", "params")}
    assert set().union(*taken.values()) - words == set()
    for part, names in taken.items():  # a field that is not known is refused with the names of those that are
        message = verdict(function, {part: {"x": 1}} if part else {"x": 1})[1]["message"]
        assert set(message.partition("takes ")[2].split(", ")) == names
