"""What the CPU measured of a VM's launch, held against a release: the part of T5, T8 and T9 that no policy leaves out.

(T5.1) SEV-SNP's launch measurement, or (T8.11) MRTD on TDX, is one that the release names.
(T8.12 to T8.15) On TDX, RTMR0 to RTMR3 are those that the release names. One that it does not name is zero on Azure,
where the paravisor's TPM has what booted; elsewhere RTMR3 is zero and (T9.1) the others have to be named, but RTMR0:
(T9.12) it replays from a log, and each event of it whose bytes no log carries is in the release's list. Where there
is neither, nothing fits.

A release that names no launch measurement leaves the firmware open: the report says so, and production refuses it.
"""

from __future__ import annotations

from client_sdk.clauses.expected import AnyValue, Expectation, MustBeZero, OneOf
from client_sdk.clauses.tdx import BootRegisters, ObservedEvents, PinnedBoot
from client_sdk.errors import Failure
from client_sdk.evidence import AZURE
from client_sdk.platforms.interface import TeeFacts
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.tdx_collateral import TdxFacts

OBSERVED_SIZE = 48
_UNNAMED = AnyValue("the release does not name it")
_REPLAYED = AnyValue("it is what the log gives, whose events are judged one by one")


@keeps("T5.1")
def judge_launch(tee: TeeFacts, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
    """Judge what the CPU measured; return every failure."""
    if isinstance(tee.report, TdxFacts):
        return _judge_registers(tee, tee.report, measurement, ledger)
    if not measurement.launch_measurements:
        return ()
    what = "the launch measurement is one that the release names"
    return OneOf(measurement.launch_measurements).judge("T5.1", what, tee.launch_measurement, ledger)


def _judge_registers(tee: TeeFacts, report: TdxFacts, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
    named = {index: OneOf((value,)) for index, value in measurement.rtmrs}
    launched = measurement.launch_measurements
    mr_td = OneOf(launched) if launched else _UNNAMED
    if measurement.platform == AZURE:
        rtmrs: list[Expectation] = [named.get(index, MustBeZero()) for index in range(4)]
        return BootRegisters(mr_td, *rtmrs).judge(report, ledger)
    replayed: Expectation = _REPLAYED if tee.log else MustBeZero()  # firmware leaves no zero there: nothing fits
    others: dict[int, Expectation] = {0: replayed, 1: _UNNAMED, 2: _UNNAMED, 3: MustBeZero()}
    rtmrs = [named.get(index, others[index]) for index in range(4)]
    failures = PinnedBoot(BootRegisters(mr_td, *rtmrs)).judge(report, ledger)
    if tee.log is None or 0 in named:
        return failures
    observed = frozenset([digest for digest in measurement.acpi_allowed if len(digest) == OBSERVED_SIZE])
    return failures + ObservedEvents(observed).judge(tee.log, ledger)
