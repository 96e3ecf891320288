"""HTTP clients whose only transport is an attested one, and the fleet of verified machines that it leads to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from client_sdk.accept import Accepted
from client_sdk.channel import MAX_AGE
from client_sdk.collateral import Collateral
from client_sdk.errors import Failure, PolicyError
from client_sdk.fetch import Peer
from client_sdk.fleet import Fleet
from client_sdk.given import require_seconds
from client_sdk.origin import Origin
from client_sdk.policy import Policy, Production
from client_sdk.publisher import Publisher, require_publisher
from client_sdk.releases import ReleaseSources, open_releases
from client_sdk.rounds import TIMEOUT, gather_from, judge, require_trust
from client_sdk.rules import keeps
from client_sdk.transparency.client.memory import Memory, as_memory
from client_sdk.transport import AsyncAttestedTransport, AttestedTransport


@dataclass(frozen=True, slots=True)
class Limits:
    """For how many seconds one verification holds, and how many it may take."""

    max_age: float = MAX_AGE
    attestation: float = TIMEOUT


class AttestedHttpClient(httpx2.Client):
    """A stock client whose only transport is an attested one; it follows nothing and reads no environment."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(transport=AttestedTransport(fleet), trust_env=False, follow_redirects=False)
        self.fleet = fleet


class AsyncAttestedHttpClient(httpx2.AsyncClient):
    """The same, asynchronous."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(transport=AsyncAttestedTransport(fleet), trust_env=False, follow_redirects=False)
        self.fleet = fleet


@keeps("R1")
def fleet_of(
    origin: str,
    releases: ReleaseSources,
    publisher: Publisher | None,
    policy: Policy | None,
    collateral: Collateral | None,
    *,
    limits: Limits,
    memory: Memory | Path | str | None = None,
) -> Fleet:
    """Verify one machine of an origin, and return the fleet that knows it; every other is verified when it is met.

    Raises:
        FetchError: unreachable or not ready; retrying may help.
        EvidenceError: malformed bytes, or an argument of another type.
        VerificationError: not genuine, not fresh or not bound.
        PolicyError: genuine, but not what was asked for.
    """
    require_trust(policy, collateral)
    require_seconds(limits.attestation, "attestation_timeout")
    where = Origin.parse(origin)
    if publisher is None:
        raise PolicyError(
            (Failure("R1: the publisher that you trust is given", "publisher=Publisher(keys=(…,))", "none"),)
        )
    require_publisher(publisher)

    taken, kept = Production() if policy is None else policy, as_memory(memory)

    def attest(peer: Peer) -> Accepted:
        opened = open_releases(releases, publisher, now=datetime.now(UTC), memory=kept)
        gathered = gather_from(peer)
        return judge(gathered, releases=opened, policy=taken, now=datetime.now(UTC), collateral=collateral)

    # What nobody signed is not worth a connection.
    open_releases(releases, publisher, now=datetime.now(UTC), memory=kept, remember=False)
    return Fleet(where, attest, max_age=limits.max_age, seconds=limits.attestation)
