"""Making what a client is given in place of a release: the release, the proof that the log has it, and rotations."""

from __future__ import annotations

from collections.abc import Sequence

from client_sdk.errors import DuplicateEntryError, EvidenceError, VerificationError
from client_sdk.publisher import Publisher
from client_sdk.rules import keeps
from client_sdk.transparency.formats.bundle import Bundle, Place
from client_sdk.transparency.formats.checkpoint import SignedCheckpoint
from client_sdk.transparency.formats.growth import Growth, write_growths
from client_sdk.transparency.formats.merkle import leaf_hash
from client_sdk.transparency.formats.proof import Proof
from client_sdk.transparency.log.contents import Contents
from client_sdk.transparency.log.remote import RemoteTree

GROWTHS = 16


@keeps("R2.inclusion")
def make_bundle(
    release: bytes,
    shown: SignedCheckpoint,
    tree: RemoteTree,
    rotations: Sequence[int],
    *,
    since: Sequence[int] | None = None,
) -> Bundle:
    """Make the bundle of a release that is in the log, with those of the rotations that came before it.

    ``since`` are sizes of the log that clients may remember: to them the bundle proves that the log has only grown.
    Without it they are the last ``GROWTHS``.

    Raises:
        FetchError, EvidenceError: the log cannot be read, or what it has is malformed.
        VerificationError: R2, the release is not in the log, or the log's files are not right.
    """
    place = tree.find(leaf_hash(release))
    if place is None:
        what, got = "the log has the release", f"none of {tree.size} entries is this file: append it first"
        raise VerificationError("R2.inclusion", what, expected="its exact bytes", got=got)
    earlier = [rotation for rotation in rotations if rotation < place]
    before = tuple(tree.entry(rotation) for rotation in earlier)
    places = tuple(Place(rotation, tree.inclusion(rotation)) for rotation in earlier)
    sizes = range(max(1, tree.size - GROWTHS), tree.size) if since is None else since
    growths = tuple(Growth(size, tree.consistency(size)) for size in sizes)
    return Bundle(release, Proof(place, tree.inclusion(place), shown.data, write_growths(growths)), before, places)


def contents_of(tree: RemoteTree, publisher: Publisher) -> Contents:
    """Return what a log has of a publisher, whose first keys these are: every entry is read and verified.

    Raises:
        FetchError, EvidenceError, VerificationError: the log cannot be read, or its files are not right.
        OutOfOrderError: R3, his releases are not in order. What is there twice, or is of keys that he has replaced, is
            skipped: a bundle has his rotations, and his present keys judge the release.
    """
    contents = Contents(publisher)
    for _, entry in tree.entries(0, tree.size):
        try:
            contents, _ = contents.take(entry)
        except (DuplicateEntryError, EvidenceError, VerificationError):
            contents = contents.skip()
    return contents
