"""The verified services behind the proxy, and which of them has a model.

A service is verified when the proxy starts, anew when its verdict has run out, and every other machine behind its
address when a connection first leads there: that is the attested HTTP client's doing, and nothing goes round it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2

from client_sdk.attested import AsyncAttestedHttpClient
from client_sdk.errors import AttestationError
from client_sdk.proxy.crossing import model_of, upwards
from client_sdk.proxy.refusals import no_such_model

REFRESH = 10.0  # seconds: how often, at most, services are asked for a model that is new
_MAX_LIST = 1024 * 1024
_TIMES = httpx2.Timeout(600.0, connect=30.0)  # between two pieces of an answer: small machines are slow


@dataclass(frozen=True, slots=True)
class Upstream:
    """One service and the token that it wants, which no caller ever sees."""

    http: AsyncAttestedHttpClient
    token: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> str:
        """Where it is."""
        return str(self.http.fleet.origin)

    def request(self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> httpx2.Request:
        """Make a request to it."""
        return self.http.build_request(method, f"{self.origin}{path}", headers=headers, content=body, timeout=_TIMES)

    async def models(self) -> list[dict[str, Any]]:
        """Ask for its models; one that cannot be asked now has none."""
        try:
            answer = await self.http.send(self.request("GET", "/v1/models", upwards((), self.token), b""))
            found = answer.json()["data"] if len(answer.content) <= _MAX_LIST else []
            return [one for one in found if isinstance(one, dict) and isinstance(one.get("id"), str)]
        except (AttestationError, httpx2.HTTPError, ValueError, LookupError, TypeError):
            return []


class Upstreams:
    """All services; the first that was named comes first."""

    def __init__(self, services: tuple[Upstream, ...]) -> None:
        self.services = services
        self._having: dict[str, tuple[Upstream, ...]] = {}
        self._asked, self._asking = float("-inf"), asyncio.Lock()

    async def models(self) -> list[dict[str, Any]]:
        """Return the models of all services, each name once."""
        async with self._asking:
            return await self._ask()

    async def for_request(self, body: bytes) -> tuple[Upstream, ...]:
        """Return the services that have a request's model. Where there is but one, or no name, it judges itself.

        Raises:
            Refusal: none has it.
        """
        model = model_of(body) if len(self.services) > 1 else None
        if model is None:
            return self.services[:1]
        if model not in self._having:
            async with self._asking:
                if model not in self._having and time.monotonic() - self._asked >= REFRESH:
                    await self._ask()
        if model not in self._having:
            raise no_such_model()
        return self._having[model]

    async def _ask(self) -> list[dict[str, Any]]:
        told = await asyncio.gather(*(service.models() for service in self.services))
        having: dict[str, tuple[Upstream, ...]] = {}
        known: dict[str, dict[str, Any]] = {}
        for service, models in zip(self.services, told, strict=True):
            for model in models:
                having[model["id"]] = (*having.get(model["id"], ()), service)
                known.setdefault(model["id"], model)
        self._having, self._asked = having, time.monotonic()
        return list(known.values())

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(service.http.aclose() for service in self.services))
