"""Stages ``tdx``: a quote with Intel's collateral, and ``ccel``: a TD's event log. See docs/conformance."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client_sdk.ages import Ages
from client_sdk.clauses.expected import AnyValue, Expectation, OneOf
from client_sdk.clauses.tdx import Attributes, DenyList, EvaluationFloor, Grace, Registers, TcbStatus
from client_sdk.conformance.request import Request
from client_sdk.errors import EvidenceError, PolicyError
from client_sdk.fields import instant
from client_sdk.parse.ccel import parse_ccel
from client_sdk.report import Ledger, Phrase
from client_sdk.rules import keeps
from client_sdk.verify.tdx import QuoteFacts, verify_quote, verify_report_data
from client_sdk.verify.tdx_collateral import Collateral, TdxFacts, verify_collateral
from client_sdk.verify.tdx_log import replay, verify_log, verify_rtmr0

_PARTS = (
    "tcb_info",
    "tcb_info_issuer_chain",
    "qe_identity",
    "qe_identity_issuer_chain",
    "pck_crl",
    "root_ca_crl",
)
_REGISTERS = (
    "mr_seam",
    "mr_td",
    "rtmr0",
    "rtmr1",
    "rtmr2",
    "rtmr3",
    "mr_config_id",
    "mr_owner",
    "mr_owner_config",
    "mr_service_td",
)
_KNOBS = ("graces", "min_tcb_evaluation", "min_qe_evaluation", "max_age_days", "max_root_crl_age_days", "deny_ppids")
_MAX_AGE_DAYS, _MAX_ROOT_CRL_AGE_DAYS = 92, 400


def quote(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge a TDX quote with collateral, under the default policy but for measurements that are not named."""
    request.only("quote", *_PARTS, "roots", "expected", "params", "now")
    expected, params = request.part("expected"), request.part("params")
    expected.only("report_data", *_REGISTERS)
    params.only(*_KNOBS)
    anchors, now = request.anchors("intel", "sgx"), request.now()
    genuine = verify_quote(request.blob("quote"), anchors, now=now, ledger=ledger)
    if expected.has("report_data"):
        wanted = expected.hexadecimal("report_data", size=64)
        verify_report_data(genuine.body, wanted, ledger=ledger)
    collateral = _collateral(request, ledger)
    facts = verify_collateral(genuine, collateral, anchors, ages=_ages(params), now=now, ledger=ledger)
    failures = (
        TcbStatus(_graces(params)).judge(facts, ledger)
        + EvaluationFloor(params.number("min_tcb_evaluation", 0), params.number("min_qe_evaluation", 0)).judge(
            facts, ledger
        )
        + Attributes().judge(facts, ledger)
        + _registers(expected).judge(facts, ledger)
        + DenyList(frozenset(params.hex_list("deny_ppids", size=16))).judge(facts, ledger)
    )
    if failures:
        raise PolicyError(failures)
    return _quote_facts(genuine) | _tcb_facts(facts)


def ccel(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Replay a TD's event log, against a quote or given registers where there are any."""
    request.only("ccel", "quote", "roots", "expected", "params", "now")
    expected, params = request.part("expected"), request.part("params")
    expected.only("rtmrs")
    params.only("grammar")
    log = request.blob("ccel")
    parsed = parse_ccel(log)
    values = replay(parsed.events)
    known = _known_rtmrs(request, expected, ledger)
    events = verify_log(log, known or values, ledger=ledger)
    facts: dict[str, Any] = {
        "rtmr_replay": {str(index): value for index, value in enumerate(values)},
        "events": len(parsed.events),
        "used": parsed.used,
        "total": len(log),
        "compared": bool(known),
    }
    if (grammar := params.word("grammar", "none")) not in ("none", "rtmr0"):
        raise EvidenceError("$.params.grammar", "neither none nor rtmr0")
    if grammar == "rtmr0":
        found = verify_rtmr0(events, ledger=ledger)
        facts |= {"secure_boot": found.secure_boot, "observed": list(found.observed)}
    return facts


def _known_rtmrs(request: Request, expected: Request, ledger: Ledger) -> tuple[bytes, bytes, bytes, bytes] | None:
    if request.has("quote"):
        return verify_quote(
            request.blob("quote"), request.anchors("intel", "sgx"), now=request.now(), ledger=ledger
        ).body.rtmrs
    if not expected.has("rtmrs"):
        return None
    values = expected.hex_list("rtmrs", size=48)
    if len(values) != 4:
        raise EvidenceError("$.expected.rtmrs", "not four registers")
    return values[0], values[1], values[2], values[3]


@keeps("T11.1")
def _collateral(request: Request, ledger: Ledger) -> Collateral:
    missing = tuple([part for part in _PARTS if not request.has(part)])
    got = Phrase(("missing:", missing)) if missing else "all of it"
    ledger.holds("T11.1", "all collateral is there", expected="all of it", got=got, condition=not missing)
    parts = [request.blob(part) for part in _PARTS[:4]] + [_crl(request, part) for part in _PARTS[4:]]
    return Collateral(*parts)


def _crl(request: Request, name: str) -> bytes:
    """Return DER: Intel's service gives a revocation list in either form."""
    data = request.blob(name)
    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    try:
        return x509.load_pem_x509_crl(data).public_bytes(Encoding.DER)
    except ValueError as error:
        raise EvidenceError(request.place(name), "a revocation list that is not PEM") from error


def _ages(params: Request) -> Ages:
    usual = params.days("max_age_days", _MAX_AGE_DAYS)
    root = params.days("max_root_crl_age_days", _MAX_ROOT_CRL_AGE_DAYS)
    return Ages(tcb_info=usual, qe_identity=usual, pck_crl=usual, root_crl=root)


def _graces(params: Request) -> tuple[Grace, ...]:
    found = []
    for row in params.parts("graces") if params.has("graces") else ():
        row.only("status", "until")
        until = instant(row.word("until"), row.place("until"))
        try:
            found.append(Grace(row.word("status"), until))
        except EvidenceError as error:
            raise EvidenceError(row.place("status"), str(error)) from error
    return tuple(found)


def _registers(expected: Request) -> Registers:
    def wanted(name: str) -> Expectation:
        if not expected.has(name):
            return AnyValue("the request expects no value")
        return OneOf((expected.hexadecimal(name, size=48),))

    return Registers(**{name: wanted(name) for name in _REGISTERS})


def _quote_facts(facts: QuoteFacts) -> dict[str, Any]:
    body, pck = facts.body, facts.pck
    return {
        "version": facts.header.version,
        "body_type": body.kind,
        "tee_tcb_svn": body.tee_tcb_svn,
        "tee_tcb_svn_2": body.tee_tcb_svn_2,
        "attributes": f"{body.attributes:#018x}",
        "xfam": f"{body.xfam:#018x}",
        "mr_seam": body.mr_seam,
        "mr_td": body.mr_td,
        "mr_config_id": body.mr_config_id,
        "mr_owner": body.mr_owner,
        "mr_owner_config": body.mr_owner_config,
        "mr_service_td": body.mr_service_td,
        "rtmrs": list(body.rtmrs),
        "report_data": body.report_data,
        "fmspc": pck.fmspc,
        "pce_id": pck.pce_id,
        "pce_svn": pck.pce_svn,
        "cpu_svn": pck.cpu_svn,
        "ppid": pck.ppid,
        "sgx_type": pck.sgx_type,
        "qe_isv_svn": facts.quote.qe_report.isv_svn,
    }


def _tcb_facts(facts: TdxFacts) -> dict[str, Any]:
    tcb = facts.tcb
    return {
        "tcb_status": tcb.status,
        "platform_status": tcb.platform_status,
        "module_status": tcb.module_status,
        "qe_status": tcb.qe_status,
        "tcb_date": tcb.tcb_date,
        "advisories": list(tcb.advisories),
        "tcb_evaluation": tcb.tcb_evaluation,
        "qe_evaluation": tcb.qe_evaluation,
        "pck_crl_number": tcb.pck_crl_number,
        "root_crl_number": tcb.root_crl_number,
    }
