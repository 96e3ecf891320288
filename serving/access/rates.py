"""How often a subject may ask: at most ``rate`` requests at once, which come back evenly over a minute.

For each subject there is one number: until when its requests are paid for. A request pays a ``rate``-th of a minute,
and no more than a minute may be owed (the generic cell rate algorithm, ITU-T I.371). So tokens of one subject share
what it may ask: renewing does not double it.
"""

from __future__ import annotations

from serving.access.refusals import too_fast, too_many_callers

_SECOND = 10**9  # nanoseconds: whole numbers, of which a hundred thousand add up without an error
_MINUTE = 60 * _SECOND


class Rates:
    """The subjects of the last minute, at most ``most`` of them. One event loop uses it; nothing here waits.

    A subject is forgotten when it owes nothing, which says the same as never having been there. Where there is no room,
    a new one is refused.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._until: dict[str, int] = {}  # nanoseconds; the one that asked longest ago comes first

    def take(self, subject: str, rate: int, now: float) -> None:
        """Count a request; ``rate`` is in requests a minute.

        Raises:
            RequestError: it comes too early (and is not counted), or there are too many callers.
        """
        at = int(now * _SECOND)
        self._forget(at)
        known = self._until.get(subject)
        if known is None and len(self._until) >= self._most:
            raise too_many_callers()
        until = max(at, known or at) + _MINUTE // rate
        if (wait := until - at - _MINUTE) > 0:
            raise too_fast(-(-wait // _SECOND))
        self._until.pop(subject, None)
        self._until[subject] = until

    def _forget(self, at: int) -> None:
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] > at:
                return
            del self._until[oldest]
