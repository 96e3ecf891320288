"""What a pinned log and its witnesses say of a release (rules R2 and R5).

(1) R2.log: there is a proof at all. (2) R2.note, R2.checkpoint: the log that is pinned signed the checkpoint in it.
(3) R2.inclusion: the tree of that checkpoint has the signed file as it stands. (4) R2.witnesses: as many pinned
witnesses signed the checkpoint as must have; a witness counts once. (5) R2.future: as many of them say a time that is
not yet to come. (6) R2.age: as many of them signed no longer ago than the caller takes.
(7) R2.inclusion: the same tree has each rotation of keys that is followed: nobody is led to keys that others do not
see.

It does not prove that log and witnesses do not lie together, nor that this checkpoint is the log's latest.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from client_sdk.dsse import Envelope, key_id, signers
from client_sdk.errors import EvidenceError
from client_sdk.fields import format_instant
from client_sdk.publisher import Publisher
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.transparency.formats.bundle import Bundle
from client_sdk.transparency.formats.checkpoint import Checkpoint, open_checkpoint
from client_sdk.transparency.formats.merkle import leaf_hash, verify_inclusion
from client_sdk.transparency.formats.note import NoteVerifier, Signed, without_others

CLOCK_SKEW = timedelta(minutes=5)
_LAST = 253_402_300_799  # the end of the year 9999, where dates end


@dataclass(frozen=True, slots=True)
class Logged:
    """A checkpoint that has the release, its witnesses, and the POSIX time of which as many as must be are later.

    ``note`` has the signatures of the pinned keys under it. ``extra`` is what came with the proof; nothing in it is
    verified.
    """

    checkpoint: Checkpoint
    witnesses: tuple[Signed, ...]
    at: int | None
    extra: bytes
    note: bytes


def judge_proof(bundle: Bundle | None, publisher: Publisher, *, now: datetime, ledger: Ledger) -> Logged | None:
    """Judge the proof of one release by a publisher's pins; None where no log is pinned: nothing is then proven.

    Raises:
        EvidenceError: the checkpoint is malformed.
        VerificationError: the first part of R2 that does not hold.
    """
    if publisher.log_key is None:
        return None
    bundle = _require_bundle(bundle, publisher.log_key, ledger)  # (1)
    proof, witnesses = bundle.proof, publisher.witness_keys
    opened = open_checkpoint(proof.checkpoint, publisher.log_key, witnesses, ledger=ledger)  # (2)
    found, leaf = opened.checkpoint, leaf_hash(bundle.envelope)
    verify_inclusion(leaf, proof.index, found.size, proof.hashes, found.root, ledger=ledger)  # (3)
    note = without_others(proof.checkpoint, (publisher.log_key, *witnesses))
    if not witnesses:
        return Logged(found, (), None, proof.extra, note)
    at = _judge_witnesses(opened.witnessed, publisher, now=now, ledger=ledger)
    return Logged(found, opened.witnessed, at, proof.extra, note)


@keeps("R2.inclusion")
def judge_rotations(
    bundle: Bundle, followed: Collection[bytes], publisher: Publisher, *, now: datetime, ledger: Ledger
) -> None:
    """Judge by a publisher's pins whether the log has these of the rotations in a bundle.

    Raises:
        EvidenceError: the checkpoint is malformed.
        VerificationError: R2: no proof came along or it does not hold, or too few signed the checkpoint.
    """
    if publisher.log_key is None or not followed:
        return
    opened = open_checkpoint(bundle.proof.checkpoint, publisher.log_key, publisher.witness_keys, ledger=ledger)
    if publisher.witness_keys:
        _judge_witnesses(opened.witnessed, publisher, now=now, ledger=ledger)
    found, places = opened.checkpoint, dict(zip(bundle.rotations, bundle.places, strict=False))
    for rotation in followed:
        ledger.holds(
            "R2.inclusion",
            "a rotation of the publisher's keys comes with a proof that the log has it (ask for a new bundle)",
            expected=f"a proof of {publisher.log_key.name}",
            got="a proof" if rotation in places else "a rotation alone",
            condition=rotation in places,
        )
        place = places[rotation]
        verify_inclusion(leaf_hash(rotation), place.index, found.size, place.hashes, found.root, ledger=ledger)


@keeps("R5.rebuilders")
def judge_rebuilders(envelope: bytes, publisher: Publisher, ledger: Ledger) -> None:
    """Check that each rebuilder who is pinned signed the release beside its publisher.

    Raises:
        VerificationError: R5.rebuilders.
    """
    wanted = publisher.rebuilder_keys
    if not wanted:
        return
    found = signers(Envelope.from_json(envelope), wanted)
    ledger.holds(
        "R5.rebuilders",
        "every rebuilder that you pinned signed the release",
        expected=tuple(map(key_id, wanted)),
        got=tuple(map(key_id, found)) or "no valid signature of theirs",
        condition=len(found) == len(wanted),
    )


def told_time(at: int) -> str:
    """Spell a POSIX time for people."""
    return format_instant(datetime.fromtimestamp(at, UTC)) if at <= _LAST else "after the year 9999"


@keeps("R2.log")
def _require_bundle(bundle: Bundle | None, log: NoteVerifier, ledger: Ledger) -> Bundle:
    ledger.holds(
        "R2.log",
        "the release comes with a proof that the pinned log has it (ask for the bundle, not for the release alone)",
        expected=f"a bundle with a proof of {log.name}",
        got="a bundle" if bundle else "a release alone",
        condition=bundle,
    )
    if bundle is None:
        raise EvidenceError("bundle", "is missing")
    return bundle


@keeps("R2.witnesses", "R2.future", "R2.age")
def _judge_witnesses(witnessed: tuple[Signed, ...], publisher: Publisher, *, now: datetime, ledger: Ledger) -> int:
    quorum, present = publisher.quorum, int(now.timestamp())
    times = sorted(((signed.at, signed.by.name) for signed in witnessed if signed.at is not None), reverse=True)
    names = ", ".join(key.name for key in publisher.witness_keys)
    ledger.holds(  # (4)
        "R2.witnesses",
        "witnesses that you pinned saw the checkpoint, and that the log has only grown until then",
        expected=f"{quorum} of {names}",
        got=tuple(name for _, name in times) or "none of them",
        condition=len(times) >= quorum,
    )
    latest = present + int(CLOCK_SKEW.total_seconds())
    past = [(at, name) for at, name in times if at <= latest]
    ledger.holds(  # (5)
        "R2.future",
        "witnesses say a time that is not yet to come (else a clock is wrong: theirs, or this machine's)",
        expected=f"{quorum} no later than {told_time(latest)}",
        got=tuple(f"{name}: {told_time(at)}" for at, name in times),
        condition=len(past) >= quorum,
    )
    at, limit = past[quorum - 1][0], publisher.max_checkpoint_age
    if limit is not None:
        ledger.holds(  # (6)
            "R2.age",
            "the checkpoint is not older than you take (ask the publisher for a bundle of today)",
            expected=f"{quorum} witnesses not longer ago than {limit}",
            got=f"{told_time(at)}, which is {timedelta(seconds=max(present - at, 0))} ago",
            condition=present - at <= limit.total_seconds(),
        )
    return at
