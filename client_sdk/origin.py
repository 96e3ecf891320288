"""Where a service lives: ``https://host[:port]`` and nothing else (rule C3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from client_sdk.errors import Failure, PolicyError
from client_sdk.given import told
from client_sdk.rules import keeps

DEFAULT_PORT = 443
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:]{2,45}\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Origin:
    """Host and port of a service; the scheme is always https."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Read an origin; a path, a query, credentials or another scheme is refused before anything is sent.

        Raises:
            PolicyError: C3.
        """
        if not isinstance(text, str):
            raise _refusal(told(text))
        try:
            parts = urlsplit(text)
            port = DEFAULT_PORT if parts.port is None else parts.port
            (parts.hostname or "").encode("idna")  # a name that nobody could look up raises
        except ValueError as error:
            raise _refusal(text) from error
        extra = parts.query or parts.fragment or parts.username or parts.password
        if parts.scheme != "https" or not parts.hostname or not port or extra or parts.path not in ("", "/"):
            raise _refusal(text)
        return cls(parts.hostname, port)


@keeps("C3")
def _refusal(text: str) -> PolicyError:
    what, got = "C3: the origin is a scheme, a host and a port", text[:200]
    return PolicyError((Failure(what, "https://HOST[:PORT], without a path", got, _meant(text)),))


def _meant(text: str) -> str:
    """Say which origin a text may have been meant for: one without a scheme, of another scheme, or with a path."""
    host = text.partition("://")[2] or text
    host = host.partition("/")[0]
    return f"write https://{host}" if _HOST.fullmatch(host) else ""
