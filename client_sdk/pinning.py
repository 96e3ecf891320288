"""One ``ssl.SSLContext`` that trusts exactly one certificate, for as long as the verdict over it holds (C3, C7).

Any HTTP library that takes a context can use it, sync or async. It is about one node: behind a balancer the next
connection may meet another, which it refuses. A connection that was made before the verdict ran out is the library's
to close. The project's own clients do without it: :mod:`client_sdk.fleet` judges each connection on its own.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from client_sdk.errors import VerificationError

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python does not name: the dates in the certificate come from a clock that
# the VM's host sets. What bounds its use is the age of the verdict.
_NO_CHECK_TIME = 0x200000


def boot_clock() -> float:
    """Return seconds that go on while the machine sleeps: a verdict ages in a closed laptop too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StaleVerdictError(VerificationError, ssl.SSLCertVerificationError):
    """No connection was made: the verdict is too old (C7), or the peer shows another certificate (C3).

    It is an error of ``ssl`` as well, because libraries clean up after those and not after others.
    """

    def __str__(self) -> str:
        return str(self.args[0])


class PinnedContext(ssl.SSLContext):
    """Trusts one certificate until ``deadline`` on ``clock``; made by :func:`pinned_context`."""

    pinned: bytes = b""
    deadline: float = 0.0
    clock: Callable[[], float] = boot_clock

    def handshake(self, begin: Callable[[], None], shown: Callable[[], object]) -> None:
        """Run one handshake, or a part of it, and judge the certificate that the peer showed.

        Raises:
            StaleVerdictError: C7 before it begins, C3 after it.
        """
        if self.clock() >= self.deadline:
            raise StaleVerdictError("C7", "the verdict over this peer is too old for a new connection: verify again")
        try:
            begin()
        except ssl.SSLCertVerificationError as error:
            raise _other_certificate() from error
        if shown() != self.pinned:
            raise _other_certificate()


class _PinnedSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature is ssl's
        begin = partial(super().do_handshake, block)
        _pinned(self.context).handshake(begin, partial(self.getpeercert, binary_form=True))


class _PinnedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        _pinned(self.context).handshake(super().do_handshake, partial(self.getpeercert, binary_form=True))


def _other_certificate() -> StaleVerdictError:
    return StaleVerdictError("C3", "the peer shows another certificate than the attested one")


def pinned_context(certificate: bytes, *, deadline: float, clock: Callable[[], float] = boot_clock) -> PinnedContext:
    """Make a context for TLS 1.3 with the holder of this certificate's key and nobody else.

    Names are not compared: the certificate itself is. No CA, no environment variable and no session ticket adds trust.
    """
    context = PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags = ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
    context.options |= ssl.OP_NO_TICKET
    context.load_verify_locations(cadata=certificate)
    context.sslsocket_class = _PinnedSocket
    context.sslobject_class = _PinnedObject
    context.pinned, context.deadline = certificate, deadline
    _set_clock(context, clock)
    return context


def _set_clock(context: PinnedContext, clock: Any) -> None:
    context.clock = clock


def _pinned(context: ssl.SSLContext) -> PinnedContext:
    if not isinstance(context, PinnedContext):  # pragma: no cover - SSLSocket.context may be set by its user
        raise StaleVerdictError("C3", "the connection was moved to another context")
    return context
