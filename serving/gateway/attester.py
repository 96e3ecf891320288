"""Asking the attester over its UNIX socket. The gateway gathers nonces; it cannot reach the TPM itself.

While one quote is made, nonces wait; the next quote is over all of them, each with its own place in the tree
(protocol.md, "Binding"). Where few wait, a quote costs more than it brings: quotes begin at least
``quote_pause_seconds`` after each other, and the first one at once.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path

from serving.errors import RequestError
from serving.gateway.body import read_object
from serving.gateway.evidence import EvidenceAnswer, Frame, nonsense, quotes
from serving.gateway.limits import Limits
from serving.gateway.relay import Message
from serving.gateway.replies import busy
from serving.gateway.waiting import Waiter, Waiting, caller_of

_NONCE = re.compile(rb"nonce=([0-9a-f]{64})")
_MAX_ANSWER = 6 * 1024 * 1024
_MAX_ACTIVATION = 4096
_STATUS = {"bad_request": 400, "activation_refused": 400, "too_large": 413, "busy": 429, "unavailable": 503}


class AttesterClient:
    """One short connection for each question: for a quote that many wait for, and for an activation."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._activations, self._activating = asyncio.Semaphore(limits.activations), asyncio.Lock()
        self._waiting = Waiting(limits.attestations)
        self._frame: Frame | None = None  # it stays the same for as long as the attester lives, and this process too
        self._quoting: asyncio.Task[None] | None = None
        self._begun = float("-inf")

    async def evidence(self, scope: Message) -> EvidenceAnswer:
        """Answer a request whose query is exactly ``nonce=<64 hex digits>``.

        Raises:
            RequestError: on another query, when too many wait, or when there is no quote within the time limit.
        """
        found = _NONCE.fullmatch(scope["query_string"])
        if not found:
            message = "Give ?nonce= and 64 lower-case hex digits, nothing else."
            raise RequestError("bad_request", message, param="nonce")
        host, _ = scope.get("client") or ("", 0)
        waiter = Waiter(bytes.fromhex(found[1].decode()), caller_of(host))
        self._waiting.add(waiter)
        if self._quoting is None or self._quoting.done():
            self._quoting = asyncio.create_task(self._quote_all())
        try:
            async with asyncio.timeout(self._limits.attester_seconds):
                return await waiter.answer
        except TimeoutError as error:
            raise _unavailable() from error
        finally:
            self._waiting.remove(waiter)

    async def activate(self, data: bytes) -> bytes:
        """Return an activated secret (JSON) for ``{"credential_blob", "encrypted_secret"}``.

        Raises:
            RequestError: on anything else, or when the attester refuses.
        """
        fields = read_object(data, depth=2) if len(data) <= _MAX_ACTIVATION else {}
        wanted = {"credential_blob", "encrypted_secret"}
        if fields.keys() != wanted or not all(isinstance(value, str) for value in fields.values()):
            raise RequestError("bad_request", "Give credential_blob and encrypted_secret, nothing else.")
        if self._activations.locked():
            raise busy()
        try:
            # One at a time: a quote that many wait for does not wait for more than one of these.
            async with asyncio.timeout(self._limits.attester_seconds), self._activations, self._activating:
                line = await self._ask({"op": "activate", **fields})
        except TimeoutError as error:
            raise _unavailable() from error
        if not line.startswith(b'{"secret":'):
            raise _refusal(line)
        return line.rstrip(b"\n")

    async def _quote_all(self) -> None:
        """Quote until nobody waits."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._begun + self._limits.quote_pause_seconds - loop.time()))
            taken = self._waiting.take(self._limits.tree)
            if not taken:
                return
            self._begun = loop.time()
            await self._quote(taken)

    async def _quote(self, taken: list[Waiter]) -> None:
        nonces = tuple(waiter.nonce for waiter in taken)
        try:
            if self._frame is None:
                self._frame = Frame.read(await self._ask({"op": "evidence"}))
            line = await self._ask({"op": "quote", "nonces": base64.b64encode(b"".join(nonces)).decode()})
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

    async def _ask(self, question: dict[str, object]) -> bytes:
        try:
            async with asyncio.timeout(self._limits.attester_seconds):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_MAX_ANSWER)
                try:
                    writer.write(json.dumps(question).encode() + b"\n")
                    return await reader.readuntil(b"\n")
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise _unavailable() from error


def _unavailable() -> RequestError:
    return RequestError("attester_unavailable", "The attester does not answer.", status=503)


def _refusal(line: bytes) -> RequestError:
    try:
        error = read_object(line, depth=3).get("error")
    except RequestError:
        return nonsense()
    code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
    if not isinstance(code, str) or code not in _STATUS or not isinstance(message, str):
        return nonsense()
    return RequestError(code, message, status=_STATUS[code])
