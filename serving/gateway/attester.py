"""Asking the attester over its UNIX socket. The gateway passes bytes through; it cannot reach the TPM itself."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from serving.errors import RequestError
from serving.gateway.body import read_object
from serving.gateway.limits import Limits
from serving.gateway.replies import busy

_NONCE = re.compile(rb"nonce=([0-9a-f]{64})")
_EVIDENCE, _END = b'{"evidence":', b"}\n"
_MAX_ANSWER = 6 * 1024 * 1024
_MAX_ACTIVATION = 4096
_STATUS = {"bad_request": 400, "activation_refused": 400, "too_large": 413, "busy": 429, "unavailable": 503}


class AttesterClient:
    """One short connection a request, so that requests that wait together are quoted together."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._slots = asyncio.Semaphore(limits.attestations)

    async def evidence(self, query: bytes) -> bytes:
        """Return evidence (JSON) for the nonce in a query string of exactly ``nonce=<64 hex digits>``.

        Raises:
            RequestError: on another query, or when the attester refuses.
        """
        found = _NONCE.fullmatch(query)
        if not found:
            message = "Give ?nonce= and 64 lower-case hex digits, nothing else."
            raise RequestError("bad_request", message, param="nonce")
        line = await self._ask(b'{"op":"evidence","nonce":"' + found[1] + b'"}\n')
        if not line.startswith(_EVIDENCE):
            raise _refusal(line)
        return line[len(_EVIDENCE) : -len(_END)]

    async def activate(self, data: bytes) -> bytes:
        """Return an activated secret (JSON) for ``{"credential_blob", "encrypted_secret"}``.

        Raises:
            RequestError: on anything else, or when the attester refuses.
        """
        fields = read_object(data, depth=2) if len(data) <= _MAX_ACTIVATION else {}
        wanted = {"credential_blob", "encrypted_secret"}
        if fields.keys() != wanted or not all(isinstance(value, str) for value in fields.values()):
            raise RequestError("bad_request", "Give credential_blob and encrypted_secret, nothing else.")
        line = await self._ask(json.dumps({"op": "activate", **fields}).encode() + b"\n")
        if not line.startswith(b'{"secret":'):
            raise _refusal(line)
        return line.rstrip(b"\n")

    async def _ask(self, request: bytes) -> bytes:
        if self._slots.locked():
            raise busy()
        try:
            async with self._slots, asyncio.timeout(self._limits.attester_seconds):
                return await self._exchange(request)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise RequestError("attester_unavailable", "The attester does not answer.", status=503) from error

    async def _exchange(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_MAX_ANSWER)
        try:
            writer.write(request)
            return await reader.readuntil(b"\n")
        finally:
            writer.close()


def _refusal(line: bytes) -> RequestError:
    nonsense = RequestError("attester_unavailable", "The attester answered with nonsense.", status=503)
    try:
        error = read_object(line, depth=3).get("error")
    except RequestError:
        return nonsense
    code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
    if not isinstance(code, str) or code not in _STATUS or not isinstance(message, str):
        return nonsense
    return RequestError(code, message, status=_STATUS[code])
