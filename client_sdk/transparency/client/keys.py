"""The newest of a publisher's keys, by the rotations that came along and those that are remembered (rules R1 and R3).

A rotation that was seen once counts from then on: a release that only the keys of before signed is refused, whatever
comes along with it. Only what was verified from the pin on is followed and remembered; of what a file says of the time
before, nothing counts, its numbers as little as its keys.
"""

from __future__ import annotations

from client_sdk.publisher import Publisher
from client_sdk.report import Ledger
from client_sdk.rotation import Chain, KeySet, join_rotations, verify_rotations
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
    fresh = _fresh(newest, known, Chain.read(rotations))
    if not fresh.rotations:
        return newest, known
    chain = join_rotations(known.rotations, fresh.envelopes)
    newest = verify_rotations(fresh.envelopes, newest, ledger=ledger)
    return newest, Known(known.sets | _sets(fresh), chain, known.services)


def _fresh(newest: Publisher, known: Known, given: Chain) -> Chain:
    """Cut off what is known, or else what comes before the newest keys: of that, no signature is verified."""
    followed = {rotation.to_statement() for rotation in Chain.read(known.rotations).rotations}
    if there := [place for place, one in enumerate(given.rotations) if one.to_statement() in followed]:
        return given.beyond(there[-1] + 1)
    following = given.after(KeySet.of(newest).digest)
    if following is None and known.sets.isdisjoint(_sets(given)):
        verify_rotations(given.envelopes, newest)  # which says what to do
    return following or Chain()


def _sets(chain: Chain) -> set[bytes]:
    """Return the names of the sets to which it leads."""
    return {rotation.following.digest for rotation in chain.rotations}
