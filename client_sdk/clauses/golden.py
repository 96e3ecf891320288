"""PCRs of a platform that gives no event log, compared with golden values (rule L6).

(L6.pcrN) Each of PCR 0 to 7, 9 and 11 is one of the values that the release names for the platform.

A golden value says that the machine booted as some machine did that was measured before; it says nothing of the events
behind it, and nothing is replayed. PCR 12 to 14 are zero by rule L7, and PCR 15 has a log of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from client_sdk.errors import EvidenceError, Failure
from client_sdk.report import Ledger
from client_sdk.rules import keeps

PCRS = (0, 1, 2, 3, 4, 5, 6, 7, 9, 11)
_RULES = {pcr: (f"L6.pcr{pcr}", f"PCR {pcr} is one of the golden values that the release names") for pcr in PCRS}


@dataclass(frozen=True, slots=True)
class GoldenPcrs:
    """The values that are taken: for every PCR at least one, in the order of their index.

    Raises:
        EvidenceError: a PCR is left out, or has no value of 32 bytes.
    """

    values: tuple[tuple[int, tuple[bytes, ...]], ...]

    def __post_init__(self) -> None:
        if tuple(pcr for pcr, _ in self.values) != PCRS:
            raise EvidenceError("policy", f"golden values are due for PCR {', '.join(map(str, PCRS))}")
        if not all(values and all(len(value) == 32 for value in values) for _, values in self.values):
            raise EvidenceError("policy", "each PCR needs golden values of 32 bytes")

    def judge(self, quoted: Mapping[int, bytes], ledger: Ledger) -> tuple[Failure, ...]:
        """Judge quoted PCRs."""
        return judge_golden(self.values, quoted, ledger)


@keeps(*(rule for rule, _ in _RULES.values()))
def judge_golden(
    values: tuple[tuple[int, tuple[bytes, ...]], ...], quoted: Mapping[int, bytes], ledger: Ledger
) -> tuple[Failure, ...]:
    """Judge quoted PCRs; one without a golden value has none that is taken."""
    failures: tuple[Failure, ...] = ()
    for pcr, golden in values:
        rule, what = _RULES[pcr]
        got = quoted[pcr]
        failures += ledger.judge(rule, what, expected=golden, got=got, condition=got in golden)
    return failures
