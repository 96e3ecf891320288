"""The table of `make test-lockdown`: property, inside check, outside test, its positive control, figures, result.

A test of a property says so: ``@pytest.mark.property("egress_firewall", inside="firewall", control="test_…")``.
``inside`` names a check of the self-check, or says why there is none. ``control`` names the test of the same module
that shows that a leak would be seen; one that does not exist is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from serving.selfcheck.checks import NAMES

ROLES = Path(__file__).resolve().parents[3] / "roles"


@dataclass
class Row:
    """One line of the table."""

    role: str
    inside: str
    test: str
    control: str
    figures: list[str] = field(default_factory=list)
    result: str = "not run"

    @property
    def cells(self) -> tuple[str, ...]:
        return self.role, self.inside, self.test, self.control, ", ".join(self.figures), self.result


_table, _row_of = pytest.StashKey[list[Row]](), pytest.StashKey[Row]()
HEAD = ("property", "inside check", "outside test", "positive control", "sent and seen", "result")


def pytest_configure(config):
    config.stash[_table] = []


def pytest_collection_modifyitems(config, items):
    for item in items:
        if (mark := item.get_closest_marker("property")) is not None:
            config.stash[_table].append(_row(item, mark))


def _row(item, mark):
    (role,), inside, control = mark.args, mark.kwargs["inside"], mark.kwargs["control"]
    if not (ROLES / role).is_dir():
        raise pytest.UsageError(f"{item.nodeid}: there is no role {role}")
    if inside not in NAMES and " " not in inside:
        raise pytest.UsageError(f"{item.nodeid}: the self-check has no check {inside}; give one, or a reason in words")
    if not hasattr(item.module, control):
        raise pytest.UsageError(f"{item.nodeid}: its positive control {control} does not exist")
    row = Row(role, inside, item.name, control)
    item.stash[_row_of] = row
    return row


@pytest.fixture
def figures(request):
    """Note for the table what was sent and seen: ``figures("65,535 SYNs", "1 answered")``."""
    kept = request.node.stash[_row_of].figures
    return lambda *words: kept.extend(words)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if (row := item.stash.get(_row_of, None)) is not None and (report.when == "call" or not report.passed):
        row.result = report.outcome
    return report


def pytest_terminal_summary(terminalreporter, config):
    rows = [row.cells for row in config.stash[_table] if row.result != "not run"]
    if not rows:
        return
    terminalreporter.section("lock-down, as seen from outside")
    for cells in [HEAD, ("---",) * len(HEAD), *sorted(rows)]:
        terminalreporter.write_line("| " + " | ".join(cells) + " |")
