"""Who waits for the TPM, for a quote over all of them or an activation: a bounded queue, fair between callers.

Who is one caller, callers.py says. One connection waits with one nonce at a time, so within a network every connection
counts the same.
"""

from __future__ import annotations

import asyncio
import copy
from typing import Generic, TypeVar

from client_sdk.binding import MAX_TREE
from serving.errors import RequestError

Answer = TypeVar("Answer")


class Waiter(Generic[Answer]):
    """One question (a nonce, a credential), who waits with it, and where its answer goes."""

    def __init__(self, question: bytes, caller: str) -> None:
        self.question, self.caller = question, caller
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def give(self, answer: Answer) -> None:
        """Answer, unless it was given up."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def refuse(self, error: RequestError) -> None:
        """Send away, unless it was given up. An exception is raised once: everybody gets one of their own."""
        if not self.answer.done():
            self.answer.set_exception(copy.copy(error))


class NonceQueue(Generic[Answer]):
    """At most so many waiters: while there is room all get in; when it is full, the caller with most gives way."""

    def __init__(self, limit: int) -> None:
        if limit > MAX_TREE:
            raise ValueError(f"one quote is over {MAX_TREE} nonces at most, and {limit} shall wait for it")
        self._limit, self._count = limit, 0
        self._callers: dict[str, list[Waiter[Answer]]] = {}  # in the order in which they are served next

    def add(self, waiter: Waiter[Answer]) -> None:
        """Let somebody wait; whoever waits last of a caller that has more than one too many is sent away for it.

        Raises:
            RequestError: there is no room, and nobody has more waiting than this caller.
        """
        mine = self._callers.get(waiter.caller, [])
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

    def remove(self, waiter: Waiter[Answer]) -> None:
        """Forget somebody who waits no more; it may have been taken already."""
        mine = self._callers.get(waiter.caller, [])
        if waiter in mine:
            mine.remove(waiter)
            self._count -= 1
        if not mine:
            self._callers.pop(waiter.caller, None)

    def take(self) -> list[Waiter[Answer]]:
        """Take all who wait: nobody waits for more than the quote that is under way and the next one."""
        taken = [waiter for mine in self._callers.values() for waiter in mine]
        self._callers, self._count = {}, 0
        return taken

    def take_next(self) -> Waiter[Answer] | None:
        """Take whose turn it is: turns go round the callers, and the longest waiting of one comes first."""
        if not self._callers:
            return None
        caller, mine = next(iter(self._callers.items()))
        del self._callers[caller]
        taken = mine.pop(0)
        if mine:
            self._callers[caller] = mine
        self._count -= 1
        return taken


def overloaded() -> RequestError:
    """Make the refusal for more waiting questions than there is room for."""
    message = "Too many wait for evidence. Try again in a few seconds."
    return RequestError("attestation_overloaded", message, status=503)
