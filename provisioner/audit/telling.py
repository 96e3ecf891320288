"""What an audit found, as lines for people and as values for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from client_sdk.errors import printable
from provisioner.audit.audit import Audit
from provisioner.audit.finding import Finding
from provisioner.contents.telling import way_lines

_SHOWN = 200


class Verdict(StrEnum):
    """How an audit ends; the last two where nothing was compared."""

    IDENTICAL = "identical"
    DIFFERENT = "different"
    REFUSED = "refused"
    NONE = "no verdict"


def as_dict(found: Audit, origin: str | None) -> dict[str, Any]:
    """Return it as plain values."""
    return {
        "version": 1,
        "verdict": verdict_of(found),
        "origin": origin,
        "findings": [finding.as_dict() for finding in found.findings],
        "notes": list(found.notes),
        "sha256": dict(found.digests),
        "predicted": [
            {
                "platform": one.platform,
                "boot_mode": one.boot_mode,
                "authenticode": one.prediction.authenticode.hex(),
                "pcrs": {str(pcr): value.hex() for pcr, value in one.pcrs.items()},
                "rtmrs": {str(index): value.hex() for index, value in one.rtmrs.items()},
            }
            for one in found.predicted
        ],
        "chain": [asdict(link) for link in found.links],
    }


def lines(found: Audit, origin: str | None) -> Iterator[str]:
    """Write it for a person; the verdict stands last."""
    yield from (printable(note) for note in found.notes)
    for one in found.predicted:
        yield f"predicted for {one.name}:"
        yield f"  Authenticode  {one.prediction.authenticode.hex()}"
        yield from (f"  PCR {pcr:<10}{value.hex()}" for pcr, value in one.pcrs.items())
        yield from (f"  RTMR {index:<9}{value.hex()}" for index, value in one.rtmrs.items())
    if found.links:
        yield "from a line of the source to the quote:" if origin else "from a line of the source to what is quoted:"
        yield from way_lines(found.links)
    for finding in found.findings[:_SHOWN]:
        yield from _finding(finding)
    if len(found.findings) > _SHOWN:
        yield f"… {len(found.findings) - _SHOWN} more differences (--json has all)"
    yield from (f"{digest}  {name}" for name, digest in found.digests)
    yield _verdict(found, origin)


def verdict_of(found: Audit) -> Verdict:
    """Return the verdict of what was compared."""
    return Verdict.IDENTICAL if found.is_identical else Verdict.DIFFERENT


def without(verdict: Verdict, origin: str | None, why: str) -> dict[str, Any]:
    """Return why nothing was compared, as plain values."""
    return {"version": 1, "verdict": verdict, "origin": origin, "why": why}


def _finding(finding: Finding) -> Iterator[str]:
    yield f"DIFFERS  {printable(finding.where)}"
    yield f"  published: {printable(finding.published)}"
    yield f"  found:     {printable(finding.found)}"
    yield from (f"    {printable(line)}" for line in finding.how)


def _verdict(found: Audit, origin: str | None) -> str:
    if not found.is_identical:
        rebuilt = "" if found.digests else "; nothing was rebuilt (--anyway does it all the same)"
        return f"{Verdict.DIFFERENT}: {len(found.findings)} differences{rebuilt}"
    service = f", and {origin} quotes what it measures" if origin else "; no service was asked"
    return f"{Verdict.IDENTICAL}: the rebuilt image is the published one, byte for byte{service}"
