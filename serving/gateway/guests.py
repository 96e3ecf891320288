"""Who is connected: a bound for all. When it is reached, the caller with the most connections gives way.

A caller is the network that a connection comes from (``callers.py``). Whoever fills the house with connections that
ask nothing loses the oldest of them to the next that comes, and nobody else loses any.
"""

from __future__ import annotations

from collections.abc import Callable


class FullError(Exception):
    """There is no room, and nobody who should give way."""


class Guest:
    """One connection, from its acceptance on: it rests or works; ``end`` closes it at once."""

    def __init__(self, guests: Guests, caller: str, end: Callable[[], object]) -> None:
        self._guests, self.caller, self.end = guests, caller, end

    def works(self) -> None:
        """Say that a request has begun."""
        self._guests.move(self, works=True)

    def rests(self) -> None:
        """Say that nothing is asked now."""
        self._guests.move(self, works=False)

    def leaves(self) -> None:
        """Say that the connection is gone; it may be said twice."""
        self._guests.remove(self)


class _Share:
    """The connections of one caller, each kind in the order in which they came to it."""

    __slots__ = ("resting", "working")

    def __init__(self) -> None:
        self.resting: dict[Guest, None] = {}
        self.working: dict[Guest, None] = {}

    def __len__(self) -> int:
        return len(self.resting) + len(self.working)


class Guests:
    """All connections, at most so many. One event loop uses it."""

    def __init__(self, limit: int) -> None:
        self._limit, self._count = limit, 0
        self._shares: dict[str, _Share] = {}

    def __len__(self) -> int:
        return self._count

    def add(self, guest: Guest) -> None:
        """Let somebody in, who rests until it asks; when the house is full, another one is shown out for it.

        Raises:
            FullError: all of them work, and no caller has more of them than this one.
        """
        if self._count >= self._limit:
            self._make_room(guest.caller)
        self._shares.setdefault(guest.caller, _Share()).resting[guest] = None
        self._count += 1

    def move(self, guest: Guest, *, works: bool) -> None:
        """Put somebody to those who work or to those who rest, as the last of them."""
        share = self._shares.get(guest.caller)
        if share is None or (guest not in share.resting and guest not in share.working):
            return  # shown out already
        share.resting.pop(guest, None)
        share.working.pop(guest, None)
        (share.working if works else share.resting)[guest] = None

    def remove(self, guest: Guest) -> None:
        """Forget somebody who is gone."""
        share = self._shares.get(guest.caller, _Share())
        before = len(share)
        share.resting.pop(guest, None)
        share.working.pop(guest, None)
        self._count -= before - len(share)
        if not share:
            self._shares.pop(guest.caller, None)

    def _make_room(self, caller: str) -> None:
        """Show out the connection that has rested longest of the caller with most, or its last if all of them work."""
        mine = self._shares.get(caller, _Share())
        most = max(self._shares.values(), key=len, default=mine)
        if len(most) <= len(mine):
            most = mine
        if most.resting:
            out = next(iter(most.resting))
        elif len(most) > len(mine) + 1:
            out = next(reversed(most.working))
        else:
            raise FullError
        self.remove(out)
        out.end()
