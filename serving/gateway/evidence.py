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
    """What stands before and behind the quote in all evidence of this boot: in whole chunks, but beside the quote."""

    before: tuple[bytes, ...]
    left: bytes
    right: bytes
    behind: tuple[bytes, ...]

    @classmethod
    def read(cls, line: bytes) -> Frame:
        """Read the attester's answer: evidence with an empty quote.

        Raises:
            RequestError: it is something else.
        """
        found = _ANSWER.fullmatch(line)
        parts = found[1].split(_EMPTY) if found else []
        if len(parts) != 2:  # a quotation mark within a JSON string is written \\": it stands there once
            raise nonsense()
        head, tail = parts
        whole = len(head) - len(head) % _CHUNK
        beside = _CHUNK - len(head) + whole
        return cls(_chunks(head[:whole]), head[whole:], tail[:beside], _chunks(tail[beside:]))

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(map(len, (*self.before, self.left, self.right, *self.behind)))

    def around(self, quote: bytes) -> tuple[bytes, ...]:
        """Return an answer in chunks: all but one are shared by every answer that is being sent."""
        return (*self.before, self.left + quote + self.right, *self.behind)


def quotes(nonces: tuple[bytes, ...], line: bytes) -> Iterator[bytes]:
    """Yield what each nonce's evidence has for a quote, from the attester's answer: one quote over all of them.

    Raises:
        RequestError: it is no quote.
    """
    found = _QUOTE.fullmatch(line)
    if not found:
        raise nonsense()
    _, places = merkle_tree(nonces)
    return (_quote(found, place) for place in places)


class EvidenceAnswer(Response):  # type: ignore[misc]  # starlette ships no types on the development host
    """Evidence around one quote. What a client has not taken yet is no copy of its own, but for one chunk."""

    def __init__(self, frame: Frame, quote: bytes, *, seconds: float) -> None:
        self._frame, self._quote, self._seconds = frame, quote, seconds
        size = str(frame.size + len(quote))
        super().__init__(
            headers={"content-type": "application/json", "cache-control": "no-store", "content-length": size}
        )

    async def __call__(self, _: Message, __: Receive, send: Send) -> None:
        """Send it; a client that has not taken it in time is left."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        *most, last = self._frame.around(self._quote)
        async with asyncio.timeout(self._seconds):
            for chunk in most:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": last, "more_body": False})


def _chunks(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK))


def _quote(quote: re.Match[bytes], place: Place) -> bytes:
    path = '","'.join([node.hex() for node in place.path]).encode()
    own = b'"quote":{"attest":"%b","index":%d,"path":[%b],"signature":"%b","tree_size":%d}'
    return own % (quote[1], place.index, path and b'"%b"' % path, quote[2], place.tree_size)


def nonsense() -> RequestError:
    """Make the refusal for an attester that answers something else than was asked."""
    return RequestError("attester_unavailable", "The attester answered with nonsense.", status=503)
