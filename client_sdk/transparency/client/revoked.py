"""Releases that a publisher revoked, and what comes in their place (rule R3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from client_sdk.errors import VerificationError
from client_sdk.release import Release
from client_sdk.rules import keeps
from client_sdk.transparency.client.seen import Known


@dataclass(frozen=True, slots=True)
class Revoked:
    """A release, the number of the one that revokes it, and that of its successor: both may be the same."""

    release: Release
    by: int
    successor: int

    def __str__(self) -> str:
        later = ", its successor" if self.successor == self.by else f"; its successor is release {self.successor}"
        return f"release {self.release.number} is revoked by release {self.by}{later}"


def revoked_among(releases: Iterable[Release], signed: Iterable[Release], known: Known) -> tuple[Revoked, ...]:
    """Return those that one of the signed releases revokes, or one that this client has seen."""
    every = tuple(signed)
    revokers = {(name, gone): by for name, service in known.services for gone, by in service.revoked}
    revokers |= {(one.service, gone): one.number for one in every for gone in one.revokes}
    found = ((one, revokers[one.service, one.number]) for one in releases if (one.service, one.number) in revokers)
    return tuple(Revoked(one, by, _successor(one, by, every, revokers)) for one, by in found)


@keeps("R3.revoked")
def refuse_running(revoked: Revoked) -> VerificationError:
    """Return the error about a service that is genuine, and runs what its publisher revoked."""
    what = "the service runs no release that its publisher revoked (it is the revoked one, and genuine)"
    return VerificationError("R3.revoked", what, expected=f"release {revoked.successor}", got=str(revoked))


def _successor(gone: Release, by: int, every: tuple[Release, ...], revokers: dict[tuple[str, int], int]) -> int:
    """Return the release that says it supersedes this one, or else the newest that is known; none of them revoked."""
    left = [one for one in every if one.service == gone.service and (one.service, one.number) not in revokers]
    direct = [one.number for one in left if one.supersedes == gone.number]
    return max(direct or [one.number for one in left if one.number > gone.number], default=by)
