"""The newest of a publisher's keys, by the rotations that came along and those that are remembered (rules R1 and R3).

A rotation that was seen once counts from then on: a release that only the keys of before signed is refused, whatever
comes along with it. Only what was verified from the pin on is followed and remembered; of what a file says of the time
before, nothing counts, its numbers as little as its keys.
"""

from __future__ import annotations

from client_sdk.publisher import Publisher
from client_sdk.report import Ledger
from client_sdk.rotation import KeySet, join_rotations, read_rotation, verify_rotations
from client_sdk.transparency.client.seen import Known, Seen

Rotations = tuple[bytes, ...]


def remembered_keys(publisher: Publisher, seen: Seen, ledger: Ledger) -> tuple[Publisher, Known]:
    """Return the publisher with the newest keys that are remembered, and what else is.

    Raises:
        VerificationError: R1, the pinned keys are not among those that are remembered of him.
    """
    pinned = KeySet.of(publisher)
    known = seen.known(pinned.digest, pinned.holders)  # who asks for more signatures forgets nothing
    return verify_rotations(known.rotations, publisher, ledger=ledger), known


def lead_on(
    newest: Publisher, known: Known, rotations: Rotations, seen: Seen, ledger: Ledger
) -> tuple[Publisher, Known]:
    """Follow the rotations of one file, and those that are remembered of the keys that they lead to.

    Raises:
        EvidenceError: a rotation is malformed.
        VerificationError: R1, one is not signed, or does not lead on from the newest keys.
    """
    newest, known = _follow(newest, known, rotations, ledger)
    other = seen.known(KeySet.of(newest).digest)
    newest, known = _follow(newest, known, other.rotations, ledger)
    return newest, known.joined(other)


def _follow(newest: Publisher, known: Known, rotations: Rotations, ledger: Ledger) -> tuple[Publisher, Known]:
    fresh = _fresh(newest, known, rotations)
    if not fresh:
        return newest, known
    chain = join_rotations(known.rotations, fresh)
    newest = verify_rotations(fresh, newest, ledger=ledger)
    sets = {read_rotation(data).following.digest for data in fresh}
    return newest, Known(known.sets | sets, chain, known.services)


def _fresh(newest: Publisher, known: Known, rotations: Rotations) -> Rotations:
    """Cut off what is known, or else what comes before the newest keys: of that, no signature is verified."""
    read = [read_rotation(data) for data in rotations]
    followed = {read_rotation(data).to_statement() for data in known.rotations}
    keys = KeySet.of(newest).digest
    if there := [place for place, one in enumerate(read) if one.to_statement() in followed]:
        return rotations[there[-1] + 1 :]
    for place, one in enumerate(read):
        if one.previous == keys:
            return rotations[place:]
    if known.sets.isdisjoint(one.following.digest for one in read):
        verify_rotations(rotations, newest)  # which says what to do
    return ()
