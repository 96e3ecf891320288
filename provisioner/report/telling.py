"""The report on an image, as a person reads it and as a program does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from provisioner.contents import counts
from provisioner.contents.bill import Bill, Listed
from provisioner.report.behind import Behind
from provisioner.report.tracker import URGENCIES, Finding


@dataclass(frozen=True, slots=True)
class Report:
    """What is known against an image; None where nobody was asked."""

    bill: Bill
    behind: tuple[Behind, ...] | None
    findings: tuple[Finding, ...] | None

    @property
    def is_clean(self) -> bool:
        """Say whether nothing is behind, and nothing is left that a newer version would mend."""
        return not self.behind and not any(finding.fixed and not finding.is_gone for finding in self.findings or ())


def as_dict(report: Report) -> dict[str, Any]:
    """Return the report for a program."""
    bill = report.bill
    return {
        "image": bill.image,
        "suite": bill.suite,
        "packages": len(bill.packages),
        "without_files": sorted(package.name for package in bill.packages if package.is_gone),
        "not_covered": sorted(bill.others),
        "behind": None if report.behind is None else [_names(asdict(entry)) for entry in report.behind],
        "vulnerabilities": None
        if report.findings is None
        else [{**_names(asdict(finding)), "nothing_left": finding.is_gone} for finding in report.findings],
    }


def lines(report: Report) -> Iterator[str]:
    """Write the report for a person."""
    bill = report.bill
    yield f"image    {bill.image}"
    yield f"packages {counts.of_bill(bill)}"
    yield f"others   {', '.join(bill.others) or 'none'} (no archive of Debian's knows them)"
    yield from _behind(report)
    yield from _findings(report.findings)


def _behind(report: Report) -> Iterator[str]:
    if report.behind is None:
        yield "behind   not asked"
        return
    count, archive = len(report.bill.sources()), f"{report.bill.suite}-security"
    yield f"behind   {len(report.behind)} of {count} sources are behind {archive}"
    for entry in report.behind:
        yield f"  {entry.source} {entry.version} < {entry.offered}: {_shown(entry.packages)}"


def _findings(findings: tuple[Finding, ...] | None) -> Iterator[str]:
    if findings is None:
        yield "known    no file of vulnerabilities was given"
        return
    left = [finding for finding in findings if not finding.is_gone]
    yield f"known    {len(left)} vulnerabilities, and {len(findings) - len(left)} in packages of which nothing is left"
    states = Counter((finding.urgency, finding.state) for finding in left)
    for urgency in URGENCIES:
        told = [f"{states[urgency, state]} {state}" for state in ("fixed", "open", "undetermined")]
        if any(states[urgency, state] for state in ("fixed", "open", "undetermined")):
            yield f"  {urgency}: {', '.join(told)}"
    for finding in left:
        if finding.fixed:
            yield f"  {finding.cve} {finding.source} {finding.version}: fixed in {finding.fixed}"


def _shown(packages: tuple[Listed, ...]) -> str:
    return ", ".join(f"{package.name} ({' '.join(package.where)})" for package in packages)


def _names(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "packages": [package["name"] for package in told["packages"]]}
