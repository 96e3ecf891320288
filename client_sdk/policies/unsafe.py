"""Opting out of what production demands. Each object says so in its name, has a reason, and stands in every report."""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.errors import EvidenceError


@dataclass(frozen=True, slots=True)
class UnsafeWithoutRevocation:
    """Takes chips and devices about which no revocation list or OCSP answer came: one that was revoked passes.

    Raises:
        EvidenceError: there is no reason.
    """

    why: str

    def __post_init__(self) -> None:
        _reason(self.why)


@dataclass(frozen=True, slots=True)
class UnsafeUnpinned:
    """Takes releases that leave firmware, ACPI tables or launch measurements open: the host's may run any code.

    Raises:
        EvidenceError: there is no reason.
    """

    why: str

    def __post_init__(self) -> None:
        _reason(self.why)


def _reason(why: str) -> None:
    if not why.strip():
        raise EvidenceError("policy", "an unsafe choice needs a reason")
