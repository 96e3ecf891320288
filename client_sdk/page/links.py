"""The chain of trust as data: its links, which rules belong to each, and what a report says about them.

A link holds when none of its checks failed and what it *needs* was checked: never by omission. The rules of a platform
that a report names as not run make a link absent; what verification did not get to is neither. How a link is shown with
a failed check, that check says (``faults.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from client_sdk.page.faults import State, worst
from client_sdk.report import NO_VERDICT, REFUSED, VERIFIED, Check, Report
from client_sdk.rules import broader


@dataclass(frozen=True, slots=True)
class Link:
    """One link, from who vouches to what is vouched for.

    ``rules`` are ids or what ids begin with; the longest over all links decides. ``needs`` are groups of them: of each
    group at least one must have been checked. ``word`` stands beside the arrow; a mutual one has two heads.
    """

    key: str
    start: str
    end: str
    word: str
    title: str
    means: str
    rules: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]
    mutual: bool = False


LINKS = (
    Link(
        "connection",
        "tls",
        "you",
        "ends there",
        "Your connection ends at the attested TLS key",
        "The certificate that this connection showed is the one in the evidence. A relay would have to show its own.",
        ("C3", "C4", "C7", "C8", "F1", "F2", "F3"),
        (("C3.1",),),
    ),
    Link(
        "freshness",
        "quote",
        "tls",
        "names",
        "The quote answers your nonce and names the TLS key",
        "The TPM signed after this client drew its random number, so nothing is replayed, and it signed for the TLS "
        "key of this machine. No part came along that nothing would bind to it.",
        ("C1", "C2", "C5", "C6"),
        (("C1",), ("C2.2",)),
    ),
    Link(
        "publisher",
        "publisher",
        "release",
        "signed",
        "The publisher that you pinned signed the release",
        "The release names what an image must measure. Its signature says who published it, not that it is harmless.",
        ("R1", "R2", "R3", "R5", "R6"),
        (("R1",), ("R6",)),
    ),
    Link(
        "prediction",
        "release",
        "predicted",
        "states",
        "The release states what this platform must measure",
        "The measurements were predicted from the image's bytes before any machine ran it, and the release pins what "
        "your policy wants pinned.",
        ("P2", "P3", "P4", "P9", "R4"),
        (("L1.pcr", "L6.pcr"),),
    ),
    Link(
        "measurements",
        "predicted",
        "pcrs",
        "equal",
        "The quoted PCRs are the predicted ones",
        "The VM booted the image of the release, with no driver before it and nothing added to it. What the release "
        "leaves open (firmware, ACPI tables) is listed as not run.",
        ("L1.acpi", "L1.pcr", "L1.phases", "L6", "L7.pcr", "L8", "L9.pcr", "L10.2", "L11.3"),
        (("L1.pcr", "L6.pcr"), ("L7.pcr", "L6.pcr"), ("L11.3",)),
        mutual=True,
    ),
    Link(
        "logs",
        "logs",
        "pcrs",
        "explain",
        "The boot logs explain every quoted PCR",
        "Replayed from nothing, the firmware's log and the VM's own give the quoted values, and hold only what "
        "belongs there.",
        ("L1", "L2", "L3", "L4", "L5", "L7", "L9", "L10", "L11"),
        (("L2", "L6"), ("L11.1",), ("L1.15",)),
    ),
    Link(
        "quote",
        "quote",
        "pcrs",
        "covers",
        "The quote covers exactly these PCRs",
        "The signed bytes name the registers, and the values that were claimed are those that were signed.",
        ("Q2", "Q3", "Q4", "Q5"),
        (("Q2",), ("Q3",), ("Q4.2",), ("Q5",)),
    ),
    Link(
        "signature",
        "ak",
        "quote",
        "signed",
        "The attestation key signed the quote",
        "The bytes are a TPM's quote, signed by the attestation key with its own algorithm.",
        ("Q1", "Q6"),
        (("Q1.2",), ("Q6.2",)),
    ),
    Link(
        "key",
        "certificate",
        "ak",
        "vouches",
        "The attestation key lives in the certified TPM",
        "The key signs only what the TPM made itself, cannot leave it, and the TPM that has the certificate holds it.",
        ("K5", "Q7", "Q8"),
        (("Q7",), ("Q8.3", "K5.1")),
    ),
    Link(
        "tpm-root",
        "tpm-root",
        "certificate",
        "certified",
        "The TPM's certificate chains to a pinned root",
        "Key by key up to a root that was pinned beforehand; names prove nothing and are not compared.",
        ("D1", "D2", "K1", "K2", "K3", "K4", "P6"),
        (("K1.1",), ("K1.6",), ("K2",)),
    ),
    Link(
        "tee-binding",
        "tee",
        "tls",
        "names",
        "The CPU's report names the TLS key",
        "Hardware says that this very guest owns the TLS key, the attestation key, the GPU evidence and PCR 15.",
        ("T1",),
        (("T1.1", "T1.user"),),
    ),
    Link(
        "policy",
        "policy",
        "tee-values",
        "takes",
        "The machine is one that your policy takes",
        "Cloud, project, zone and instance, or what the paravisor states, are what your policy asks for. A policy that "
        "takes any says so in its checks.",
        (
            *("K3.3", "K3.4", "K3.5", "K3.6", "K3.7", "L8.2", "P1", "P5", "P7", "R4.1"),
            *("T1.console", "T1.persisted", "T1.secure-boot", "T1.thumbprint", "T1.tpm", "T1.vm", "T11", "T11.7"),
        ),
        (("K3.4", "T1.vm"),),
    ),
    Link(
        "tee-values",
        "tee-values",
        "tee",
        "as due",
        "The CPU's report is what policy and release expect",
        "No debugging, known firmware, a patched platform, and the measurements that were expected.",
        (
            *("T3.7", "T3.8", "T3.9", "T4", "T5", "T7.20", "T7.21", "T8", "T9", "T10"),
            *("P8", "T11.6", "T11.amd.6", "T11.amd.7"),
        ),
        (("T4.8", "T8.5"), ("T5.1", "T8.10")),
        mutual=True,
    ),
    Link(
        "tee-signature",
        "tee-certificate",
        "tee",
        "signed",
        "The certified CPU signed the report",
        "The key of one physical chip signed it, for the firmware that the certificate names.",
        ("T2.11", "T2.12", "T2.13", "T3", "T6"),
        (("T2.13", "T6.5"), ("T3.6", "T6.7")),
    ),
    Link(
        "tee-root",
        "tee-root",
        "tee-certificate",
        "certified",
        "The CPU's certificate chains to its maker's root",
        "Up to the pinned root of AMD or Intel, with what the maker has said about revocation and patch levels.",
        ("T2", "T7", "T11.1", "T11.2", "T11.3", "T11.4", "T11.5", "T11.amd"),
        (("T2.1", "T7.1"), ("T2.6", "T7.2")),
    ),
    Link(
        "gpu-binding",
        "gpu",
        "tls",
        "names",
        "The GPU evidence was made for this machine's keys",
        "Its nonce is made of the TLS key and the attestation key, and it was measured before the VM was sealed. No "
        "hardware says that the GPU sits in this machine: a host could have asked a genuine one elsewhere.",
        ("G2", "G3.12", "G5"),
        (("G2.2",), ("G5.1",)),
    ),
    Link(
        "gpu-values",
        "gpu-values",
        "gpu",
        "equal",
        "The GPU runs firmware that NVIDIA published",
        "Every golden measurement of the signed reference files was compared, and none is of firmware for debugging.",
        ("G3", "G4.5", "G4.6"),
        (("G3.7",),),
        mutual=True,
    ),
    Link(
        "gpu-policy",
        "gpu-policy",
        "gpu-values",
        "takes",
        "The number and modes of GPUs are what your policy wants",
        "As many devices as are due, in a mode that your policy takes. Where none is due, this holds without one.",
        ("G4",),
        (("G4.1",),),
    ),
    Link(
        "gpu-signature",
        "gpu-certificate",
        "gpu",
        "signed",
        "The certified GPU signed its measurements",
        "The device's own key signed request and answer, as received.",
        ("G1.3", "G1.4", "G1.5"),
        (("G1.4",),),
    ),
    Link(
        "gpu-root",
        "gpu-root",
        "gpu-certificate",
        "certified",
        "The GPU's certificate chains to NVIDIA's root",
        "Up to the pinned root, with the revocation evidence that came along.",
        ("G1",),
        (("G1.1",), ("G1.2",)),
    ),
)
_ON_EVERY_PLATFORM = frozenset({"connection"})  # stored evidence comes without one: that is no platform's property
_PLACES = {rule: link for link in LINKS for rule in link.rules}
_RANGE = re.compile(r"([A-Z])(\d+)((?:\.\w+)*)(?: to \1?(\d+))?")


@dataclass(frozen=True, slots=True)
class Finding:
    """A link with what a report says about it; ``why`` is there where it neither holds nor fails."""

    link: Link
    state: State
    why: str
    checks: tuple[tuple[int, Check], ...]
    """With their places in the report, from 1."""


def place(rule: str) -> Link | None:
    """Return the link that a rule belongs to."""
    return next((_PLACES[part] for part in broader(rule) if part in _PLACES), None)


def findings(report: Report) -> tuple[Finding, ...]:
    """Hold every link against a report."""
    found: dict[str, list[tuple[int, Check]]] = {link.key: [] for link in LINKS}
    for number, check in enumerate(report.checks, start=1):
        if link := place(check.id):
            found[link.key].append((number, check))
    recorded = {part for check in report.checks for part in broader(check.id)}
    return tuple(_finding(link, tuple(found[link.key]), recorded, report) for link in LINKS)


def elsewhere(report: Report) -> tuple[tuple[int, Check], ...]:
    """Return the checks that no link has a place for: shown by themselves, so that nothing is dropped."""
    return tuple((number, check) for number, check in enumerate(report.checks, start=1) if place(check.id) is None)


def _finding(link: Link, checks: tuple[tuple[int, Check], ...], recorded: set[str], report: Report) -> Finding:
    if broken := worst(check for _, check in checks):
        return Finding(link, broken, "", checks)
    if all(any(rule in recorded for rule in group) for group in link.needs):
        return Finding(link, State.HOLDS, "", checks)
    why = _reason(link, report)
    if why and not checks and link.key not in _ON_EVERY_PLATFORM:
        return Finding(link, State.ABSENT, why, checks)
    return Finding(link, State.OPEN, why or _not_reached(report.verdict), checks)


def _reason(link: Link, report: Report) -> str:
    """Return why a link does not apply: of something that it needs, nothing is run on this platform."""
    reasons = {rule: why for rules, why in report.not_run for rule in _named(rules)}
    for group in link.needs:
        found = [next((reasons[part] for part in broader(rule) if part in reasons), "") for rule in group]
        if all(found):
            return found[0]
    return ""


def _not_reached(verdict: str) -> str:
    if verdict in {REFUSED, NO_VERDICT}:
        return "verification ended before all of it was checked"
    if verdict == VERIFIED:
        return "the evidence was compared with no release"
    return "the report does not say why"


def _named(rules: str) -> Iterable[str]:
    """Return the ids that a line of a report's ``not_run`` names: "T1 to T11", "K3 to K5, L8", "L1.pcr0"."""
    for letter, first, part, last in _RANGE.findall(rules):
        if part:
            yield f"{letter}{first}{part}"
            continue
        for number in range(int(first[:3]), int((last or first)[:3]) + 1):
            yield f"{letter}{number}"
