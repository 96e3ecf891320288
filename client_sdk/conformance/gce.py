"""Stage ``gce-ak``: Google's certificate of an attestation key. Fields are in ``docs/conformance/gce-ak.md``."""

from __future__ import annotations

from typing import Any

from client_sdk.clauses.expected import AnyValue, OneOf, Stated
from client_sdk.clauses.google import GoogleInstance
from client_sdk.conformance.request import Request
from client_sdk.conformance.tpm_request import CERTIFICATE_FIELDS, KEY_FIELDS, attestation_key, certificates
from client_sdk.errors import EvidenceError, PolicyError
from client_sdk.fields import integer, text
from client_sdk.report import Ledger
from client_sdk.verify.ak import GoogleAk, verify_certified, verify_google_ak

USES = ("ak", "ak-legacy")
_ANYTHING = AnyValue("the request names none")
_NUMBERS, _TEXTS = ("project_number", "instance_id"), ("project_id", "zone", "instance_name")


def ak(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge a certificate: its chain, its purpose, the instance that it names, and its key where that is given."""
    request.only(*CERTIFICATE_FIELDS, *KEY_FIELDS, "expected")
    clause = _clause(request.part("expected"))
    verified = certified(request, ledger)
    if (key := attestation_key(request, ledger)) is not None:
        verify_certified(verified.leaf, key.key, ledger=ledger)
    if failures := clause.judge(verified.instance, ledger):
        raise PolicyError(failures)
    instance = verified.instance
    return {
        "zone": instance.zone,
        "project_number": str(instance.project_number),
        "project_id": instance.project_id,
        "instance_id": str(instance.instance_id),
        "instance_name": instance.instance_name,
        "root": verified.root.hex(),
    }


def certified(request: Request, ledger: Ledger) -> GoogleAk:
    """Verify the certificate in a request under its roots, or Google's two."""
    anchors = request.anchors("google", *USES)
    return verify_google_ak(certificates(request), anchors, now=request.now(), ledger=ledger)


def _clause(expected: Request) -> GoogleInstance:
    expected.only(*_NUMBERS, *_TEXTS)
    return GoogleInstance(**{name: _stated(expected, name) for name in (*_NUMBERS, *_TEXTS)})


def _stated(expected: Request, name: str) -> Stated:
    """Read one statement or a list of them."""
    if not expected.has(name):
        return _ANYTHING
    value, where = expected.fields[name], expected.place(name)
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= 64:
        raise EvidenceError(where, "not 1 to 64 statements")
    if name in _NUMBERS:
        return OneOf(tuple([integer(item, where, high=2**64 - 1) for item in values]))
    return OneOf(tuple([text(item, where, limit=256) for item in values]))
