"""Checks: known programs run, each with the rights that it is known to need, and nobody has users of his own."""

from __future__ import annotations

from serving.selfcheck.expect import expect, expect_none
from serving.selfcheck.facts import Facts
from serving.selfcheck.processes import OWN, PROGRAMS, Process


def known_programs_run(facts: Facts) -> None:
    """Require that every process runs a program of the verified root, and one that is on the list or our own."""
    own = _own(facts)
    expect_none([f"{p.program} ({p.pid})" for p in facts.processes if not p.in_root], "programs from elsewhere")
    known = {*PROGRAMS, own.program}
    expect_none([f"{p.program} ({p.pid})" for p in facts.processes if p.program not in known], "unknown programs")


def nobody_has_more_rights(facts: Facts) -> None:
    """Require that no process has a capability beyond what it is known to need, and that all share one set of users."""
    own = _own(facts)
    allowed = {p.pid: OWN if p.pid == own.pid else PROGRAMS.get(p.program, 0) for p in facts.processes}
    expect_none([f"{p.program} ({p.pid})" for p in facts.processes if p.capabilities & ~allowed[p.pid]], "more rights")
    expect(len({p.users for p in facts.processes}) == 1, "there are users of somebody's own")


def _own(facts: Facts) -> Process:
    found = [process for process in facts.processes if process.pid == facts.own]
    expect(len(found) == 1 and len(facts.processes) > 1, "processes are hidden")
    return found[0]
