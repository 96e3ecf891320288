"""Launch measurements that Google vouches for, as platform values state them: each with a source that names it.

The source is one text, made here, so that whoever signs platform values can be held to it: what claims to come from an
endorsement is in an endorsement that was verified in the same step, or it is not signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from client_sdk.encoding import from_hex, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import mapping
from provisioner.endorsement.parse import SHA384_SIZE
from provisioner.endorsement.verify import VerifiedEndorsement
from provisioner.errors import Fault, MeasureError, SpecError

SNP, TDX = "snp", "tdx"
CLAIM = "Google's launch endorsement "
_UNITS = {SNP: "vCPUs", TDX: "GiB of RAM"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a machine goes into its launch measurement.

    ``size`` is on SEV-SNP how many virtual CPUs were measured at launch (the machine's, or 1 where the first one starts
    the others), on TDX the machine's RAM in GiB.
    """

    tee: str
    size: int

    def __str__(self) -> str:
        return f"{self.size} {_UNITS[self.tee]}"


@dataclass(frozen=True, slots=True)
class Vouched:
    """A launch measurement, and in words which endorsement has it for which machines. ``size`` is 0 for any."""

    tee: str
    size: int
    value: bytes
    source: str


def vouched(endorsement: VerifiedEndorsement) -> tuple[Vouched, ...]:
    """Return every launch measurement of an endorsement."""
    begin, golden = f"{CLAIM}{endorsement.sha256.hex()}", endorsement.golden
    found = []
    if golden.sev_snp:
        for count, value in golden.sev_snp.measurements.items():
            found.append(Vouched(SNP, count, value, f"{begin}, {Shape(SNP, count)}"))
    if golden.tdx:
        for one in golden.tdx.measurements:
            size = str(Shape(TDX, one.ram_gib)) if one.ram_gib else "any size of RAM"
            early = ", early accept" if one.early_accept else ""
            found.append(Vouched(TDX, one.ram_gib, one.mrtd, f"{begin}, {size}{early}"))
    return tuple(found)


def launch_measurements(endorsement: VerifiedEndorsement, shape: Shape) -> tuple[Vouched, ...]:
    """Return what a machine of this shape may measure: more than one where a TD's memory is accepted early or late.

    Raises:
        SpecError: the endorsement has nothing for such a machine.
    """
    of_tee = [one for one in vouched(endorsement) if one.tee == shape.tee]
    found = tuple(one for one in of_tee if one.size in (0, shape.size))
    if not found:
        sizes = ", ".join(str(size) for size in sorted({one.size for one in of_tee}))
        wanted = f"{_UNITS[shape.tee]} that the endorsement has: {sizes or f'none, it says nothing of {shape.tee}'}"
        raise SpecError((Fault("the machine", wanted, str(shape.size)),))
    return found


def observed_measurement(data: bytes, tee: str) -> bytes:
    """Return the launch measurement in what ``vitrine observe --json`` printed about a machine.

    Raises:
        EvidenceError: it is something else, or about another kind of CPU.
    """
    report = mapping(strict_json(data), "observed")
    facts: dict[str, Any] = mapping(report.get("facts"), "observed.facts")
    if report.get("verdict") != "verified":
        raise EvidenceError("observed.verdict", "not what `vitrine observe --json` prints of a verified machine")
    if facts.get("tee") != tee:
        raise EvidenceError("observed.facts.tee", f"expected {tee}, got {facts.get('tee')}")
    return from_hex(facts.get("launch_measurement"), "observed.facts.launch_measurement", size=SHA384_SIZE)


def require_observed(found: tuple[Vouched, ...], measured: bytes, endorsement: VerifiedEndorsement) -> Vouched:
    """Return the one that a machine measured.

    Raises:
        MeasureError: Google vouches for none such; it names the machines that the observed value is endorsed for.
    """
    for one in found:
        if one.value == measured:
            return one
    elsewhere = [one.source for one in vouched(endorsement) if one.value == measured]
    told = f"only for others: {'; '.join(elsewhere)}" if elsewhere else "for none: other firmware, or not Google's"
    raise MeasureError(f"the machine measured {measured.hex()}, which the endorsement has {told}")


def require_vouched(claims: Iterable[tuple[bytes, str]], endorsements: tuple[VerifiedEndorsement, ...]) -> None:
    """Check every value whose source claims an endorsement; more words may follow after ``; ``.

    Raises:
        SpecError: one is in no endorsement that is here, as its source says it; every one is listed.
    """
    known = {(one.value, one.source) for endorsement in endorsements for one in vouched(endorsement)}
    given = ", ".join(endorsement.sha256.hex() for endorsement in endorsements) or "none"
    faults = [
        Fault(
            f"launch_measurements[{i}]",
            f"a statement of a verified endorsement (given: {given})",
            f"{value.hex()}, {said}",
        )
        for i, (value, said) in enumerate(claims)
        if said.startswith(CLAIM) and (value, said.partition("; ")[0]) not in known
    ]
    if faults:
        raise SpecError(tuple(faults))
