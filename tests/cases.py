"""``python -m tests.cases``: the real cases of ``VITRINE_EVIDENCE``, what is expected of each, and what came out.

The verdicts are those of the conformance stages; which rules may refuse a case is what ``test_real_*.py`` hold to.
Exit status: 0 when all are as expected, else 1.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from client_sdk.conformance.__main__ import ACCEPTED, MALFORMED, REFUSED, judge

Case = dict[str, Any]
Verdict = tuple[int, dict[str, Any]]
# Tokens of attestation services: they are signed by keys that are in no public file, and nothing here believes one.
TOKENS = ("jwt", "eat")


def main() -> int:
    """Print the table."""
    if not os.environ.get("VITRINE_EVIDENCE"):
        sys.stderr.write("VITRINE_EVIDENCE names no folder of real evidence\n")
        return 1
    table, wrong = Table("case", "expected", "got", "", box=None), 0
    index = Path(os.environ["VITRINE_EVIDENCE"], "CASES.json")
    try:
        cases = json.loads(index.read_text())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"VITRINE_EVIDENCE names no folder of real evidence: {index}: {error}\n")
        return 1
    for case in sorted(cases, key=lambda one: (one["family"], one["id"])):
        expected = " in ".join([word for word in (case["expect"], case["layer"]) if word])
        if any(kind in case["inputs"] for kind in TOKENS):
            table.add_row(case["id"], expected, "not judged: a token of an attestation service", "")
            continue
        verdicts = list(_verdicts(case))
        right = _is_right(case["expect"], [status for status, _ in verdicts])
        wrong += not right
        table.add_row(case["id"], expected, "; ".join(map(_words, verdicts)), "equal" if right else "DIFFERENT")
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
    sys.stdout.write(f"{len(cases)} cases, {wrong} different\n")
    return 1 if wrong else 0


def _verdicts(case: Case) -> Iterator[Verdict]:
    """Judge a case by every stage that it has input for."""
    from tests.client_sdk import test_real_nvidia, test_real_snp, test_real_tdx, test_real_tpm  # they read the folder

    if case["family"] == "tdx":
        yield test_real_tdx.judged(case)
    elif case["family"] == "nvidia-gpu":
        yield test_real_nvidia.judged(case)
    elif case["expect"] == "parse-only":
        test_real_snp.parse_report(test_real_snp.blob(case["inputs"]["report"]))  # raises where it cannot be read
        yield ACCEPTED, {}
    elif case["family"] == "sev-snp":
        stage = test_real_snp.snp.report if "report" in case["inputs"] else test_real_snp.snp.certificate
        yield judge(stage, json.dumps(test_real_snp.request(case)).encode())
    else:
        yield from test_real_tpm.verdicts(case)


def _is_right(expected: str, statuses: list[int]) -> bool:
    if expected == "reject":
        return bool({REFUSED, MALFORMED} & set(statuses))
    return set(statuses) == {ACCEPTED}


def _words(verdict: Verdict) -> str:
    status, said = verdict
    rules = ", ".join(said.get("rules", []))
    return {ACCEPTED: "accepted", REFUSED: f"refused by {rules}", MALFORMED: "malformed"}.get(status, str(status))


if __name__ == "__main__":
    sys.exit(main())
