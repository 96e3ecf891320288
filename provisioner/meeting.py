"""Meeting every machine behind one endpoint, as a client does: connection by connection, told apart by TLS key.

A balancer chooses which machine a connection leads to, so each is met by meeting often enough. With n machines and
``n (ln n + 10)`` connections, one stays unmet with a probability below 1 in 20,000, where the balancer spreads them
evenly.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

from client_sdk.errors import AttestationError
from provisioner.acceptance import Target, accept
from provisioner.errors import CloudError, MeasureError
from provisioner.progress import Progress
from provisioner.target import Deployment, target_of

UNREADABLE = "(unreadable)"
_LAST_WORD = 3  # refusals of one machine: collateral that another machine needed may be what it lacked


class RefusedNodeError(MeasureError):
    """One machine is not what was predicted; ``node`` names it by its TLS key."""

    def __init__(self, node: str, why: str) -> None:
        self.node = node
        super().__init__(why)


class Verify(Protocol):
    """Judges whichever machine a new connection leads to."""

    def __call__(self, endpoint: str, *, progress: Progress) -> str:
        """Return the name of the accepted machine's TLS key.

        Raises:
            RefusedNodeError: it answered and is refused.
            CloudError: nobody answered in time.
            SpecError: a file that clients are given is missing or not what it should be.
        """


class AsClient:
    """The real one: each connection is attested under the candidate release, with collateral for the machines met."""

    def __init__(self, deployment: Deployment, *, seconds: float) -> None:
        self._deployment, self._seconds = deployment, seconds
        self._target: Target | None = None  # gathered once, and again after a refusal

    def __call__(self, endpoint: str, *, progress: Progress) -> str:
        """Judge one machine; what its hardware needs to be judged by is gathered before the next is met.

        Raises:
            RefusedNodeError: it answered and is refused.
            CloudError: nobody answered in time, or collateral is not complete.
            SpecError: a file that clients are given is missing or not what it should be.
        """
        if self._target is None:
            wanted = replace(self._deployment, origin=endpoint)
            self._target = target_of(wanted, seconds=self._seconds, progress=progress)
        try:
            report = accept(self._target, seconds=self._seconds, progress=progress)
        except MeasureError as error:
            self._target = None
            raise RefusedNodeError(_key_of(error.__cause__), str(error)) from error
        return str(report["facts"]["tls_spki_sha256"])


def _key_of(error: BaseException | None) -> str:
    facts = dict(error.facts) if isinstance(error, AttestationError) else {}
    return str(facts.get("tls_spki_sha256", UNREADABLE))


def connections(machines: int) -> int:
    """Return how many connections are made at most to meet so many machines."""
    return math.ceil(machines * (math.log(machines) + 10))


def meet_all(endpoint: str, machines: int, verify: Verify, *, progress: Progress) -> tuple[str, ...]:
    """Return the TLS keys of as many different machines as there are, all of them accepted.

    That no further machine stands behind the endpoint is not said: clients judge each that they meet.

    Raises:
        MeasureError: machines are refused; each is named, with the reason.
        CloudError: not all could be met.
    """
    accepted: set[str] = set()
    refused: dict[str, list[str]] = {}
    limit = connections(machines)
    for number in range(1, limit + 1):
        try:
            met = verify(endpoint, progress=progress)
        except RefusedNodeError as error:
            refused.setdefault(error.node, []).append(str(error))
            progress(f"connection {number} of at most {limit}: the machine with TLS key {error.node} is refused")
        else:
            progress(f"connection {number} of at most {limit}: the machine with TLS key {met} is accepted")
            accepted.add(met)
        final = {node for node, why in refused.items() if len(why) >= _LAST_WORD} - accepted
        if len(accepted | final) >= machines:
            break
    left = {node: why for node, why in refused.items() if node not in accepted and node != UNREADABLE}
    if UNREADABLE in refused and len(accepted) < machines:
        left[UNREADABLE] = refused[UNREADABLE]
    if left:
        told = "; ".join(f"the machine with TLS key {node}: {why[-1]}" for node, why in sorted(left.items()))
        raise MeasureError(f"{len(left)} of {machines} machines refused: {told}")
    if len(accepted) < machines:
        raise CloudError(
            f"{endpoint}: {limit} connections met {len(accepted)} of {machines} machines; see in the cloud's console "
            "that all of them are healthy, then run it again"
        )
    return tuple(sorted(accepted))
