"""Every error of the client, split by what the caller does about it.

::

    AttestationError
     ├ FetchError         network, or the peer is not ready; retrying may help
     ├ EvidenceError      bytes are malformed, or what you handed over is no such thing; carries the place
     ├ VerificationError  not genuine, not fresh or not bound; never retry, never cache; carries the rule
     ├ PolicyError        genuine, but not what you asked for; carries every failed clause
     └ LogError           a log of your own takes no entry now; what it shows is what it showed before
        ├ LogBusyError         another run writes it; try again after it
        ├ LogStorageError      a file cannot be read or written; free space or say where, the next run goes on
        ├ LogDamagedError      its files are not those that it wrote; restore them
        ├ DuplicateEntryError  the entry is in the log already
        ├ OutOfOrderError      a release with a number that is not above the last one
        └ UnwitnessedError     too few witnesses signed; the next run goes on
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


def printable(text: str) -> str:
    """Spell what is not printable as escapes: much of what we say quotes a peer, and a terminal obeys what it reads."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@dataclass(frozen=True, slots=True)
class Node:
    """One machine behind an address, by the TLS key that it showed (the SHA-256 of its SubjectPublicKeyInfo, in hex).

    ``spki`` is empty where no key could be read. ``ak_name`` is what the node *claims* while nothing is verified.
    """

    spki: str
    address: str
    ak_name: str = ""

    def __str__(self) -> str:
        key = f"the node with TLS key {self.spki or '(unreadable)'} at {self.address}"
        return printable(f"{key}, attestation key {self.ak_name}" if self.ak_name else key)


class AttestationError(Exception):
    """Base of everything that the client raises on purpose.

    It carries what a report of the failed verification has (``client_sdk.report.refusal``): ``checks`` are those made
    before it failed (``client_sdk.report.Check``), the failed one last; ``not_run``, ``facts`` and ``sources`` are what
    was known by then. ``node`` is which machine failed, where one of several behind an address did.
    """

    node: Node | None = None
    checks: tuple[Any, ...] = ()
    not_run: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, Any], ...] = ()
    sources: tuple[tuple[str, tuple[bytes, ...]], ...] = ()

    def __str__(self) -> str:
        told = super().__str__()
        return told if self.node is None else f"{told}; it was {self.node}"


class FetchError(AttestationError):
    """The peer could not be reached or is not ready; says nothing about its honesty.

    ``retry_after`` is in seconds, where the peer named one.
    """

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(printable(message))


class EvidenceError(AttestationError):
    """Bytes that are not what their format says; ``where`` is an offset or a field path.

    ``expected``, ``got`` and ``remedy`` say more where it is about what a caller handed over (:class:`FieldError`).
    """

    expected = got = remedy = ""

    def __init__(self, where: str, message: str) -> None:
        self.where = printable(where)
        super().__init__(f"{self.where}: {printable(message)}")


class FieldError(EvidenceError):
    """A value of the caller's own that cannot be: where it stands, what was expected, what is there, what to write."""

    def __init__(self, where: str, expected: str, got: str, remedy: str) -> None:
        self.expected, self.got, self.remedy = map(printable, (expected, got, remedy))
        super().__init__(where, f"expected {expected}, got {got}; {remedy}")


class VerificationError(AttestationError):
    """Evidence is not genuine, not fresh or not bound together; ``rule`` names the broken rule, ``what`` says it."""

    def __init__(self, rule: str, message: str, *, expected: str = "", got: str = "") -> None:
        self.rule, self.what, self.expected, self.got = rule, message, expected, got
        detail = f" (expected {expected}, got {got})" if expected or got else ""
        super().__init__(printable(f"[{rule}] {message}{detail}"))


@dataclass(frozen=True, slots=True)
class Failure:
    """One clause of a policy that did not hold. ``remedy`` says what to do, where the policy itself is at fault."""

    clause: str
    expected: str
    got: str
    remedy: str = ""

    @property
    def rule(self) -> str:
        """The id of the rule, which the clause begins with."""
        return self.clause.partition(":")[0]

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return printable(f"[{self.clause}] expected {self.expected}, got {self.got}{remedy}")


class PolicyError(AttestationError):
    """The evidence is genuine, but it is not what the caller asked for; lists every failed clause.

    ``rules`` are the ids of the rules that failed, each once and in order; ``rule`` is the first.
    """

    def __init__(self, failures: tuple[Failure, ...]) -> None:
        self.failures = failures
        self.rules = tuple(dict.fromkeys(failure.rule for failure in failures)) or ("R4",)
        self.rule = self.rules[0]
        super().__init__("; ".join(str(failure) for failure in failures) or "[R4] the policy is empty")


class LogError(AttestationError):
    """A log of the caller's own that takes no entry now; what it shows to others is what it showed before."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class LogBusyError(LogError):
    """Another run writes the log, or the state of a monitor or witness."""


class LogStorageError(LogError):
    """A file cannot be read or written: a disk is full, say."""


class LogDamagedError(LogError):
    """Files of the log are not those that it wrote; nothing is signed over them."""


class DuplicateEntryError(LogError):
    """The entry is in the log already."""


class OutOfOrderError(LogError):
    """A release whose number is not above the last one of its service."""


class UnwitnessedError(LogError):
    """Too few witnesses signed the new checkpoint; it is kept, and the next run asks again."""
