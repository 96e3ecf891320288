"""Opting out of what production demands. Each object says so in its name, has a reason, and stands in every report."""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.given import require_reason


@dataclass(frozen=True, slots=True)
class UnsafeWithoutRevocation:
    """Takes chips and devices about which no revocation list or OCSP answer came: one that was revoked passes.

    Raises:
        EvidenceError: there is no reason.
    """

    why: str

    def __post_init__(self) -> None:
        require_reason(self.why, "policy.unsafe_without_revocation")


@dataclass(frozen=True, slots=True)
class UnsafeUnpinned:
    """Takes releases that leave firmware, ACPI tables or launch measurements open: the host's may run any code.

    Raises:
        EvidenceError: there is no reason.
    """

    why: str

    def __post_init__(self) -> None:
        require_reason(self.why, "policy.unsafe_unpinned")
