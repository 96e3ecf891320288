"""What the command says about a VM, read from its JSON: a table also shows the rules that held."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.e2e.machine import vitrine


@dataclass(frozen=True, slots=True)
class Verdict:
    """The exit code, and the ids of the checks that failed."""

    status: int
    failed: frozenset[str]
    message: str


def verify(origin, *arguments, seconds=900, **options) -> Verdict:
    """Run `vitrine verify --json`."""
    outcome = vitrine("verify", origin, *arguments, "--json", seconds=seconds, **options)
    report = json.loads(outcome.out)
    failed = frozenset(check["id"] for check in report["checks"] if check["verdict"] != "ok")
    return Verdict(outcome.status, failed, report.get("error", {}).get("message", ""))


def refused(vm, *arguments, **options) -> Verdict:
    """Require a refusal; what failed is the caller's to compare."""
    verdict = verify(vm.origin, *vm.pins, *arguments, **options)
    assert verdict.status == 1, verdict
    assert verdict.failed, verdict
    return verdict
