"""Which rules were refused: noted where a refusal is made, so that a test can be held to what its name promises."""

from __future__ import annotations

from functools import wraps

from client_sdk.errors import Failure, VerificationError

REFUSED: set[str] = set()


def listen() -> None:
    """Note the rule of every refusal from now on in :data:`REFUSED`; calling it again changes nothing."""
    for kind, place in ((VerificationError, "rule"), (Failure, "clause")):
        made = kind.__init__
        if hasattr(made, "listens"):
            continue
        kind.__init__ = _noting(made, place)  # type: ignore[method-assign]


def _noting(made, place):
    @wraps(made)
    def noting(self, *values, **more):
        made(self, *values, **more)
        REFUSED.add(getattr(self, place).partition(":")[0])

    noting.listens = True
    return noting
