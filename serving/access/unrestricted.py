"""Access for whoever reaches the port: what an image does whose inventory says ``gateway_access: open``."""

from __future__ import annotations

import secrets

from serving.access.interface import Caller, Headers


class _NoBudget:
    """Counts nothing."""

    def hold(self, tokens: int) -> None:
        """Let every request begin."""

    def settle(self, held: int, used: int) -> None:
        """Forget it."""


class OpenAccess:
    """Lets everybody through, to the models there are. Nobody is told from another, so nobody shares anything."""

    def __init__(self, models: frozenset[str]) -> None:
        self._models, self._budget = models, _NoBudget()

    def judge(self, _headers: Headers, _now: float) -> Caller:
        """Return a caller who was never seen before."""
        return Caller(secrets.token_urlsafe(16), self._models, self._budget, known=False)
