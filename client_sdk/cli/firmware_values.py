"""What firmware measured, as a publisher needs it to state a platform's values: taken from logs that were verified.

None of it is predicted, and nobody vouches for it: one machine showed it once.
"""

from __future__ import annotations

from typing import Any

from client_sdk.encoding import to_base64
from client_sdk.parse.eventlog import parse_event_log
from client_sdk.parse.variable import parse_variable
from client_sdk.verifier import VerifiedEvidence
from client_sdk.verify.firmware import CONFIG_VARIABLE

_SECURE_BOOT_PCR, _NAMES = 7, ("SecureBoot", "PK", "KEK", "db", "dbx")


def firmware_values(verified: VerifiedEvidence) -> dict[str, Any] | None:
    """Return tables, variables and images; None where a platform gives no event log.

    ``pcr1`` are the SHA-256 digests of everything in PCR 1 but its separators, ``rtmr0`` the SHA-384 ones of a TD's
    RTMR0; ``variables`` are those of Secure Boot, in base64 without the event's header.
    """
    if verified.firmware is None:
        return None
    log = verified.tee.log if verified.tee else None
    return {
        "pcr1": [digest.hex() for digest in dict.fromkeys(verified.firmware.configuration)],
        "rtmr0": [digest.hex() for digest in dict.fromkeys(log.observed)] if log else [],
        "variables": _variables(verified.evidence.event_log),
        "images": [{"pcr": pcr, "authenticode": digest.hex()} for pcr, digest in verified.firmware.images],
    }


def _variables(log: bytes) -> dict[str, str]:
    """Read the variables that PCR 7 opens with: rule L5 checked which they are, rule L3 that their bytes are true."""
    events = [one for one in parse_event_log(log).events if (one.pcr, one.kind) == (_SECURE_BOOT_PCR, CONFIG_VARIABLE)]
    found = [parse_variable(event.data, event.offset) for event in events[: len(_NAMES)]]
    return {one.name: to_base64(one.value) for one in found}
