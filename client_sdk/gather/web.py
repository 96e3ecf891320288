"""Ordinary HTTPS to vendors: the only code of the client that talks to AMD, Intel, NVIDIA and clouds.

TLS is verified by this system's roots, and the environment's proxies are used, unlike in the channel to a service:
nothing secret goes this way, and what comes back is verified by its signature. Every answer is bounded in size, type
and time, no redirect is followed, and whom to ask is decided by ``hosts``.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from client_sdk.deadline import DeadlineTls, PlainConnection, TlsConnection
from client_sdk.errors import FetchError
from client_sdk.gather.hosts import permitted
from client_sdk.gather.wanted import TERMS, Terms, Wanted

SECONDS = 30.0
TRIES = 4
MAX_WAIT = 60.0
BUSY = (429, 500, 502, 503, 504)
NOT_FOUND = (400, 404, 410)
_CHUNK = 65_536
_UNSTATED = "application/octet-stream"  # RFC 9110, section 8.3
Say = Callable[[str], object]


class NotFoundError(FetchError):
    """The vendor has nothing at this address."""


class AwayError(FetchError):
    """The vendor cannot be asked now, whatever for; ``again`` says whether a further try may help."""

    def __init__(self, message: str, *, again: bool, retry_after: int | None = None) -> None:
        self.again = again
        super().__init__(message, retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: headers by name in lower case, and the body."""

    headers: Mapping[str, str]
    body: bytes


class Web:
    """Asks vendors, each no faster than it likes; waits where one says so, for a bounded time."""

    def __init__(self, *, seconds: float = SECONDS, say: Say, sleep: Callable[[float], None] = time.sleep) -> None:
        self._seconds, self._say, self._sleep = seconds, say, sleep
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = DeadlineTls
        self._opener = urllib.request.OpenerDirector()  # without handlers of redirects, files and errors
        for handler in (urllib.request.ProxyHandler(), _Plain(), _Tls(context=context)):
            self._opener.add_handler(handler)
        self._last: dict[str, float] = {}
        self._away: dict[str, AwayError] = {}

    def ask(self, wanted: Wanted, url: str) -> Answer:
        """Ask for one thing at one of its addresses.

        Raises:
            NotFoundError: there is nothing.
            FetchError: no answer, or not one of the kind; it says what to do.
        """
        host, name = permitted(url), url.split("/")[2]
        if away := self._away.get(name):  # it wants to be left alone, or would cost its time limit again
            raise FetchError(f"{url} was not asked, after its host failed", retry_after=away.retry_after)
        for number in range(1, TRIES + 1):
            self._pace(name, host.pause)
            try:
                return self._once(wanted, url)
            except AwayError as error:
                pause = _pause(error, number)
                if pause is None or number == TRIES:
                    self._away[name] = error
                    raise
                self._say(f"waiting {pause:.0f} s: {error}")
            self._sleep(pause)
        raise FetchError(f"no answer from {url}")  # the loop above returns or raises

    def _pace(self, host: str, pause: float) -> None:
        left = self._last.get(host, -pause) + pause - time.monotonic()
        if left > 0:
            self._sleep(left)
        self._last[host] = time.monotonic()

    def _once(self, wanted: Wanted, url: str) -> Answer:
        headers = {"User-Agent": "vitrine-collateral", "Accept": "*/*", "Accept-Encoding": "identity"}
        if wanted.request:
            headers["Content-Type"] = "application/ocsp-request"
        request = urllib.request.Request(url, data=wanted.request or None, headers=headers)  # noqa: S310 - see `hosts`
        try:
            with self._opener.open(request, timeout=self._seconds) as response:
                _refuse(response, url)
                return Answer(*_bounded(response, TERMS[wanted.kind], url))
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(url, error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise _untrusted(url, reason) from error
            message = f"no answer from {url}: {reason or type(reason).__name__}; is there a network?"
            raise AwayError(message, again=True) from error


def _refuse(response: http.client.HTTPResponse, url: str) -> None:
    status = response.status
    if status == http.HTTPStatus.OK:
        return
    if status in NOT_FOUND:
        raise NotFoundError(f"{url} answered HTTP {status}: the vendor does not know it")
    if status in BUSY:
        wait = _retry_after(response.getheader("Retry-After", ""))
        raise AwayError(f"{url} answered HTTP {status}; try again later", again=True, retry_after=wait)
    if status // 100 == 3:
        raise FetchError(f"{url} redirects (HTTP {status}), which is never followed; is a proxy or portal in between?")
    raise FetchError(f"{url} answered HTTP {status}; is the vendor's service as docs/collateral.md says?")


def _bounded(response: http.client.HTTPResponse, terms: Terms, url: str) -> tuple[dict[str, str], bytes]:
    headers = {name.lower(): value for name, value in response.getheaders()}
    kind = headers.get("content-type", _UNSTATED).partition(";")[0].strip().lower()
    if kind not in terms.types or headers.get("content-encoding", "identity") != "identity":
        raise FetchError(f"{url} answered with {kind!r}, which is another kind of thing; is a portal in between?")
    found = bytearray()
    while chunk := response.read1(_CHUNK):
        found += chunk
        if len(found) > terms.limit:
            raise FetchError(f"{url} answered with more than the {terms.limit} bytes that such a thing can have")
    if response.length:
        raise http.client.IncompleteRead(bytes(found), response.length)
    return headers, bytes(found)


def _pause(error: AwayError, number: int) -> float | None:
    """Return how long to wait before the next try; None where there should be none."""
    wait = float(error.retry_after or 2**number)
    return wait if error.again and wait <= MAX_WAIT else None


def _retry_after(text: str) -> int | None:
    """Read either form of the header (RFC 9110, section 10.2.3)."""
    if text.isascii() and text.isdigit() and len(text) < 8:
        return int(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    left = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)
    return max(1, int(left.total_seconds()))


def _untrusted(url: str, error: ssl.SSLCertVerificationError) -> AwayError:
    message = f"the certificate of {url} is not trusted by this system: {error.verify_message}"
    message += "; does a proxy end TLS here? Then its CA belongs among the system's roots"
    return AwayError(message, again=False)


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(PlainConnection, req)


class _Tls(urllib.request.HTTPSHandler):
    def __init__(self, *, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._verified = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(TlsConnection, req, context=self._verified)
