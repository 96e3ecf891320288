"""How much of the model each token has used, in memory alone: a machine that restarts has forgotten it.

A budget belongs to one token, by ``exp`` and ``jti``; the issuer gives another one by signing another token. A budget
is forgotten when its token has expired, and not before: no other token can push it out, and so none can set it back.
"""

from __future__ import annotations

import heapq
import math

from client_sdk.access_token import Claims
from serving.access.refusals import budget_held, budget_used_up, too_many_callers
from serving.errors import RequestError

_SOON = 2  # seconds


class Account:
    """The budget of one token: used for good, and held by requests that run."""

    __slots__ = ("_ends", "_held", "_limit", "_now", "used")

    def __init__(self, claims: Claims) -> None:
        self._limit, self._ends, self._now = claims.tokens, claims.expires_at, 0.0
        self.used = self._held = 0

    def look(self, now: float) -> None:
        """Require that something is left.

        Raises:
            RequestError: nothing is.
        """
        self._now = now
        if self.used >= self._limit:
            raise self._used_up()

    def hold(self, tokens: int) -> None:
        """Set tokens aside.

        Raises:
            RequestError: so many are not left; nothing is set aside then.
        """
        if self.used + tokens > self._limit:
            raise self._used_up()
        if self.used + self._held + tokens > self._limit:
            raise budget_held(_SOON)
        self._held += tokens

    def settle(self, held: int, used: int) -> None:
        """Give back what was held, count what was used; that may be more, for an engine counts as it likes."""
        self._held -= held
        self.used += used

    def _used_up(self) -> RequestError:
        return budget_used_up(max(1, math.ceil(self._ends - self._now)))


class Budgets:
    """The budgets of all tokens that were seen and have not expired, at most ``most``. One event loop uses it.

    Only tokens that an issuer signed get here. Where there is no room, a token that was not seen before is refused.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._accounts: dict[tuple[int, str], Account] = {}
        self._ends: list[tuple[int, str]] = []  # a heap: what expires first is first

    def open(self, claims: Claims, now: float) -> Account:
        """Return the budget of a verified token.

        Raises:
            RequestError: it is used up, or there are too many.
        """
        while self._ends and self._ends[0][0] <= now:
            del self._accounts[heapq.heappop(self._ends)]
        key = (claims.expires_at, claims.token_id)
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= self._most:
                raise too_many_callers()
            account = self._accounts[key] = Account(claims)
            heapq.heappush(self._ends, key)
        account.look(now)
        return account
