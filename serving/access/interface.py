"""What the gateway knows of access: an ``Access`` judges a request's head, and a ``Caller`` is what it lets through.

The signed token (``tokens.py``) is the one kind of credential there is. Another one, such as blind tokens, is another
``Access``; what comes after it needs to know neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class Budget(Protocol):
    """Tokens of the model that a caller may still use."""

    def hold(self, tokens: int) -> None:
        """Set so many aside for a request before it begins.

        Raises:
            RequestError: so many are not left.
        """

    def settle(self, held: int, used: int) -> None:
        """Give back what was held, and count what was used."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A request's sender, as far as anybody knows.

    ``subject`` is never empty. It is the same for the same bearer, also under a renewed token, and different for
    another: what callers must not share, such as cached prompts, is told apart by it. It is not who somebody is.
    Where a bearer is not ``known`` again, each request has another subject.
    """

    subject: str
    models: frozenset[str]
    budget: Budget
    known: bool = True


class Access(Protocol):
    """Judges who asks by the request's head, before a byte of its body is read."""

    def judge(self, headers: Headers, now: float) -> Caller:
        """Return the caller. ``now`` is in seconds since 1970, by a clock that does not go back.

        Raises:
            RequestError: 401, 403, 429 or 503; the message is a constant.
        """
