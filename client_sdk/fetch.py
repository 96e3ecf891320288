"""Bytes from a peer that nobody trusts yet: one TLS 1.3 connection, bounded in size and time, nothing followed.

The connection may be one that is opened for this alone, or the one that a request is going to use.

It decides nothing. The certificate that the peer shows is kept, to be compared with the one in the evidence (C3).
Proxies, CA files and key logs that the environment names are ignored: this file never looks at the environment.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from functools import partial
from typing import Any, Self

from client_sdk.deadline import DeadlineTls, begin_tls, connected
from client_sdk.encoding import MAX_JSON
from client_sdk.errors import AttestationError, EvidenceError, FetchError, VerificationError
from client_sdk.origin import Origin
from client_sdk.rules import keeps

ATTESTATION = "/.well-known/attestation"
ACTIVATION = "/.well-known/attestation/activate"
BUSY = (429, 502, 503, 504)
MAX_RETRY_AFTER = 3600
HANDSHAKE = 15.0
_CHUNK = 65_536


class _NoTlsError(OSError):
    """Somebody is there, who does not begin TLS 1.3."""


class Peer:
    """One connection; ``certificate`` is the DER that the peer showed. A context manager that closes the connection.

    ``sock`` is what ``http.client`` needs of one: ``sendall``, ``makefile`` and ``close``.
    """

    def __init__(self, origin: Origin, sock: Any, *, certificate: bytes, address: str) -> None:
        self.origin, self.certificate, self.address = origin, certificate, address
        self._connection = http.client.HTTPConnection(origin.host, origin.port)
        self._connection.auto_open = 0  # both rounds on this connection or not at all
        self._connection.sock = sock

    @classmethod
    def connect(cls, origin: Origin, *, seconds: float) -> Self:
        """Open a connection for attestation alone, which may last so many seconds in all.

        Raises:
            FetchError: nobody there, or nobody who speaks TLS 1.3.
        """
        deadline = time.monotonic() + seconds
        silent: list[_NoTlsError] = []
        try:
            address, sock = connected(origin.host, origin.port, deadline, partial(_shake_hands, origin, silent))
        except OSError as error:
            if silent:  # which says more than an address behind it, where nobody is
                told = f"no TLS 1.3 with {origin}: {_reason(silent[0])}; is it still booting?"
                raise FetchError(told) from silent[0]
            raise FetchError(f"cannot reach {origin}: {_reason(error)}; is it running?") from error
        if isinstance(sock, DeadlineTls):
            sock.deadline = deadline
        shown = sock.getpeercert(binary_form=True) or b""
        return cls(origin, sock, certificate=shown, address=address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def evidence(self, nonce: bytes) -> bytes:
        """Ask for evidence that answers a nonce.

        Raises:
            FetchError: no answer, or not ready yet.
            EvidenceError: an answer over the size limit.
            VerificationError: C3, a redirect.
        """
        return self._round("GET", f"{ATTESTATION}?nonce={nonce.hex()}", None)

    def activate(self, request: bytes) -> bytes:
        """Send the second round's request.

        Raises:
            FetchError: no answer, or too busy.
            EvidenceError: an answer over the size limit.
            VerificationError: Q8, the peer could not activate the credential.
        """
        return self._round("POST", ACTIVATION, request)

    def _round(self, method: str, path: str, body: bytes | None) -> bytes:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(method, path, body=body, headers=headers)
            response = self._connection.getresponse()
            found = _bounded(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FetchError(f"no answer from {self.origin}: {_reason(error)}") from error
        if response.status != http.HTTPStatus.OK:
            raise _refusal(self.origin, response, second=body is not None)
        return found


def _shake_hands(origin: Origin, silent: list[_NoTlsError], raw: socket.socket) -> tuple[str, ssl.SSLSocket]:
    """Begin TLS, or note that somebody does not; return where the connection leads as well."""
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A port forward accepts before its VM listens: do not spend the whole limit on that.
        raw.settimeout(min(raw.gettimeout() or HANDSHAKE, HANDSHAKE))
        address = spelt(raw.getpeername())
        return address, begin_tls(raw, tls_context(DeadlineTls), origin.host)
    except (OSError, ValueError) as error:
        silent.append(_NoTlsError(_reason(error)))
        raise silent[-1] from error


def tls_context(sockets: type[ssl.SSLSocket] = ssl.SSLSocket) -> ssl.SSLContext:
    """TLS 1.3 to anybody: who it is gets decided by attestation, with this connection's certificate in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_TICKET
    context.sslsocket_class = sockets
    return context


def _bounded(response: http.client.HTTPResponse) -> bytes:
    found = bytearray()
    while chunk := response.read1(_CHUNK):
        found += chunk
        if len(found) > MAX_JSON:
            raise EvidenceError("response", f"over the limit of {MAX_JSON} bytes")
    if response.length:
        raise http.client.IncompleteRead(bytes(found), response.length)
    response.close()  # all of it is read: the connection is free for the second round
    return bytes(found)


@keeps("C3", "Q8.3")
def _refusal(origin: Origin, response: http.client.HTTPResponse, *, second: bool) -> AttestationError:
    status = response.status
    if status in BUSY:
        return FetchError(f"{origin} is not ready yet (HTTP {status})", retry_after=_retry_after(response))
    if status // 100 == 3:
        return VerificationError(
            "C3", f"the peer answers itself and does not redirect ({origin})", expected="200", got=str(status)
        )
    if second:
        return VerificationError("Q8.3", "the peer activated the credential", expected="HTTP 200", got=f"HTTP {status}")
    return FetchError(f"{origin} answered HTTP {status} to a request for evidence; is it a Vitrine service?")


def _retry_after(response: http.client.HTTPResponse) -> int | None:
    text = response.getheader("Retry-After", "")
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        return None
    return min(int(text), MAX_RETRY_AFTER)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def spelt(address: Any) -> str:
    """Spell a socket's address."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
