"""Verified evidence to :class:`Accepted`: its values fit a release, and the caller's policy likes it.

(1) R4: there is a release, and one of its measurements is for this platform.
(2) For each release and measurement, every clause is judged, and the first one without a failure is taken:
    L1.pcrN: PCR 2 to 7, 9, 11, 12, 13 and 14 are as predicted (L7 for 9 and 12 to 14, L9 for 2, 3 and 6).
    L6.pcrN: where there is no event log, PCR 0 to 7, 9 and 11 have golden values, and the next four are not judged;
    PCR 6 has the VM's own id, as the paravisor states it.
    L1.phases: PCR 11 is the image's sections and then exactly the phases that the release names.
    L1.pcr0: PCR 0 is in the release's list, or the policy takes an unpinned one (P2).
    L1.acpi: each event of PCR 1, ACPI tables or what is told as another thing, is in the release's list, or the policy
    takes unpinned ones (P3).
    L10.2: the image's Authenticode digest appears exactly once, in the PCR that the release names.
    L11.3: the run-time events say what the release's template says; GPU evidence is there where it leaves that open.
    T5.1, T8.11 to T8.15, T9: what the CPU measured is what the release names (``clauses/launch.py``).
(3) The policy's own clauses hold. R4.1: it has clauses about every part that the evidence has. P6, D2.1,
    T11.7: the evidence was verified under this policy's anchors and limits of age, and not under others.

A failure lists every clause of the release that came closest. Accepting says that the values fit; it does not say
that the release is harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

from client_sdk.clauses.azure import pcr_of_vm_id
from client_sdk.clauses.golden import PCRS as GOLDEN
from client_sdk.clauses.golden import judge_golden
from client_sdk.clauses.launch import judge_launch
from client_sdk.errors import Failure, PolicyError
from client_sdk.policies.anchors import judge_other_anchors
from client_sdk.policies.release import judge_other_ages
from client_sdk.policy import Policy
from client_sdk.release import EXACT_PCRS, Measurement, Release
from client_sdk.report import ACCEPTED, Check, Ledger, Report, Row, as_checks
from client_sdk.roots import Roots
from client_sdk.rules import keeps
from client_sdk.sources import Parts, digests
from client_sdk.verifier import VerifiedEvidence
from client_sdk.verify.eventlog import FirmwareFacts

COVERS = {
    0: "the platform's firmware",
    1: "boot entries and ACPI tables",
    2: "drivers and option ROMs that ran before the image",
    3: "settings of drivers and option ROMs",
    4: "the image, a UKI, that the firmware started",
    5: "the partition table, and how firmware handed over",
    6: "events of the platform's maker",
    7: "Secure Boot's state and keys",
    9: "kernel command line or initrd as the kernel saw them",
    11: "the image's sections and the boot phases",
    12: "a command line, credential or addon that was added",
    13: "a system extension that was added",
    14: "a Secure Boot key that was added",
    15: "what the VM measured itself: lock-down, TLS key, GPU",
}
# What a release may leave open: these stand among the rules that were not run.
OPEN_FIRMWARE, OPEN_TABLES, OPEN_LAUNCH = "L1.pcr0", "L1.acpi", "T5.1, T8.11"
_RULES = {2: "L9", 3: "L9", 6: "L9", 9: "L7", 12: "L7", 13: "L7", 14: "L7"}
_CLAUSES = {
    pcr: (f"{_RULES.get(pcr, 'L1')}.pcr{pcr}", f"PCR {pcr} ({COVERS[pcr]}) is as the release predicts")
    for pcr in EXACT_PCRS
}

# Parts of a cloud's evidence → clauses of which one is judged by whoever judges the part at all.
_JUDGED_BY = {
    "what the release pins": {"P2"},
    "the cloud": {"K3.4", "T5.6"},
    "the CPU's report": {"T4.8", "T8.5"},
    "the GPUs": {"G4.1"},
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """Verified evidence that fits a release and a policy: the only thing that a channel is opened for.

    ``received`` is what it was held against, for the digests in a report; ``opted_out`` is what the policy goes
    without, with its reasons. ``not_run`` and ``told`` are what the releases bring for the report.
    """

    evidence: VerifiedEvidence
    release: Release
    measurement: Measurement
    policy: str
    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()
    received: Parts = ()
    opted_out: tuple[str, ...] = ()
    not_run: tuple[tuple[str, str], ...] = ()
    told: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        """Name release and policy in a line: the evidence in it is tens of kilobytes."""
        told = f"release {self.release.number} of {self.release.service!r}, by policy {self.policy!r}"
        return f"<Accepted: {told}, {len(self.rows)} checks, of {self.evidence!r}>"

    def held_against(
        self,
        rows: tuple[Row, ...],
        *,
        received: Parts,
        left_out: tuple[str, ...],
        not_run: tuple[tuple[str, str], ...] = (),
        told: tuple[tuple[str, Any], ...] = (),
    ) -> Accepted:
        """Add the checks of the releases' own signatures and proofs, their bytes, and those that did not count."""
        return replace(self, rows=rows + self.rows, received=received, left_out=left_out, not_run=not_run, told=told)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that were made."""
        return as_checks(self.rows)

    @property
    def report(self) -> Report:
        """Every check that was made, and facts about the VM and its release."""
        facts = _facts(self.release, self.measurement, self.policy, self.opted_out) + self.evidence.facts
        facts += (*self.told, ("releases_left_out", self.left_out))
        sources = digests(self.received) + self.evidence.sources
        not_run = self.not_run + self.evidence.not_run + _unpinned(self.evidence, self.measurement)
        return Report(ACCEPTED, self.checks, not_run, facts, sources)


@dataclass(frozen=True, slots=True)
class _Judgement:
    """One measurement of one release held against the evidence."""

    release: Release
    measurement: Measurement
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    opted_out: tuple[str, ...]


def accept(evidence: VerifiedEvidence, *, releases: Sequence[Release], policy: Policy) -> Accepted:
    """Take evidence that fits one of the releases and the policy; during a rollout both N and N+1 may be given.

    Raises:
        PolicyError: nothing fits; ``failures`` lists every clause of the closest release that did not hold.
    """
    candidates = [(r, m) for r in releases for m in r.measurements if m.platform == evidence.platform]
    if not candidates:
        ledger = Ledger()
        error = _refused(_nothing_to_compare(evidence, releases, ledger), evidence)
        error.checks += ledger.checks
        raise error
    judged = [_judge(evidence, release, measurement, policy) for release, measurement in candidates]
    closest = min(judged, key=lambda one: len(one.failures))
    if not closest.failures:
        rows, opted_out = evidence.rows + closest.rows, closest.opted_out
        return Accepted(evidence, closest.release, closest.measurement, policy.name, rows, opted_out=opted_out)
    error = _refused(closest.failures, evidence)
    error.checks += as_checks(closest.rows)
    error.not_run += _unpinned(evidence, closest.measurement)
    error.facts = _facts(closest.release, closest.measurement, policy.name, closest.opted_out) + error.facts
    raise error


def _refused(failures: tuple[Failure, ...], evidence: VerifiedEvidence) -> PolicyError:
    error = PolicyError(failures)
    error.checks, error.not_run = evidence.checks, evidence.not_run
    error.facts, error.sources = evidence.facts, evidence.sources
    return error


def _unpinned(evidence: VerifiedEvidence, measurement: Measurement) -> tuple[tuple[str, str], ...]:
    """Return what a release leaves open on a platform: it was measured and compared with nothing."""
    tables = measurement.acpi_allowed or evidence.firmware is None
    launched = measurement.launch_measurements or evidence.tee is None
    left_open = (
        (OPEN_FIRMWARE, "the release pins no firmware: another one may have run", measurement.pcr0_allowed),
        (OPEN_TABLES, "the release pins no ACPI tables: the host's may hold any code", tables),
        (OPEN_LAUNCH, "the release names no launch measurement: the CPU may have started other firmware", launched),
    )
    return tuple((rule, why) for rule, why, allowed in left_open if not allowed)


def _facts(
    release: Release, measurement: Measurement, policy: str, opted_out: tuple[str, ...]
) -> tuple[tuple[str, Any], ...]:
    return (
        ("policy", policy),
        ("opted_out", opted_out),
        ("service", release.service),
        ("release", release.number),
        ("manifest_sha256", release.manifest_sha256),
        ("image_authenticode", measurement.image_authenticode),
        ("phases", measurement.phases),
    )


@keeps("R4")
def _nothing_to_compare(evidence: VerifiedEvidence, releases: Sequence[Release], ledger: Ledger) -> tuple[Failure, ...]:
    what = "there is a release to compare with"
    if not releases:
        return ledger.judge("R4", what, expected="at least one", got="none", condition=False)
    has = tuple(sorted({measurement.platform for release in releases for measurement in release.measurements}))
    what = "the release has measurements for this platform"
    return ledger.judge("R4", what, expected=evidence.platform, got=has or "none", condition=False)


def _judge(evidence: VerifiedEvidence, release: Release, measurement: Measurement, policy: Policy) -> _Judgement:
    ledger = Ledger()
    log = evidence.firmware
    booted = _judge_log(evidence, log, measurement, ledger) if log else _judge_golden(evidence, measurement, ledger)
    failures = (
        *booted,
        *_judge_runtime_log(evidence, measurement, ledger),
        *(judge_launch(evidence.tee, measurement, ledger) if evidence.tee else ()),
        *policy.judge(evidence, measurement, ledger),
    )
    failures = failures or _judge_policy(evidence, ledger) + _judge_roots(evidence, policy.roots, ledger)
    opted_out = tuple(dict.fromkeys(ledger.opted_out))
    return _Judgement(release, measurement, tuple(ledger.rows), failures, opted_out)


def _unjudged(evidence: VerifiedEvidence, ledger: Ledger) -> tuple[str, ...]:
    """Return the parts of the evidence that no clause was about."""
    judged = {row[0] for row in ledger.rows}
    there = {"the GPUs": evidence.gpus}
    return tuple([name for name, by in _JUDGED_BY.items() if there.get(name, True) and not judged & by])


@keeps("R4.1")
def _judge_policy(evidence: VerifiedEvidence, ledger: Ledger) -> tuple[Failure, ...]:
    """Refuse a policy that says nothing about a part of the evidence: a clause alone is no policy for a whole VM."""
    silent = _unjudged(evidence, ledger) if evidence.tee else ()
    if not silent:
        return ()
    what = "the policy judges every part of the evidence (compose clauses with Production, or with one another)"
    return ledger.judge("R4.1", what, expected=(), got=silent, condition=False)


@keeps("D2.1")
def _judge_roots(evidence: VerifiedEvidence, roots: Roots, ledger: Ledger) -> tuple[Failure, ...]:
    """Refuse evidence that was verified under other anchors than this policy's, whoever called ``verify``."""
    what = "the evidence was verified under roots of this policy's kind: simulated, or the makers'"
    same = evidence.simulated == roots.simulated
    failures = ledger.judge("D2.1", what, expected=roots.simulated, got=evidence.simulated, condition=same)
    return failures + judge_other_anchors(evidence, roots, ledger) + judge_other_ages(evidence, roots.ages, ledger)


def _judge_log(
    evidence: VerifiedEvidence, log: FirmwareFacts, measurement: Measurement, ledger: Ledger
) -> tuple[Failure, ...]:
    return (
        *_judge_pcrs(evidence, measurement, ledger),
        *_judge_phases(evidence, log, measurement, ledger),
        *_judge_firmware(evidence, measurement, ledger),
        *_judge_acpi(log, measurement, ledger),
        *_judge_image(log, measurement, ledger),
    )


def _judge_golden(evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
    """Judge PCRs without a log; PCR 12 to 14 are zero by rule L7, whatever a release says."""
    paravisor = evidence.tee.hcl if evidence.tee else None
    own = pcr_of_vm_id(paravisor.configuration if paravisor else None)
    stated = {pcr: (value,) for pcr, value in measurement.pcrs} | {0: measurement.pcr0_allowed, 6: (own,)}
    return judge_golden(tuple((pcr, stated.get(pcr, ())) for pcr in GOLDEN), evidence.pcrs, ledger)


@keeps(*(rule for rule, _ in _CLAUSES.values()))
def _judge_pcrs(evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
    failures: tuple[Failure, ...] = ()
    for pcr, expected in measurement.pcrs:
        got = evidence.pcrs[pcr]
        rule, what = _CLAUSES[pcr]
        failures += ledger.judge(rule, what, expected=expected, got=got, condition=expected == got)
    return failures


@keeps("L1.phases")
def _judge_phases(
    evidence: VerifiedEvidence, log: FirmwareFacts, measurement: Measurement, ledger: Ledger
) -> tuple[Failure, ...]:
    value = log.pcr11
    for phase in measurement.phases:
        value = sha256(value + sha256(phase.encode()).digest()).digest()
    got = evidence.pcrs[11]
    what = f"PCR 11 is the log's sections and then the release's phases ({', '.join(measurement.phases)})"
    return ledger.judge("L1.phases", what, expected=value, got=got, condition=value == got)


@keeps("L1.pcr0")
def _judge_firmware(evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
    if not measurement.pcr0_allowed:  # unpinned: only a policy that takes it lets this pass
        return ()
    got, allowed = evidence.pcrs[0], measurement.pcr0_allowed
    what = f"PCR 0 is one that the release allows ({COVERS[0]})"
    return ledger.judge("L1.pcr0", what, expected=allowed, got=got, condition=got in allowed)


@keeps("L1.acpi")
def _judge_acpi(log: FirmwareFacts, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
    if not measurement.acpi_allowed:  # unpinned: only a policy that takes it lets this pass
        return ()
    got, allowed = log.configuration, measurement.acpi_allowed
    what = "ACPI tables, whose code the kernel runs, and all else in PCR 1 are what the release allows"
    return ledger.judge("L1.acpi", what, expected=allowed, got=got, condition=got and set(got) <= set(allowed))


@keeps("L10.2")
def _judge_image(log: FirmwareFacts, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
    image, pcr = measurement.image_authenticode, measurement.image_pcr
    places = tuple(place for place, digest in log.images if digest == image)
    what = f"the release's image was started exactly once, and measured into its PCR ({pcr})"
    expected, got = partial(_images, ((pcr, image),)), partial(_images, log.images)
    return ledger.judge("L10.2", what, expected=expected, got=got, condition=places == (pcr,))


def _images(images: tuple[tuple[int, bytes], ...]) -> tuple[str, ...]:
    return tuple(f"PCR {pcr}: {digest.hex()}" for pcr, digest in images)


@keeps("L11.3")
def _judge_runtime_log(evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
    failures: tuple[Failure, ...] = ()
    said = {event.kind: event.data for event in evidence.runtime_log}
    for event in measurement.pcr15_template:
        got, expected = said.get(event.kind, b""), event.data
        what = f"each run-time event says what the release says ({event.kind})"
        if expected is None and event.kind != "gpu":  # differs from boot to boot; L11.2 tied it to the TLS key
            continue
        if expected is None:  # the same, and G5.1 tied it to the evidence: there must be some
            what, expected = "the VM has GPUs, as the release says, and measured their evidence", evidence.gpu
        there = event.data is not None or any(not one.device.is_switch for one in evidence.gpus)
        failures += ledger.judge("L11.3", what, expected=expected, got=got, condition=there and got == expected)
    return failures
