"""Accepting a deployment from outside, as any client would, before its release is published.

(1) What a client is given is read: publisher's key, policy or TPM CA, collateral, release.
(2) The release is signed and inside its dates. (3) The VM is asked until it answers. (4) What was predicted is compared
with what it quotes.
What is wrong before (3) is about files of ours; a difference in (4) means :class:``MeasureError`` and no release.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from client_sdk import (
    Collateral,
    FetchError,
    Policy,
    Production,
    Publisher,
    Release,
    SimulatedCloud,
    SimulatedPlatform,
    attest,
    load_collateral,
    load_policy,
    verify_release,
)
from client_sdk.errors import AttestationError, EvidenceError, PolicyError, VerificationError
from provisioner.errors import CloudError, Fault, MeasureError, SpecError
from provisioner.progress import Progress
from provisioner.verdict import Keep, Verdict, Word, broken_rule, shorten

PAUSE = 2.0
_OUTSIDE_ITS_DATES = "R6"
_RELEASE = "a release, as `make deploy` writes it"
_T = TypeVar("_T")
Kind = Literal["policy", "simulated", "simulated_cloud"]
_TRUST: Mapping[Kind, tuple[str, Callable[[Path], Policy]]] = {
    "policy": ("a policy file (docs/policy.md)", load_policy),
    "simulated_cloud": ("the test CA of a pretended cloud's attestation keys", SimulatedCloud),
    "simulated": ("the CA of this deployment's software TPMs, as `make deploy` writes it", SimulatedPlatform),
}


@dataclass(frozen=True, slots=True)
class Trust:
    """By which file a deployment is judged, and what that file is. Without a file it is production's own policy."""

    kind: Kind
    file: Path | None


@dataclass(frozen=True, slots=True)
class Target:
    """What to connect to, and the files that a client would be given to judge it by.

    ``collateral`` is a folder of what makers publish about the hardware; None where nothing is judged by any.
    """

    origin: str
    release: Path
    publisher: Path
    trust: Trust
    collateral: Path | None = None


@dataclass(frozen=True, slots=True)
class _Pins:
    """The same, read once: a file that changes while a VM boots changes no verdict."""

    release: bytes
    publisher: Publisher
    policy: Policy
    collateral: Collateral | None


def nobody(_: Verdict) -> None:
    """Keep no verdict."""


def accept(target: Target, *, seconds: float, progress: Progress, keep: Keep = nobody) -> dict[str, Any]:
    """Return the client's report once it accepts the deployment; a VM that still boots is asked again.

    ``keep`` is told of an acceptance and of a refusal; that nobody answered, or that a file of ours is wrong, is no
    verdict on the VM. Behind a balancer it is about the machine that the connection leads to.

    Raises:
        SpecError: the release, the publisher's key, the policy or the TPM CA is missing or not what it should be.
        CloudError: nobody answered in time.
        MeasureError: the VM answered and is not what was predicted.
    """
    pins = _read(target)  # (1)
    judged = _Judged(target, pins, _checked_release(target, pins), keep)  # (2)
    deadline = time.monotonic() + seconds
    while True:
        try:
            report = _attest(target.origin, pins)  # (3), (4)
        except FetchError as error:
            if time.monotonic() + PAUSE > deadline:
                raise CloudError(f"{target.origin} did not answer within {seconds:.0f} s: {error}") from error
            progress(f"waiting for {target.origin}: {error}")
            time.sleep(PAUSE)
        except AttestationError as error:
            judged.refused(error)
            raise MeasureError(f"the deployed VM is not what was predicted, nothing is published: {error}") from error
        else:
            judged.accepted(report)
            return report


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a verdict is about, whatever it says."""

    target: Target
    pins: _Pins
    release: Release
    keep: Keep

    def accepted(self, report: Mapping[str, Any]) -> None:
        """Keep an acceptance."""
        self.keep(self._verdict("accepted", len(report["checks"])))

    def refused(self, error: AttestationError) -> None:
        """Keep a refusal, with the rule."""
        passed = sum(bool(check.passed) for check in error.checks)
        refusal = self._verdict("refused", passed)
        self.keep(replace(refusal, rule=broken_rule(error), why=shorten(str(error))))

    def _verdict(self, word: Word, checks: int) -> Verdict:
        return Verdict(
            when=datetime.now(UTC),
            verdict=word,
            origin=self.target.origin,
            policy=shorten(self.pins.policy.name),
            release=self.release.number,
            checks=checks,
        )


def _read(target: Target) -> _Pins:
    return _Pins(
        release=_read_one(target.release, _RELEASE, Path.read_bytes),
        publisher=_read_one(
            target.publisher,
            "the publisher's public key, as `make deploy` writes it",
            lambda path: Publisher(keys=(path,)),
        ),
        policy=Production() if target.trust.file is None else _read_one(target.trust.file, *_TRUST[target.trust.kind]),
        collateral=None
        if target.collateral is None
        else _read_one(target.collateral, "a folder of collateral", load_collateral),
    )


def _read_one(path: Path, expected: str, read: Callable[[Path], _T]) -> _T:
    try:
        return read(path)
    except (OSError, EvidenceError, PolicyError) as error:
        raise SpecError((Fault(str(path), expected, str(error)),)) from error


def _checked_release(target: Target, pins: _Pins) -> Release:
    """Return the release; refuse one that no client would take, before any VM is blamed for it."""
    try:
        return verify_release(pins.release, pins.publisher, now=datetime.now(UTC))
    except EvidenceError as error:
        raise SpecError((Fault(str(target.release), _RELEASE, str(error)),)) from error
    except VerificationError as error:
        expected = f"a release signed by the key in {target.publisher}"
        if error.rule == _OUTSIDE_ITS_DATES:
            expected = "a release inside its dates: deploy once more to renew it"
        raise SpecError((Fault(str(target.release), expected, str(error)),)) from error


def _attest(origin: str, pins: _Pins) -> dict[str, Any]:
    accepted = attest(
        origin,
        releases=pins.release,
        publisher=pins.publisher,
        policy=pins.policy,
        collateral=pins.collateral,
    )
    return accepted.report.as_dict()
