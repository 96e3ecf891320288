"""Evidence as it is sent: what this boot's answers share, in one copy for all of them, around a quote of one's own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.responses import Response

from client_sdk.binding import Place, merkle_tree
from serving.errors import RequestError
from serving.gateway.relay import Message, Receive, Send

_EMPTY = b'"quote":{"attest":"","index":0,"path":[],"signature":"","tree_size":1}'
_QUOTE = re.compile(rb'\{"attest":"([A-Za-z0-9+/=]+)","signature":"([A-Za-z0-9+/=]+)"\}\n')
_ANSWER = re.compile(rb'\{"evidence":(\{.*\})\}\n', re.DOTALL)
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands before and behind the quote in all evidence of this boot."""

    head: bytes
    tail: bytes

    @classmethod
    def read(cls, line: bytes) -> Frame:
        """Read the attester's answer: evidence with an empty quote.

        Raises:
            RequestError: it is something else.
        """
        found = _ANSWER.fullmatch(line)
        parts = found[1].split(_EMPTY) if found else []
        if len(parts) != 2:  # a quotation mark within a JSON string is written \": it stands there once
            raise nonsense()
        return cls(parts[0], parts[1])

    def answers(self, nonces: tuple[bytes, ...], line: bytes) -> Iterator[tuple[bytes, ...]]:
        """Yield the pieces of each nonce's evidence, from the attester's answer: one quote over all of them.

        Raises:
            RequestError: it is no quote.
        """
        found = _QUOTE.fullmatch(line)
        if not found:
            raise nonsense()
        _, places = merkle_tree(nonces)
        return (self._answer(found, place) for place in places)

    def _answer(self, quote: re.Match[bytes], place: Place) -> tuple[bytes, ...]:
        path = b",".join(b'"%b"' % node.hex().encode() for node in place.path)
        own = b'"quote":{"attest":"%b","index":%d,"path":[%b],"signature":"%b","tree_size":%d}'
        return self.head, own % (quote[1], place.index, path, quote[2], place.tree_size), self.tail


class EvidenceAnswer(Response):  # type: ignore[misc]  # starlette ships no types on the development host
    """An answer in pieces that many answers share: it is copied only as fast as its client takes it."""

    def __init__(self, pieces: tuple[bytes, ...], stall_seconds: float) -> None:
        self._pieces, self._stall = pieces, stall_seconds
        size = sum(map(len, pieces))
        headers = {"content-type": "application/json", "cache-control": "no-store", "content-length": str(size)}
        super().__init__(headers=headers)

    async def __call__(self, _: Message, __: Receive, send: Send) -> None:
        """Send it; a client that takes nothing for a while is left."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self._pieces:
            for start in range(0, len(piece), _CHUNK):
                async with asyncio.timeout(self._stall):
                    await send({"type": "http.response.body", "body": piece[start : start + _CHUNK], "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def nonsense() -> RequestError:
    """Make the refusal for an attester that answers something else than was asked."""
    return RequestError("attester_unavailable", "The attester answered with nonsense.", status=503)
