"""The newest of a publisher's keys, by the rotations that came along and those that are remembered (rules R1 and R3).

A rotation that was seen once counts from then on: a release that only the keys of before signed is refused, whatever
comes along with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from client_sdk.publisher import Publisher
from client_sdk.report import Ledger
from client_sdk.rotation import FIRST, KeySet, read_rotation, verify_rotations
from client_sdk.transparency.seen import Known

Rotations = tuple[bytes, ...]


def newest_keys(
    publisher: Publisher, known: Known, given: Iterable[Rotations], ledger: Ledger
) -> tuple[Publisher, Known]:
    """Return the publisher with his newest keys, and what is to be remembered of them.

    Raises:
        EvidenceError: a rotation is malformed.
        VerificationError: R1, one is not signed, or does not lead on from the pinned keys.
    """
    newest, chain = verify_rotations(known.rotations, publisher, ledger=ledger), known.rotations
    for rotations in sorted(given, key=_last, reverse=True):
        last = _last(chain)
        fresh = tuple(one for one in rotations if read_rotation(one).number > last)
        newest, chain = verify_rotations(fresh, newest, ledger=ledger), chain + fresh
    return newest, _followed(publisher, known, chain)


def _last(rotations: Rotations) -> int:
    return read_rotation(rotations[-1]).number if rotations else FIRST - 1


def _followed(publisher: Publisher, known: Known, chain: Rotations) -> Known:
    """Remember what leads on from the pin, and nothing before it: of that, no signature was verified."""
    keys = KeySet.of(publisher).digest
    sets, followed = {keys}, []
    for data in chain:
        rotation = read_rotation(data)
        if rotation.previous == keys:
            keys = rotation.following.digest
            sets.add(keys)
            followed.append(data)
    return Known(known.sets | sets, tuple(followed), known.services)
