"""Who may ask the proxy (rule C8): whoever can open its socket file, or on TCP whoever knows the secret.

A web page in a browser on the same machine reaches TCP ports of it. It knows no secret; and it cannot but say its
``Origin``, or, where it was led here by a name of its own (DNS rebinding), another ``Host``. Neither is answered, and
no answer ever has a header that allows a page anything (CORS). That proves nothing about a program that is let in.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from client_sdk.errors import Failure
from client_sdk.proxy.refusals import Refusal
from client_sdk.rules import keeps

Headers = Iterable[tuple[bytes, bytes]]
_BEARER = b"bearer "


@dataclass(frozen=True, slots=True)
class Door:
    """``port`` is the TCP port and ``secret`` what callers must know there; a UNIX socket has neither."""

    port: int = 0
    secret: bytes = b""

    @keeps("C8")
    def judge(self, headers: Headers) -> None:
        """Let a request in, or not. Names of ``headers`` are in lower case, as ASGI has them.

        Raises:
            Refusal: C8.
        """
        found = list(headers)
        if any(name == b"origin" for name, _ in found):
            failure = Failure("C8: no web page may use this proxy", "no Origin", "one")
            raise Refusal(403, "origin_not_allowed", str(failure))
        if not self.port:
            return
        hosts = [value.lower() for name, value in found if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._names():
            failure = Failure("C8: the proxy is asked under its own address", f"Host: 127.0.0.1:{self.port}", "another")
            raise Refusal(403, "host_not_allowed", str(failure))
        words = [value for name, value in found if name == b"authorization"]
        if len(words) != 1 or not self._knows(words[0]):
            failure = Failure("C8: callers know the proxy's secret", "it as the API key", "none, or another")
            raise Refusal(401, "invalid_api_key", str(failure))

    def _names(self) -> tuple[bytes, ...]:
        return tuple(f"{host}:{self.port}".encode() for host in ("127.0.0.1", "localhost"))

    def _knows(self, word: bytes) -> bool:
        scheme, given = word[: len(_BEARER)], word[len(_BEARER) :].strip()
        return scheme.lower() == _BEARER and hmac.compare_digest(given, self.secret)
