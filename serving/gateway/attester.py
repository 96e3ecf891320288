"""Asking the attester over its UNIX socket. The gateway gathers nonces; it cannot reach the TPM itself.

While one quote is made, nonces wait; the next quote is over all of them, each with its own place in the tree
(protocol.md, "Binding"). Where few wait, a quote costs more than it brings: quotes begin at least
``quote_pause_seconds`` after each other, and the first one at once.

Activations go one by one, the turns go round the callers, and they begin so far apart that the attester's own bound,
which is for all callers together, is not reached: it would refuse whoever comes next, not who came too often.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path

from serving.errors import RequestError
from serving.gateway.asgi import Message
from serving.gateway.body import read_object
from serving.gateway.callers import sender_of
from serving.gateway.evidence import EvidenceAnswer, Frame, nonsense, quotes
from serving.gateway.limits import Limits
from serving.gateway.nonce_queue import Answer, NonceQueue, Waiter
from serving.gateway.pace import Pace

_NONCE = re.compile(rb"nonce=([0-9a-f]{64})")
_MAX_ANSWER = 6 * 1024 * 1024
MAX_ACTIVATION = 4096
# The attester names what it refuses; what that is in HTTP is known here alone.
STATUS = {"bad_request": 400, "activation_refused": 400, "too_large": 413, "busy": 429, "unavailable": 503}


class AttesterClient:
    """One short connection for each question: for a quote that many wait for, and for an activation."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._waiting: NonceQueue[EvidenceAnswer] = NonceQueue(limits.attestations)
        self._activations: NonceQueue[bytes] = NonceQueue(limits.activations)
        self._frame: Frame | None = None  # it stays the same for as long as the attester lives, and this process too
        self._quotes = Pace(self._waiting.take, self._quote, pause=limits.quote_pause_seconds)
        self._turns = Pace(self._activations.take_next, self._activate, pause=limits.activation_pause_seconds)

    async def evidence(self, scope: Message) -> EvidenceAnswer:
        """Answer a request whose query is exactly ``nonce=<64 hex digits>``.

        Raises:
            RequestError: on another query, when too many wait, or when there is no quote within the time limit.
        """
        found = _NONCE.fullmatch(scope["query_string"])
        if not found:
            message = "Give ?nonce= and 64 lower-case hex digits, nothing else."
            raise RequestError("bad_request", message, param="nonce")
        waiter = Waiter[EvidenceAnswer](bytes.fromhex(found[1].decode()), sender_of(scope))
        self._waiting.add(waiter)
        self._quotes.go()
        return await self._answered(waiter, self._waiting)

    async def activate(self, scope: Message, data: bytes) -> bytes:
        """Return an activated secret (JSON) for ``{"credential_blob", "encrypted_secret"}``.

        Raises:
            RequestError: on anything else, when too many wait, or when the attester refuses.
        """
        fields = read_object(data, depth=2)
        wanted = {"credential_blob", "encrypted_secret"}
        if fields.keys() != wanted or not all(isinstance(value, str) for value in fields.values()):
            raise RequestError("bad_request", "Give credential_blob and encrypted_secret, nothing else.")
        waiter = Waiter[bytes](_line({"op": "activate", **fields}), sender_of(scope))
        self._activations.add(waiter)
        self._turns.go()
        line = await self._answered(waiter, self._activations)
        if not line.startswith(b'{"secret":'):
            raise _refusal(line)
        return line.rstrip(b"\n")

    async def _answered(self, waiter: Waiter[Answer], queue: NonceQueue[Answer]) -> Answer:
        try:
            async with asyncio.timeout(self._limits.attester_seconds):
                return await waiter.answer
        except TimeoutError as error:
            raise _unavailable() from error
        finally:
            queue.remove(waiter)

    async def _activate(self, waiter: Waiter[bytes]) -> None:
        try:
            waiter.give(await self._ask(waiter.question))
        except RequestError as error:
            waiter.refuse(error)

    async def _quote(self, taken: list[Waiter[EvidenceAnswer]]) -> None:
        nonces = tuple(waiter.question for waiter in taken)
        try:
            if self._frame is None:
                self._frame = Frame.read(await self._ask(_line({"op": "evidence"})))
            line = await self._ask(_line({"op": "quote", "nonces": base64.b64encode(b"".join(nonces)).decode()}))
            if line.startswith(b'{"error":'):
                raise _refusal(line)
            answers = quotes(nonces, line)
        except RequestError as error:
            for waiter in taken:
                waiter.refuse(error)
            return
        seconds = self._limits.client_stall_seconds
        for waiter, quote in zip(taken, answers, strict=True):
            waiter.give(EvidenceAnswer(self._frame, quote, seconds=seconds))

    async def _ask(self, question: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._limits.attester_seconds):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_MAX_ANSWER)
                try:
                    writer.write(question)
                    return await reader.readuntil(b"\n")
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise _unavailable() from error


def _line(question: dict[str, object]) -> bytes:
    return json.dumps(question).encode() + b"\n"


def _unavailable() -> RequestError:
    return RequestError("attester_unavailable", "The attester does not answer.", status=503)


def _refusal(line: bytes) -> RequestError:
    try:
        error = read_object(line, depth=3).get("error")
    except RequestError:
        return nonsense()
    code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
    if not isinstance(code, str) or code not in STATUS or not isinstance(message, str):
        return nonsense()
    return RequestError(code, message, status=STATUS[code])
