"""Who waits for the next quote: a bounded queue that is fair between callers.

A caller is the network that a connection comes from: an IPv4 address, or the /64 of an IPv6 one, since a host chooses
the rest of that itself. Nothing better is known of somebody who has proven nothing yet. Behind a NAT, or behind a
balancer that hides addresses, many people are one caller, which costs them nothing while there is room. One connection
waits with one nonce at a time, so within a network every connection counts the same.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import deque

from serving.errors import RequestError
from serving.gateway.evidence import EvidenceAnswer

_NETWORK = 64


def caller_of(host: str) -> str:
    """Name the network that an address belongs to."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or ipaddress.IPv6Network((address, _NETWORK), strict=False))


class Waiter:
    """One nonce, who waits with it, and where its answer goes."""

    def __init__(self, nonce: bytes, caller: str) -> None:
        self.nonce, self.caller = nonce, caller
        self.answer: asyncio.Future[EvidenceAnswer] = asyncio.get_running_loop().create_future()

    def give(self, answer: EvidenceAnswer) -> None:
        """Answer, unless it was given up."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def refuse(self, error: RequestError) -> None:
        """Send away, unless it was given up. An exception is raised once: everybody gets one of their own."""
        if not self.answer.done():
            self.answer.set_exception(RequestError(error.code, error.message, status=error.status))


class Waiting:
    """At most so many waiters: while there is room all get in; when it is full, the caller with most gives way."""

    def __init__(self, limit: int) -> None:
        self._limit, self._count = limit, 0
        self._callers: dict[str, deque[Waiter]] = {}  # in the order in which they are served next

    def add(self, waiter: Waiter) -> None:
        """Let somebody wait; whoever waits last of a caller that has more than one too many is sent away for it.

        Raises:
            RequestError: there is no room, and nobody has more waiting than this caller.
        """
        mine = self._callers.get(waiter.caller, deque())
        if self._count >= self._limit:
            most = max(self._callers.values(), key=len)
            if len(most) <= len(mine) + 1:
                raise overloaded()
            last = most[-1]
            self.remove(last)
            last.refuse(overloaded())
        mine.append(waiter)
        self._callers[waiter.caller] = mine
        self._count += 1

    def remove(self, waiter: Waiter) -> None:
        """Forget somebody who waits no more; it may have been taken already."""
        mine = self._callers.get(waiter.caller, deque())
        if waiter in mine:
            mine.remove(waiter)
            self._count -= 1
        if not mine:
            self._callers.pop(waiter.caller, None)

    def take(self, limit: int) -> list[Waiter]:
        """Take whose turn it is: one of each caller, then one of each again, the longest waiting first."""
        taken: list[Waiter] = []
        while self._callers and len(taken) < limit:
            caller, mine = next(iter(self._callers.items()))
            del self._callers[caller]
            taken.append(mine.popleft())
            if mine:
                self._callers[caller] = mine
        self._count -= len(taken)
        return taken


def overloaded() -> RequestError:
    """Make the refusal for more waiting nonces than there is room for."""
    message = "Too many wait for evidence. Try again in a few seconds."
    return RequestError("attestation_overloaded", message, status=503)
