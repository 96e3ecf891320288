"""The offline path over a simulated SEV-SNP guest, and clauses that take the control."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from client_sdk.clauses.expected import AnyValue, MustBeZero, OneOf, Setting
from client_sdk.clauses.snp import SnpDenyList, SnpGuest, SnpIdentity, SnpPlatform, SnpRevocation, SnpSigningKey
from client_sdk.errors import Failure, VerificationError
from client_sdk.parse.snp import FirmwareVersion, Product, parse_tcb
from client_sdk.report import Ledger
from client_sdk.verify.amd_chain import RevocationList, VerifiedVek, verify_vek
from client_sdk.verify.snp import VCEK, VLEK, SnpFacts, verify_report
from tests.fakes.simulated_snp import CSP_ID, NOW, TCBS, SimulatedSnp

MAX_AGE = timedelta(days=400)
CONTROLS = [(product, vlek) for product in Product for vlek in (False, True)]
CONTROL_IDS = [f"{product}-{'VLEK' if vlek else 'VCEK'}" for product, vlek in CONTROLS]
CLAUSES = {
    "key": SnpSigningKey(frozenset({VCEK, VLEK}), OneOf((CSP_ID,)), masked_chip_id=False),
    "guest": SnpGuest(Setting.REQUIRED, Setting.FORBIDDEN, (0, 31), frozenset({0})),
    "platform": SnpPlatform(
        Setting.REQUIRED,
        Setting.FORBIDDEN,
        FirmwareVersion(1, 55, 29),
        {product: parse_tcb(TCBS[product], product) for product in Product},
    ),
    "identity": SnpIdentity(OneOf((b"\x11" * 48,)), OneOf((b"\x22" * 32,)), AnyValue("a test"), MustBeZero()),
    "revocation": SnpRevocation(required=False, highest_seen=0),
    "deny": SnpDenyList(frozenset(), frozenset(), frozenset()),
}


def verified_vek(
    sim: SimulatedSnp, *, crl: bytes | None = None, now: datetime = NOW, ledger: Ledger | None = None
) -> VerifiedVek:
    revocation = None if crl is None else RevocationList(crl, MAX_AGE)
    return verify_vek(
        sim.certificate(), sim.others(), sim.arks, revocation=revocation, now=now, ledger=ledger or Ledger()
    )


def verified(sim: SimulatedSnp, *, report_data: bytes | None = None, ledger: Ledger | None = None, **chain) -> SnpFacts:
    ledger = ledger or Ledger()
    vek = verified_vek(sim, ledger=ledger, **chain)
    return verify_report(sim.report(), vek, report_data=report_data or sim.report_data, ledger=ledger)


def judged(sim: SimulatedSnp, name: str = "", ledger: Ledger | None = None, crl=None, **changes) -> tuple[Failure, ...]:
    """Judge a guest by every clause, one of them changed."""
    facts = verified(sim, crl=crl)
    clauses = CLAUSES | ({name: replace(CLAUSES[name], **changes)} if name else {})
    ledger = ledger or Ledger()
    return tuple(failure for clause in clauses.values() for failure in clause.judge(facts, ledger))


def refused(sim: SimulatedSnp, rule: str, **options) -> VerificationError:
    """Verify a guest; only this rule may refuse it."""
    with pytest.raises(VerificationError) as caught:
        verified(sim, **options)
    assert caught.value.rule == rule, str(caught.value)
    assert str(caught.value).startswith(f"[{rule}] ")
    return caught.value


def to(**knobs):
    """Return a change of a guest's attributes."""

    def change(sim):
        for name, value in knobs.items():
            setattr(sim, name, value)

    return change
