"""The OpenAI clients, verified before the first byte: stock classes on an attested channel.

Nothing of the chat API is wrapped. What the ``openai`` package takes from the environment or from options that would
lead requests elsewhere is shut: other base URLs and HTTP clients, WebSockets (they would bypass the channel), retries
(rule C7), and OpenAI's own keys, which must not reach somebody else's server.
"""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

from openai import AsyncOpenAI, OpenAI

from client_sdk.attested import AsyncAttestedHttpClient, AttestedHttpClient, Limits, fleet_of
from client_sdk.channel import MAX_AGE
from client_sdk.collateral import Collateral
from client_sdk.errors import Failure, PolicyError
from client_sdk.fleet import Fleet, Refused
from client_sdk.policy import Policy
from client_sdk.publisher import Publisher
from client_sdk.releases import ReleaseSources
from client_sdk.report import Report
from client_sdk.rounds import TIMEOUT
from client_sdk.rules import keeps
from client_sdk.transparency.client.memory import Memory

NO_KEY = "none"
# No scheme of WebSockets: libraries refuse it before they look a name up, ask a proxy, or connect.
_NO_WEBSOCKETS = "not-attested://websockets.invalid"
# Options of `openai` that choose where requests go or who they are from.
_SHUT = ("base_url", "data_residency", "http_client", "provider", "websocket_base_url", "workload_identity")
_KNOWN = frozenset(signature(OpenAI.__init__).parameters) | frozenset(signature(AsyncOpenAI.__init__).parameters)
_FROM_ENVIRONMENT = ("admin_api_key", "organization", "project", "webhook_secret")


class _Attested:
    """How both clients are made, and what they say of the nodes that they met; the next base is a class of ``openai``.

    ``_HTTP`` is the one kind of HTTP client that is believed.
    """

    _HTTP: ClassVar[type[AttestedHttpClient | AsyncAttestedHttpClient]]
    _client: Any

    def __init__(
        self,
        origin: str = "",
        *,
        releases: ReleaseSources = (),
        publisher: Publisher | None = None,
        policy: Policy | None = None,
        collateral: Collateral | None = None,
        memory: Memory | Path | str | None = None,
        api_key: str | None = None,
        max_age: float = MAX_AGE,
        attestation_timeout: float = TIMEOUT,
        **openai_options: Any,
    ) -> None:
        http = openai_options.get("http_client")
        if not isinstance(http, self._HTTP):  # openai's own copy() and with_options() hand it on
            _refuse(openai_options)
            limits = Limits(max_age, attestation_timeout)
            fleet = fleet_of(origin, releases, publisher, policy, collateral, limits=limits, memory=memory)
            http = self._HTTP(fleet)
        options = _options(openai_options, http.fleet, api_key)
        super().__init__(**options, http_client=http)  # type: ignore[call-arg]  # openai's, by the order of the bases
        _forget_environment(self, openai_options)

    @property
    def attestation(self) -> Report:
        """The report about the node that answered the latest request; before the first, of the one met at the start."""
        return self._fleet.latest.accepted.report

    @property
    def attestations(self) -> dict[str, Report]:
        """The reports about all nodes whose verdict holds, by the SHA-256 of their TLS key in hex."""
        return self._fleet.attestations

    @property
    def refused(self) -> tuple[Refused, ...]:
        """The nodes that were met, failed and got nothing of any request: the latest last, a bounded number."""
        return self._fleet.refused

    @property
    def _fleet(self) -> Fleet:
        http = self._client
        return _behind(http.fleet if isinstance(http, self._HTTP) else None)


class Client(_Attested, OpenAI):
    """``openai.OpenAI`` for one verified service; making it verifies a node, and may take a second or two.

    Behind a balancer every other node is verified when a connection first leads to it, on that connection.
    ``origin`` is ``https://host[:port]`` without ``/v1``. ``releases`` are paths or bytes, of bundles where the
    publisher's log is pinned. ``publisher`` and ``policy`` say whom you trust; ``memory`` is a folder where it is
    remembered what publisher and log have shown, so that nothing goes back unnoticed. ``max_age`` is for how many
    seconds one verification holds, ``attestation_timeout`` how many it may take. Other options go to
    ``openai.OpenAI``; its ``timeout`` is about requests. A verdict says nothing about bugs in the code that was
    verified.

    Raises:
        FetchError: unreachable or not ready; retrying may help.
        EvidenceError: malformed bytes, or an argument of another type.
        VerificationError: not genuine, not fresh or not bound.
        PolicyError: genuine, but not what was asked for.
    """

    _HTTP = AttestedHttpClient


class AsyncClient(_Attested, AsyncOpenAI):
    """``openai.AsyncOpenAI`` for one verified service; see :class:`Client`.

    Making it verifies and *blocks*: in a running event loop use ``await asyncio.to_thread(AsyncClient, ...)``.
    """

    _HTTP = AsyncAttestedHttpClient


@keeps("C3", "C7")
def _refuse(options: dict[str, Any]) -> None:
    """Refuse options that lead requests elsewhere, before anything is sent."""
    if unknown := sorted(options.keys() - _KNOWN):
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}: neither this client nor openai takes it")
    what = "C3: no option leads requests away from the verified service"
    failures = [Failure(what, f"{n} is not given", f"{n} is given") for n in _SHUT if options.get(n) is not None]
    if retries := options.get("max_retries", 0):
        failures.append(
            Failure(
                "C7: nothing that may have been read is sent again", "max_retries is 0", f"max_retries is {retries}"
            )
        )
    if failures:
        raise PolicyError(tuple(failures))


def _options(given: dict[str, Any], fleet: Fleet, api_key: str | None) -> dict[str, Any]:
    """Return the options for openai's class: ours over the caller's, and nothing that leads elsewhere."""
    base = f"{fleet.origin}/v1"
    inherited = {"http_client", "websocket_base_url"} | ({"base_url"} if _is_at(given, base) else set())
    _refuse({name: value for name, value in given.items() if name not in inherited})
    return {name: value for name, value in given.items() if name not in _SHUT} | {
        "api_key": api_key or NO_KEY,  # else openai takes OPENAI_API_KEY from the environment
        "base_url": base,
        "websocket_base_url": _NO_WEBSOCKETS,
        "max_retries": 0,
    }


def _is_at(given: dict[str, Any], base: str) -> bool:
    return str(given.get("base_url") or "").rstrip("/") == base


def _forget_environment(client: Any, given: dict[str, Any]) -> None:
    """Undo what openai took from OPENAI_* variables: it belongs to OpenAI, not to this service."""
    for name in _FROM_ENVIRONMENT:
        setattr(client, name, given.get(name))
    client._custom_headers = given.get("default_headers") or {}  # noqa: SLF001 - OPENAI_CUSTOM_HEADERS lands there


@keeps("C3")
def _behind(fleet: Fleet | None) -> Fleet:
    if fleet is None:
        raise PolicyError((Failure("C3: the HTTP client is an attested one", "an attested one", "another"),))
    return fleet
