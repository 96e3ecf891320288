"""What makes a quote this caller's, now, on this connection.

(C1) The nonce is the caller's own 32 random bytes; the caller passes it in, the evidence has no say.
(C2) ``extraData`` is the hash of protocol.md over the root that the nonce's leaf and path give, the tree's size, the
TLS key and the GPU digest: compared in constant time. Index and path length are checked by ``binding.merkle_root``.

It proves that the TPM signed after the nonce was drawn and that the machine named this TLS key; that the *connection*
uses that key is rule C3, held by the channel.
"""

from __future__ import annotations

import hmac

from client_sdk.binding import NONCE_SIZE, Place, extra_data, merkle_root
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.report import Ledger
from client_sdk.rules import keeps


@keeps("C1", "C2.1", "C2.2")
def verify_binding(signed: bytes, place: Place, *, nonce: bytes, spki: bytes, gpu: bytes, ledger: Ledger) -> None:
    """Check the quote's ``extraData`` against the caller's nonce and the evidence's TLS key and GPU digest.

    Raises:
        VerificationError: C1 or C2.
    """
    ledger.equal("C1", "the nonce is 32 bytes drawn by this caller", expected=NONCE_SIZE, got=len(nonce))
    try:
        root = merkle_root(nonce, place)
    except EvidenceError as error:
        what = "the nonce's place is one that a tree of this size has"
        raise VerificationError("C2.1", what, expected="such a place", got=str(error)) from error
    expected = extra_data(root, place.tree_size, spki, gpu)
    ledger.holds(
        "C2.2",
        "the quote answers this caller's nonce and names this TLS key",
        expected=expected,
        got=signed,
        condition=hmac.compare_digest(expected, signed),
    )
