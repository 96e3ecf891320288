"""Stages ``azure-hcl`` and ``azure-ak``: the paravisor's report with what it binds, and a certificate of its key.

Fields, knobs and their defaults are in ``docs/conformance/azure-hcl.md`` and ``azure-ak.md``. The hardware report's
own signature is for the stages ``snp`` and ``tdx``.
"""

from __future__ import annotations

from typing import Any

from client_sdk.clauses.azure import AzureVm
from client_sdk.clauses.expected import AnyValue, OneOf, Stated
from client_sdk.conformance.request import Request
from client_sdk.conformance.tpm_request import (
    CERTIFICATE_FIELDS,
    KEY_FIELDS,
    QUOTE_FIELDS,
    attestation_key,
    certificates,
    quote,
    quote_facts,
)
from client_sdk.errors import EvidenceError, PolicyError
from client_sdk.fields import text
from client_sdk.parse.azure import TDX, USER_DATA_SIZE, HclReport, parse_hcl_report
from client_sdk.report import Ledger, plain
from client_sdk.verify.ak import AzureAk, verify_azure_ak, verify_certified
from client_sdk.verify.azure import HclFacts, verify_hcl, verify_hcl_ak, verify_user_data
from client_sdk.verify.quote import certified_key

_ANYTHING = AnyValue("the request says nothing of it")
_FLAGS = ("console_enabled", "secure_boot", "tpm_enabled", "tpm_persisted")
_TEXTS = ("vm_id", "root_thumbprint")
# Where a TD quote of version 4 has its body, and where in a body the report data are (Intel's DCAP quoting library).
_QUOTE_BODY, _REPORT_DATA = {4: 48, 5: 54}, 520


def hcl(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge the paravisor's report, and what comes with it: TD quote, attestation key, its certificate, a quote."""
    request.only("hcl_report", "td_quote", *QUOTE_FIELDS, *KEY_FIELDS, *CERTIFICATE_FIELDS, "expected")
    expected = request.part("expected")
    expected.only("nonce_hex", "selection", "user_data_hex", *_FLAGS, *_TEXTS)
    clause = _clause(expected)
    report = parse_hcl_report(request.blob("hcl_report"))
    facts = verify_hcl(report, _report_data(request, report), ledger=ledger)
    if expected.has("user_data_hex"):
        user_data = expected.hexadecimal("user_data_hex", size=USER_DATA_SIZE)
        verify_user_data(facts, user_data, ledger=ledger)
    if (key := attestation_key(request, ledger)) is not None:
        verify_hcl_ak(facts, key.key, ledger=ledger)
    if request.has("ak_cert"):
        verify_certified(certified(request, ledger).leaf, facts.ak, ledger=ledger)
    told = _facts(report, facts)
    if request.has("attest"):
        signer = key or certified_key(facts.ak, ledger=ledger)
        told["quote"] = quote_facts(quote(request).verify(signer, ledger))
    if failures := clause.judge(facts, ledger):
        raise PolicyError(failures)
    return told


def ak(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge a certificate: its chain, its purpose, and its key where that is given."""
    request.only(*CERTIFICATE_FIELDS, *KEY_FIELDS)
    verified = certified(request, ledger)
    if (key := attestation_key(request, ledger)) is not None:
        verify_certified(verified.leaf, key.key, ledger=ledger)
    return {"root": verified.root.hex(), "not_after": verified.leaf.not_after.isoformat()}


def certified(request: Request, ledger: Ledger) -> AzureAk:
    """Verify the certificate in a request under its roots, or Azure's."""
    anchors = request.anchors("azure", "ak")
    return verify_azure_ak(certificates(request), anchors, now=request.now(), ledger=ledger)


def _report_data(request: Request, report: HclReport) -> bytes:
    """Return the 64 bytes of the signed hardware report: on TDX they are the TD quote's, where there is one."""
    if report.kind != TDX or not request.has("td_quote"):
        if request.has("td_quote"):
            raise EvidenceError("$.td_quote", "an SNP machine has no TD quote")
        return report.report_data
    quoted = request.blob("td_quote")
    start = _QUOTE_BODY.get(int.from_bytes(quoted[:2], "little"), len(quoted)) + _REPORT_DATA
    found = quoted[start : start + USER_DATA_SIZE]
    if len(found) != USER_DATA_SIZE:
        raise EvidenceError("$.td_quote byte 0", "not a TD quote of version 4 or 5")
    return found


def _clause(expected: Request) -> AzureVm:
    flags = {name: _flag(expected, name) for name in _FLAGS}
    texts = {name: _text(expected, name) for name in _TEXTS}
    return AzureVm(**flags, **texts)


def _flag(expected: Request, name: str) -> Stated:
    return OneOf((expected.flag(name, default=False),)) if expected.has(name) else _ANYTHING


def _text(expected: Request, name: str) -> Stated:
    if not expected.has(name):
        return _ANYTHING
    value = text(expected.fields[name], expected.place(name), limit=256)
    return OneOf((value.lower() if name == "vm_id" else value,))


def _facts(report: HclReport, facts: HclFacts) -> dict[str, Any]:
    return {
        "kind": "tdx" if report.kind == TDX else "snp",
        "header_version": report.version,
        "hash_type": report.hash_type,
        "keys": sorted(report.claims.keys),
        "user_data": None if facts.user_data is None else facts.user_data.hex(),
        "vm_configuration": plain(dict(facts.configuration)),
    }
