"""What is fuzzed: something that takes any bytes, with seeds of good ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from client_sdk.errors import EvidenceError, LogError, PolicyError, VerificationError

EXPECTED = (EvidenceError, VerificationError, PolicyError, LogError)


@dataclass(frozen=True)
class Target:
    """``call`` returns a value or raises one of :data:`EXPECTED`, whatever it is given.

    ``covers`` are the functions of ``client_sdk.parse`` that it is about. ``roles`` are inputs of real cases that are
    seeds for it, by family and name.
    """

    name: str
    call: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    covers: tuple[Callable[..., object], ...] = ()
    roles: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Refused:
    """The error that came out."""

    error: Exception


def outcome(target: Target, data: bytes) -> object:
    """Return what comes out; anything but a value or an expected error goes on its way."""
    try:
        return target.call(data)
    except EXPECTED as error:
        found = Refused(error)
    assert str(found.error).isprintable()
    return found
