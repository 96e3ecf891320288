"""Making what a client is given in place of a release: the release, the proof that the log has it, and rotations."""

from __future__ import annotations

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.rules import keeps
from client_sdk.transparency.bundle import Bundle
from client_sdk.transparency.checkpoint import SignedCheckpoint
from client_sdk.transparency.contents import is_rotation
from client_sdk.transparency.merkle import leaf_hash
from client_sdk.transparency.proof import Proof
from client_sdk.transparency.remote import RemoteTree


@keeps("R2.inclusion")
def make_bundle(release: bytes, shown: SignedCheckpoint, tree: RemoteTree) -> Bundle:
    """Make the bundle of a release that is in the log; every entry is read, to find the rotations before and after it.

    Who made a rotation is for the client to judge: what is none of the publisher's would be refused with the bundle.

    Raises:
        FetchError, EvidenceError: the log cannot be read, or what it has is malformed.
        VerificationError: R2, the release is not in the log, or the log's files are not right.
    """
    place = tree.find(leaf_hash(release))
    if place is None:
        what, got = "the log has the release", f"none of {tree.size} entries is this file: append it first"
        raise VerificationError("R2.inclusion", what, expected="its exact bytes", got=got)
    rotations = tuple(entry for _, entry in tree.entries(0, tree.size) if _rotates(entry))
    return Bundle(release, Proof(place, tree.inclusion(place), shown.data), rotations)


def _rotates(entry: bytes) -> bool:
    try:
        return is_rotation(entry)
    except (EvidenceError, VerificationError):
        return False
