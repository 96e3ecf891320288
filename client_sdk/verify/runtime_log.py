"""The run-time log: what the VM itself extended into PCR 15 before its gateway started.

(L11.1) The events are the types of protocol.md, in that order, and nothing else.
(L11.2) The ``tls-spki`` event is the key that the evidence names.
(L1.15) The events replay to the quoted PCR 15.

What the other events must *say* is the release's to state (``accept.py``).
"""

from __future__ import annotations

from hashlib import sha256

from client_sdk.binding import RUNTIME_TYPES, runtime_digest
from client_sdk.evidence import RuntimeEvent
from client_sdk.report import Ledger
from client_sdk.rules import keeps


@keeps("L1.15", "L11.1", "L11.2")
def verify_runtime_log(events: tuple[RuntimeEvent, ...], quoted: bytes, *, spki: bytes, ledger: Ledger) -> None:
    """Check the run-time log against PCR 15 and the TLS key.

    Raises:
        VerificationError: L1 or L11.
    """
    kinds = tuple(event.kind for event in events)
    ledger.equal("L11.1", "the VM logged its four run-time events in order", expected=RUNTIME_TYPES, got=kinds)
    named = events[RUNTIME_TYPES.index("tls-spki")].data
    ledger.equal("L11.2", "the TLS key was measured before the VM was sealed", expected=spki, got=named)
    value = bytes(32)
    for event in events:
        value = sha256(value + runtime_digest(event.kind, event.data)).digest()
    ledger.equal("L1.15", "PCR 15 is what the run-time log gives", expected=value, got=quoted)
