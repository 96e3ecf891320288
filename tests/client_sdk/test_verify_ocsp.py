"""OCSP answers (G1.6, G3.9) by a responder whose issuer may not vouch for one: ``ocsp.py`` relies on no other check."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.ocsp import load_der_ocsp_response

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.report import Ledger
from client_sdk.verify.ocsp import OcspRules, verify_ocsp
from tests.fakes.simulated_nvidia import (
    NOW,
    SimulatedOcsp,
    ca_extensions,
    device_root,
    issue,
    rim_root,
    signer_extensions,
)
from tests.fakes.simulated_vm import usage

NO_CA = x509.BasicConstraints(ca=False, path_length=None)


def judged(prefix, root, change):
    issuer = issue("an issuer", root, ca_extensions() | change)
    subject = issue("a subject", issuer, signer_extensions())
    answer = SimulatedOcsp(subject, issuer)
    answer.delegate = True
    rules = OcspRules(prefix, "a certificate", timedelta(days=7))
    path = tuple(one.fields for one in (subject, issuer, root))
    return verify_ocsp((answer.response(),), path, first=0, rules=rules, now=NOW, ledger=Ledger())


@pytest.mark.parametrize(("prefix", "root"), [("G1.6", device_root()), ("G3.9", rim_root())])
@pytest.mark.parametrize(
    ("attack", "number", "change"),
    [
        ("an issuer that is no CA", 3, {"constraints": (NO_CA, True)}),
        ("an issuer that may not sign certificates", 4, {"usage": (usage("digital_signature"), True)}),
    ],
)
def test_a_responder_of_an_issuer_that_may_not_vouch(prefix, root, attack, number, change):
    assert judged(prefix, root, {})
    with pytest.raises(VerificationError) as caught:
        judged(prefix, root, change)
    assert caught.value.rule == f"{prefix}.responder.{number}"


def test_an_answer_with_a_year_that_no_calendar_has():
    root = device_root()
    issuer = issue("an issuer", root, ca_extensions())
    subject = issue("a subject", issuer, signer_extensions())
    answer = SimulatedOcsp(subject, issuer).response()
    assert b"\x18\x0f20" in answer
    place = answer.index(b"\x18\x0f20")
    path = tuple(one.fields for one in (subject, issuer, root))
    rules = OcspRules("G1.6", "a certificate", timedelta(days=7))
    for at in {place, answer.rindex(b"\x18\x0f20"), answer.index(b"\x18\x0f20", place + 1)}:
        changed = answer[: at + 2] + b"0000" + answer[at + 6 :]
        with pytest.raises((EvidenceError, VerificationError)):
            verify_ocsp((changed,), path, first=0, rules=rules, now=NOW, ledger=Ledger())


def test_another_count_of_unused_bits_before_the_signature():
    """Nothing signs that byte: one answer would have two spellings, and two digests."""
    root = device_root()
    issuer = issue("an issuer", root, ca_extensions())
    subject = issue("a subject", issuer, signer_extensions())
    answer = SimulatedOcsp(subject, issuer).response()
    signature = load_der_ocsp_response(answer).signature
    place = answer.index(b"\0" + signature)
    changed = answer[:place] + b"\1" + answer[place + 1 :]
    rules = OcspRules("G1.6", "a certificate", timedelta(days=7))
    path = tuple(one.fields for one in (subject, issuer, root))
    with pytest.raises(EvidenceError, match=r"OCSP response .* \[0\]"):
        verify_ocsp((changed,), path, first=0, rules=rules, now=NOW, ledger=Ledger())
