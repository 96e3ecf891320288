"""The nodes behind one address: which are verified, and until when; which were refused (rules C3, C4, C7).

(1) Every connection is judged by the certificate that it shows, before a byte of a request is on it. (2) A certificate
with a verdict that holds is let in. (3) Any other is verified *on that very connection*: where a balancer leads the
next one does not matter, so nothing has to be repeated. (4) A node that fails is refused and noted; the request may
meet others, on at most :data:`CONNECTIONS` connections in all, and asks no node twice. (5) A verdict ends by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from client_sdk.accept import Accepted
from client_sdk.channel import MAX_AGE, limited
from client_sdk.errors import AttestationError, EvidenceError, FetchError, Node, VerificationError
from client_sdk.fetch import Peer
from client_sdk.origin import DEFAULT_PORT, Origin
from client_sdk.parse.certificate import spki_digest
from client_sdk.pinning import boot_clock
from client_sdk.report import NO_VERDICT, Report, refusal
from client_sdk.rounds import TIMEOUT
from client_sdk.rules import keeps

CONNECTIONS = 3
"""How many connections one request may meet before it is an error."""
KEPT = 64
"""How many nodes are remembered, and how many refusals; the oldest are forgotten, and verified anew when met again."""
Clock = Callable[[], float]
Attest = Callable[[Peer], Accepted]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was accepted about one node, and until when on a clock it may be acted upon."""

    accepted: Accepted
    deadline: float
    clock: Clock

    @property
    def certificate(self) -> bytes:
        """The TLS certificate that it is about."""
        return self.accepted.evidence.tls_certificate

    @property
    def is_stale(self) -> bool:
        """Whether it is too old to act upon."""
        return self.clock() >= self.deadline

    @keeps("C7")
    def hold(self) -> None:
        """Refuse to act upon a verdict that has run out.

        Raises:
            VerificationError: C7.
        """
        if self.is_stale:
            raise VerificationError("C7", "the verdict over this node ran out: nothing more is sent to it")


@dataclass(frozen=True, slots=True)
class Refused:
    """A node that was met and got no request, ``why`` in words, and the report of what was checked until then.

    Where the report's verdict is ``no verdict``, the node gave no evidence: that says nothing about its honesty.
    """

    node: Node
    why: str
    report: Report


class NotAdmittedError(Exception):
    """A connection was closed before anything of the request was on it; ``error`` says why."""

    def __init__(self, error: AttestationError) -> None:
        self.error = error
        super().__init__(str(error))


class Attempts:
    """The connections that one request met: at most :data:`CONNECTIONS`, and no node is asked twice."""

    def __init__(self) -> None:
        self._failed: list[Exception] = []
        self._refused: dict[bytes, AttestationError] = {}

    def refuse(self, certificate: bytes, error: AttestationError) -> NotAdmittedError:
        """Remember a node that failed for as long as this request lasts."""
        self._refused[certificate] = error
        return NotAdmittedError(error)

    def refuse_again(self, certificate: bytes) -> None:
        """Refuse a node that has failed in this request already, without asking it anything.

        Raises:
            NotAdmittedError: it has.
        """
        if error := self._refused.get(certificate):
            raise NotAdmittedError(error)

    def failed(self, error: Exception) -> None:
        """Note that a connection led nowhere; another may follow unless this raises.

        Raises:
            Exception: the gravest error that was met: distrust before silence, silence before no connection at all.
        """
        self._failed.append(error.error if isinstance(error, NotAdmittedError) else error)
        if len(self._failed) >= CONNECTIONS:
            raise min(self._failed, key=_grave) from None


class Fleet:
    """Verdicts over the nodes of one origin. ``attest`` verifies the peer of a connection; threads may share a fleet.

    It says which keys are genuine members. It does not say how many machines there are, or which one comes next.
    """

    def __init__(
        self,
        origin: Origin,
        attest: Attest,
        *,
        max_age: float = MAX_AGE,
        clock: Clock = boot_clock,
        seconds: float = TIMEOUT,
    ) -> None:
        self.origin, self.seconds = origin, seconds
        self._attest, self._max_age, self._clock = attest, limited(max_age), clock
        self._lock = threading.Lock()
        self._verdicts: dict[bytes, Verdict] = {}  # by certificate; the one that was used last is last
        self._flights: dict[bytes, Future[Verdict]] = {}  # certificates that are being verified now
        self._refused: dict[bytes, Refused] = {}  # by certificate; the latest is last
        self.latest = self._first()

    @property
    def attestations(self) -> dict[str, Report]:
        """The reports of the nodes whose verdict holds, by the SHA-256 of their TLS key in hex."""
        with self._lock:
            found = [verdict.accepted for verdict in self._verdicts.values() if not verdict.is_stale]
        return {accepted.evidence.spki.hex(): accepted.report for accepted in found}

    @property
    def refused(self) -> tuple[Refused, ...]:
        """The nodes that were refused, the latest last."""
        with self._lock:
            return tuple(self._refused.values())

    def known(self, certificate: bytes) -> Verdict | None:
        """Return the verdict over a certificate, if there is one that holds."""
        with self._lock:
            return self._known(certificate)

    def admit(self, peer: Peer, attempts: Attempts) -> Verdict:
        """Return a verdict that holds about the node at the other end; verify it on this connection if there is none.

        Raises:
            NotAdmittedError: it failed; nothing but attestation may go to it.
        """
        if found := self.known(peer.certificate):
            return found
        attempts.refuse_again(peer.certificate)
        try:
            return self._once(peer)
        except AttestationError as error:
            raise attempts.refuse(peer.certificate, error) from error

    def answered(self, verdict: Verdict) -> None:
        """Note which node has answered, and under which verdict."""
        with self._lock:
            self.latest = verdict
            if known := self._verdicts.pop(verdict.certificate, None):
                self._verdicts[verdict.certificate] = known

    @keeps("C3")
    def refuse_elsewhere(self, scheme: str, host: str, port: int | None) -> None:
        """Refuse a request that is not for the verified origin, before anything is sent.

        Raises:
            VerificationError: C3.
        """
        if (scheme, host, port or DEFAULT_PORT) != ("https", self.origin.host, self.origin.port):
            got = f"{scheme}://{host}:{port}"
            raise VerificationError("C3", "the request is for the verified origin", expected=str(self.origin), got=got)

    def _first(self) -> Verdict:
        attempts = Attempts()
        while True:
            try:
                with Peer.connect(self.origin, seconds=self.seconds) as peer:
                    return self.admit(peer, attempts)
            except (NotAdmittedError, FetchError) as error:
                attempts.failed(error)

    def _once(self, peer: Peer, *, again: bool = True) -> Verdict:
        """Verify, or wait for whoever verifies the same certificate on another connection and share the outcome.

        That the other connection broke says nothing about this one: then verify after all, or wait once more.
        """
        with self._lock:
            if found := self._known(peer.certificate):
                return found
            flight = self._flights.get(peer.certificate)
            if flight is None:
                mine = self._flights[peer.certificate] = Future()
        if flight is not None:
            try:
                return flight.result()
            except FetchError:
                if not again:
                    raise
                return self._once(peer, again=False)
        try:
            verdict = self._verify(peer)
        except BaseException as error:
            broken = FetchError("the verification of this node on another connection was broken off")
            mine.set_exception(error if isinstance(error, AttestationError) else broken)
            raise
        else:
            mine.set_result(verdict)
            return verdict
        finally:
            with self._lock:
                del self._flights[peer.certificate]

    def _verify(self, peer: Peer) -> Verdict:
        started = self._clock()  # the nonce is drawn after this: the verdict is never younger than it says
        try:
            verdict = Verdict(self._attest(peer), started + self._max_age, self._clock)
            _same(verdict, peer)
        except AttestationError as error:
            error.node = _node(peer, error)
            with self._lock:
                self._verdicts.pop(peer.certificate, None)
                self._note(peer.certificate, Refused(error.node, str(error), refusal(error)))
            raise
        with self._lock:
            self._keep(verdict)
        return verdict

    def _known(self, certificate: bytes) -> Verdict | None:
        found = self._verdicts.get(certificate)
        return None if found is None or found.is_stale else found

    def _keep(self, verdict: Verdict) -> None:
        self._verdicts.pop(verdict.certificate, None)
        self.latest = self._verdicts[verdict.certificate] = verdict
        for certificate in [key for key, one in self._verdicts.items() if one.is_stale]:
            del self._verdicts[certificate]
        while len(self._verdicts) > KEPT:
            del self._verdicts[next(iter(self._verdicts))]

    def _note(self, certificate: bytes, refused: Refused) -> None:
        """List a node once. One that was distrusted does not become one that was merely silent."""
        before = self._refused.pop(certificate, None)
        silent = refused.report.verdict == NO_VERDICT
        self._refused[certificate] = before if before and silent else refused
        while len(self._refused) > KEPT:
            del self._refused[next(iter(self._refused))]


@keeps("C3")
def _same(verdict: Verdict, peer: Peer) -> None:
    if verdict.certificate != peer.certificate:
        raise VerificationError("C3", "what was verified is not the node that this connection leads to")


def _node(peer: Peer, error: AttestationError) -> Node:
    """Say which machine failed: by what its certificate and, as far as it could be read, its evidence say."""
    try:
        spki = spki_digest(peer.certificate, "$.tls_certificate").hex()
    except EvidenceError:
        spki = ""
    verified = dict(error.facts).get("ak_name", b"")
    claimed = dict(error.sources).get("ak_public", ())
    name = verified or (b"\x00\x0b" + claimed[0] if claimed else b"")  # TPM 2.0 Part 1, 16: a name is alg || digest
    return Node(spki, peer.address, name.hex())


def _grave(error: Exception) -> int:
    if isinstance(error, FetchError):
        return 1
    return 0 if isinstance(error, AttestationError) else 2
