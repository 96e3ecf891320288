"""The current verdict over one peer: how old it may get, and who verifies again (rules C3, C4, C7)."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from client_sdk.accept import Accepted
from client_sdk.errors import Failure, PolicyError, VerificationError
from client_sdk.given import require
from client_sdk.origin import DEFAULT_PORT, Origin
from client_sdk.pinning import PinnedContext, boot_clock, pinned_context
from client_sdk.rules import keeps

MAX_AGE = 3600.0
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was accepted, and until when on the session's clock it may be acted upon."""

    accepted: Accepted
    deadline: float


class Session:
    """The current verdict over one origin. ``attest`` verifies anew; at most one thread at a time does so."""

    def __init__(
        self, origin: Origin, attest: Callable[[], Accepted], *, max_age: float = MAX_AGE, clock: Clock = boot_clock
    ) -> None:
        self.origin, self.clock = origin, clock
        self._attest, self._max_age = attest, _checked(max_age)
        self._lock = threading.Lock()
        self._verdict = self._verify()

    @property
    def latest(self) -> Verdict:
        """The latest verdict, however old: for reading."""
        return self._verdict

    @property
    def is_stale(self) -> bool:
        """Whether the latest verdict is too old to act upon."""
        return self.clock() >= self._verdict.deadline

    def current(self) -> Verdict:
        """Return a verdict that is young enough; verify again when the latest is not.

        Raises:
            AttestationError: verification failed; the next call tries again.
        """
        with self._lock:
            if self.is_stale:
                self._verdict = self._verify()
            return self._verdict

    def renew(self, stale: Verdict) -> Verdict:
        """Verify again, unless somebody else has done so since ``stale``.

        Raises:
            AttestationError: verification failed.
        """
        with self._lock:
            if self._verdict is stale:
                self._verdict = self._verify()
            return self._verdict

    def context(self, verdict: Verdict) -> PinnedContext:
        """Return a context for this verdict's certificate and remaining age."""
        certificate = verdict.accepted.evidence.tls_certificate
        return pinned_context(certificate, deadline=verdict.deadline, clock=self.clock)

    @keeps("C3")
    def refuse_elsewhere(self, scheme: str, host: str, port: int | None) -> None:
        """Refuse a request that is not for the verified origin, before anything is sent.

        Raises:
            VerificationError: C3.
        """
        if (scheme, host, port or DEFAULT_PORT) != ("https", self.origin.host, self.origin.port):
            got = f"{scheme}://{host}:{port}"
            raise VerificationError("C3", "the request is for the verified origin", expected=str(self.origin), got=got)

    def _verify(self) -> Verdict:
        started = self.clock()  # the nonce is drawn after this: the verdict is never younger than it says
        return Verdict(self._attest(), started + self._max_age)


def attested_context(accepted: Accepted, *, max_age: float = MAX_AGE) -> PinnedContext:
    """Return a bare ``ssl.SSLContext`` for any HTTP library: it trusts the accepted VM alone, for ``max_age`` seconds.

    After that it makes no connection, but closing those that it made is up to the library; so is not to follow
    redirects, not to retry and not to send to another origin. :class:`client_sdk.Client` does all of that.

    Raises:
        EvidenceError: it is no ``Accepted``: evidence that was only verified names a certificate as well.
        PolicyError: C7, a ``max_age`` that limits nothing.
    """
    remedy = "give what attest() returned; what observe() returned was compared with no release"
    require(accepted, Accepted, "accepted", expected="what was accepted", remedy=remedy)
    return pinned_context(accepted.evidence.tls_certificate, deadline=boot_clock() + _checked(max_age))


@keeps("C7")
def _checked(max_age: float) -> float:
    """Refuse an age limit that limits nothing."""
    if isinstance(max_age, bool) or not isinstance(max_age, (int, float)) or not 0 < max_age < math.inf:
        raise PolicyError((Failure("C7: a verdict has an age limit", "a positive number of seconds", str(max_age)),))
    return max_age
