"""One attestation: all network first (:func:`gather`), then pure judgement (:func:`judge`, :func:`examine`).

(1) C1: a fresh nonce of 32 random bytes. (2) One TLS connection: evidence, and where the attestation key has no
certificate, its activation. (3) C3.1: the certificate of that connection is the one in the evidence.
(4) ``verify``. (5) R1 to R3, R5, R6: the releases are signed by the pinned publisher, logged where a log is pinned, in
their dates, and have not gone back. (6) ``accept``. R3.revoked: what is genuine and revoked is told as that.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from client_sdk.accept import Accepted, accept
from client_sdk.binding import NONCE_SIZE
from client_sdk.collateral import Collateral, require_collateral
from client_sdk.encoding import from_base64, strict_json
from client_sdk.errors import AttestationError, EvidenceError, FetchError, PolicyError, VerificationError
from client_sdk.evidence import Evidence
from client_sdk.fetch import Peer
from client_sdk.fields import exact_keys
from client_sdk.given import require, require_bytes, require_seconds
from client_sdk.origin import Origin
from client_sdk.policies.interface import require_policy
from client_sdk.policy import Policy, Production
from client_sdk.publisher import Publisher
from client_sdk.releases import Opened, ReleaseSources, open_releases
from client_sdk.report import Check, Ledger, as_checks
from client_sdk.roots import Roots
from client_sdk.rules import keeps
from client_sdk.sources import Parts, Sources, digests, parts
from client_sdk.transparency.client.memory import Memory
from client_sdk.transparency.client.revoked import refuse_running
from client_sdk.verifier import VerifiedEvidence, challenge, verify
from client_sdk.verify.activation import SECRET_SIZE, Activation

TIMEOUT = 60.0
_OTHER_NONCE = "C2.2"
_NOBODY_CONNECTED = ("C3", "the evidence was stored: no connection showed its certificate")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one attestation brought, as received; nothing in it is verified. ``certificate`` is the connection's."""

    origin: str
    evidence: bytes
    nonce: bytes
    certificate: bytes
    activation: Activation | None


def gather(origin: Origin, *, timeout: float = TIMEOUT) -> Gathered:
    """Ask a peer for evidence, and for activation where that is needed, on one connection that is opened for it.

    Raises:
        FetchError: unreachable or not ready.
        EvidenceError: the answers cannot be read.
        VerificationError: the peer redirects, shows another certificate than its evidence has, or cannot activate.
    """
    with Peer.connect(origin, seconds=timeout) as peer:
        return gather_from(peer)


def gather_in_time(origin: Origin, *, timeout: float = TIMEOUT) -> Gathered:
    """Do the same; a peer that says when to come back (HTTP's ``Retry-After``) is asked again then, if there is time.

    Each time on another connection and with another nonce; all of it stays within the time limit.

    Raises:
        FetchError: unreachable, or not ready, and its ``retry_after`` is beyond the time limit.
        EvidenceError: the answers cannot be read.
        VerificationError: the peer redirects, shows another certificate than its evidence has, or cannot activate.
    """
    deadline, not_ready = time.monotonic() + timeout, None
    while True:
        try:
            return gather(origin, timeout=deadline - time.monotonic())
        except FetchError as error:
            left = deadline - time.monotonic()
            if not_ready is not None and left <= 0:
                raise not_ready from error  # what it said says more than that the time is over
            if error.retry_after is None or error.retry_after >= left:
                raise
            not_ready = error
            pause = max(error.retry_after, 1)
            # Some later than others: those who were sent away together should not come back together.
            time.sleep(min(pause + random.uniform(0, pause / 4), left))  # noqa: S311 - nothing secret


def gather_from(peer: Peer) -> Gathered:
    """Ask a peer on the connection that there is.

    Raises:
        FetchError: no answer, or not ready.
        EvidenceError: the answers cannot be read.
        VerificationError: the peer redirects, shows another certificate than its evidence has, or cannot activate.
    """
    nonce = secrets.token_bytes(NONCE_SIZE)
    gathered, ledger = Gathered(str(peer.origin), peer.evidence(nonce), nonce, peer.certificate, None), Ledger()
    try:
        evidence = Evidence.from_json(gathered.evidence)
        _same_certificate(evidence, peer.certificate, ledger)  # else there is nothing more to ask of this peer
        if evidence.ak_certificates:
            return gathered
        request, state = challenge(evidence, secrets.token_bytes)
        return replace(gathered, activation=Activation(state, _secret(peer.activate(request.to_json()))))
    except AttestationError as error:
        error.checks, error.sources = ledger.checks, _sources(gathered)
        raise


def examine(
    gathered: Gathered, *, roots: Roots, now: datetime, collateral: Collateral | None = None
) -> VerifiedEvidence:
    """Verify what was gathered, without comparing it with a release.

    Raises:
        EvidenceError: malformed bytes.
        VerificationError: the first rule that does not hold.
    """
    ledger = Ledger()
    try:
        evidence = Evidence.from_json(gathered.evidence)
        _same_certificate(evidence, gathered.certificate, ledger)
        nonce, activation = gathered.nonce, gathered.activation
        verified = verify(evidence, roots=roots, nonce=nonce, now=now, activation=activation, collateral=collateral)
    except AttestationError as error:
        error.checks, error.sources = ledger.checks + error.checks, _sources(gathered)
        raise
    return verified.brought_by(tuple(ledger.rows), _received(gathered))


def judge(
    gathered: Gathered, *, releases: Opened, policy: Policy, now: datetime, collateral: Collateral | None = None
) -> Accepted:
    """Verify what was gathered and hold it against releases and policy; pure.

    Raises:
        EvidenceError: malformed bytes.
        VerificationError: not genuine, not fresh or not bound.
        PolicyError: genuine, but not what was asked for.
    """
    return _held_against(
        lambda: examine(gathered, roots=policy.roots, now=now, collateral=collateral), releases=releases, policy=policy
    )


def judge_stored(
    evidence: bytes,
    nonce: bytes,
    *,
    releases: Opened,
    policy: Policy,
    now: datetime,
    collateral: Collateral | None = None,
    activation: Activation | None = None,
) -> Accepted:
    """Judge evidence that somebody stored, as a service sent it, by the nonce that it was asked for with; pure.

    Nobody connected: that a service used the attested certificate (C3) was not seen, and the report says so.

    Raises:
        EvidenceError: malformed bytes.
        VerificationError: not genuine, not fresh or not bound.
        PolicyError: genuine, but not what was asked for.
    """

    def verified() -> VerifiedEvidence:
        parsed = Evidence.from_json(evidence)
        roots = policy.roots
        try:
            found = verify(parsed, roots=roots, nonce=nonce, now=now, activation=activation, collateral=collateral)
        except VerificationError as error:
            raise _of_stored(error) from error
        return found.without(_NOBODY_CONNECTED)

    return _held_against(verified, releases=releases, policy=policy)


def _of_stored(error: VerificationError) -> VerificationError:
    """Say of a nonce that stored evidence does not answer that it may be another's: a caller brought it."""
    if error.rule != _OTHER_NONCE:
        return error
    what = f"{error.what} (check that the nonce, --nonce, is the one that this evidence was asked for with)"
    told = VerificationError(error.rule, what, expected=error.expected, got=error.got)
    told.checks = (*error.checks[:-1], error.checks[-1]._replace(what=what))
    told.not_run, told.facts, told.sources = error.not_run, error.facts, error.sources
    return told


def verify_stored(
    evidence: bytes,
    nonce: bytes,
    *,
    releases: ReleaseSources,
    publisher: Publisher,
    now: datetime,
    policy: Policy | None = None,
    collateral: Collateral | None = None,
    activation: Activation | None = None,
) -> Accepted:
    """Judge evidence that was stored, as a service sent it, by its nonce and as at ``now``; production by default.

    It is the verdict of ``vitrine verify --evidence``. Nobody connected, so it does not prove that any service uses the
    attested certificate (C3), and the report says so; nor that the nonce was drawn freshly: only who drew it knows.
    ``activation`` is what a second round brought, which evidence without a certified attestation key needs.

    Raises:
        EvidenceError: malformed bytes, a release that cannot be read, or an argument of another type.
        VerificationError: not genuine, not an answer to this nonce, or not bound.
        PolicyError: genuine, but not what was asked for.
    """
    require_trust(policy, collateral)
    require_bytes(evidence, "evidence", remedy="give the body that the service sent, or evidence.to_json()")
    require_bytes(nonce, "nonce")
    remedy = "write Activation(state, answer), with the state of challenge()"
    kinds = (Activation, type(None))
    require(activation, kinds, "activation", expected="an Activation, or none", remedy=remedy)
    opened = open_releases(releases, publisher, now=now)
    taken = Production() if policy is None else policy
    return judge_stored(
        evidence, nonce, releases=opened, policy=taken, now=now, collateral=collateral, activation=activation
    )


def _held_against(verified: Callable[[], VerifiedEvidence], *, releases: Opened, policy: Policy) -> Accepted:
    try:
        evidence = verified()
        try:
            accepted = accept(evidence, releases=releases.releases, policy=policy)
        except PolicyError as error:
            if revoked := _runs_revoked(evidence, releases, policy):
                raise revoked from error
            raise
    except AttestationError as error:
        error.checks = as_checks(releases.rows) + error.checks
        error.not_run = releases.not_run + error.not_run
        facts = error.facts or _compared(releases)
        error.facts = (*facts, *releases.facts, ("releases_left_out", releases.left_out))
        error.sources = digests(releases.received) + error.sources
        raise
    return accepted.held_against(
        releases.rows,
        received=releases.received,
        left_out=releases.left_out,
        not_run=releases.not_run,
        told=releases.facts,
    )


def _runs_revoked(evidence: VerifiedEvidence, releases: Opened, policy: Policy) -> VerificationError | None:
    """Return what to say of a service that is exactly a revoked release; None where it is none of them."""
    for revoked in releases.revoked:
        with suppress(PolicyError):
            accepted = accept(evidence, releases=(revoked.release,), policy=policy)
            error, report = refuse_running(revoked), accepted.report
            failed = Check(error.rule, error.what, error.expected, error.got, passed=False)
            error.checks, error.not_run, error.sources = (*accepted.checks, failed), report.not_run, report.sources
            error.facts = tuple(fact for fact in report.facts if fact[0] != "releases_left_out")
            return error
    return None


def attest(
    origin: str,
    *,
    releases: ReleaseSources,
    publisher: Publisher,
    policy: Policy | None = None,
    collateral: Collateral | None = None,
    memory: Memory | Path | str | None = None,
    timeout: float = TIMEOUT,
) -> Accepted:
    """Verify a service once, over the network, and return what was accepted; ``policy`` is production by default.

    ``memory`` is a folder of this client's own: what publisher and log showed is remembered there, and may not go back.
    It says what answered now: a connection that is made later is not covered (use :class:`client_sdk.Client`).
    A service that is busy and says for how long is asked again, within ``timeout`` seconds in all.

    Raises:
        FetchError: unreachable or not ready; retrying may help.
        EvidenceError: malformed bytes.
        VerificationError: not genuine, not fresh or not bound.
        PolicyError: genuine, but not what was asked for.
    """
    require_trust(policy, collateral)
    require_seconds(timeout, "timeout")
    opened = open_releases(releases, publisher, now=datetime.now(UTC), memory=memory)
    gathered = gather_in_time(Origin.parse(origin), timeout=timeout)
    now = datetime.now(UTC)
    taken = Production() if policy is None else policy
    return judge(gathered, releases=opened, policy=taken, now=now, collateral=collateral)


def observe(
    origin: str, *, policy: Policy, collateral: Collateral | None = None, timeout: float = TIMEOUT
) -> VerifiedEvidence:
    """Return verified measurements of a service without comparing them with a release.

    Nobody vouches for the values: use it to look, never to trust.

    Raises:
        FetchError: unreachable or not ready; retrying may help.
        EvidenceError: malformed bytes.
        VerificationError: not genuine, not fresh or not bound.
    """
    require_policy(policy, "policy")
    require_trust(policy, collateral)
    require_seconds(timeout, "timeout")
    gathered = gather_in_time(Origin.parse(origin), timeout=timeout)
    return examine(gathered, roots=policy.roots, now=datetime.now(UTC), collateral=collateral)


def require_trust(policy: object, collateral: object) -> None:
    """Refuse arguments of another type before anything is asked or read; None stands for production, or for nothing.

    Raises:
        EvidenceError: with what to write.
    """
    if policy is not None:
        require_policy(policy, "policy")
    require_collateral(collateral)


def _received(gathered: Gathered) -> Parts:
    """Return what came besides the parts inside the evidence."""
    found: Parts = (
        ("evidence", (gathered.evidence,)),
        ("connection_certificate", (gathered.certificate,)),
        ("nonce", (gathered.nonce,)),
    )
    return found if gathered.activation is None else (*found, ("activation", (gathered.activation.answer,)))


def _sources(gathered: Gathered) -> Sources:
    """Hash everything that came, as far as it can be read."""
    try:
        inside = parts(Evidence.from_json(gathered.evidence))
    except EvidenceError:
        inside = ()
    return digests(_received(gathered) + inside)


def _compared(releases: Opened) -> tuple[tuple[str, Any], ...]:
    """Return what the evidence was to be held against, as facts."""
    services = dict.fromkeys(release.service for release in releases.releases)
    return (("service", tuple(services)), ("release", tuple(release.number for release in releases.releases)))


@keeps("C3.1")
def _same_certificate(evidence: Evidence, shown: bytes, ledger: Ledger) -> None:
    ledger.equal(
        "C3.1",
        "the certificate of this connection is the one in the evidence (else somebody relays it)",
        expected=sha256(evidence.tls_certificate).digest(),
        got=sha256(shown).digest(),
    )


def _secret(answer: bytes) -> bytes:
    fields = exact_keys(strict_json(answer, limit=4096), frozenset({"secret"}), "$")
    return from_base64(fields["secret"], "$.secret", limit=2 * SECRET_SIZE)
