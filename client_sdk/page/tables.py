"""What a report knows besides its checks: PCRs, facts, what was not run, sources, and the whole of it as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from client_sdk.accept import COVERS, OPEN_FIRMWARE, OPEN_TABLES
from client_sdk.page.checks import anchor, mark
from client_sdk.page.faults import State
from client_sdk.page.markup import Html, join, tag, text, value
from client_sdk.page.table import table
from client_sdk.report import Check, Report
from client_sdk.sources import WHAT

_ABOUT_PCR = re.compile(r"PCR (\d{1,2})\b")
_LEFT_OPEN = {0: OPEN_FIRMWARE, 1: OPEN_TABLES}
_UNSTATED = {
    0: "one of the release's list",
    1: "not one value: a grammar says what may be in it",
    15: "not one value: a new TLS key is in it after each boot",
}


def pcrs(report: Report) -> Html:
    """Return the table of PCRs: what each covers, what was expected, what was quoted."""
    quoted, about = dict(report.facts).get("pcrs"), _by_pcr(report)
    values, left_open = quoted if isinstance(quoted, Mapping) else {}, dict(report.not_run)
    rows = [_pcr(pcr, values, about.get(pcr, ()), left_open.get(_LEFT_OPEN.get(pcr, ""), "")) for pcr in sorted(COVERS)]
    if not quoted and not any(about.values()):
        return tag("p", text("Verification ended before there were any."))
    return table(("PCR", "covers", "expected", "quoted", "checks"), rows)


def facts(report: Report) -> Html:
    """Return everything that a report says about its subject, but for the PCRs."""
    found = [(name, item) for name, item in report.facts if name != "pcrs"]
    if not found:
        return tag("p", text("Verification ended before there were any."))
    return tag("dl", *(_fact(name, item) for name, item in found), class_="facts")


def not_run(report: Report) -> Html:
    """Return the rules that do not apply, and why."""
    if not report.not_run:
        return tag(
            "p", text("Nothing is listed: every rule was run, or verification ended before it got to the others.")
        )
    return table(("rules", "why they were not run"), [(text(rules), text(why)) for rules, why in report.not_run])


def sources(report: Report) -> Html:
    """Return what was received, with digests."""
    if not report.sources:
        return tag("p", text("Nothing was received."))
    rows = [
        (text(name.replace("_", " ")), text(WHAT.get(name, "")), join(*(tag("div", value(one)) for one in found)))
        for name, found in report.sources
    ]
    ids = [f"source-{number}" for number, _ in enumerate(rows, start=1)]
    return table(("source", "what it is", "SHA-256 of the bytes as received"), rows, ids=ids)


def machine_copy(machine: Mapping[str, Any]) -> Html:
    """Return a report as JSON text, in ASCII: what is escaped there means the same to a reader of JSON."""
    written = json.dumps(machine, indent=1, sort_keys=True, ensure_ascii=True)
    code = tag("code", Html(escape(written)), id="json")
    summary = tag("summary", text("The whole report as JSON, for machines"))
    return tag("details", summary, tag("pre", code, tabindex="0"), class_="machine")


def _by_pcr(report: Report) -> dict[int, tuple[tuple[int, Check], ...]]:
    """Group the checks whose sentence begins with a PCR's number."""
    found: dict[int, tuple[tuple[int, Check], ...]] = {}
    for number, check in enumerate(report.checks, start=1):
        if (match := _ABOUT_PCR.match(check.what)) and check.id.startswith("L"):
            pcr = int(match[1])
            found[pcr] = (*found.get(pcr, ()), (number, check))
    return found


def _pcr(pcr: int, quoted: Mapping[Any, Any], about: tuple[tuple[int, Check], ...], left_open: str) -> tuple[Html, ...]:
    stated = [check for _, check in about if check.id.endswith(f".pcr{pcr}")]
    got = quoted.get(pcr, quoted.get(str(pcr), stated[0].got if stated else ""))
    passed = all(check.passed for _, check in about)
    state = State.FAILED if not passed else State.HOLDS if about and not left_open else State.OPEN
    expected = text(left_open or _UNSTATED.get(pcr, "no release was compared"))
    if stated:
        expected = text("the same value") if stated[0].passed and pcr else value(stated[0].expected)
    links = _apart(anchor(number, check) for number, check in about)
    named = tag("span", mark(state), text(f" {pcr}"))
    return named, text(COVERS[pcr]), expected, value(got) if got else text("not known"), tag("span", *links)


def _apart(items: Iterable[Html]) -> list[Html]:
    found: list[Html] = []
    for item in items:
        found += [text(" "), item] if found else [item]
    return found


def _fact(name: str, item: Any) -> Html:
    many = isinstance(item, (tuple, list)) and item
    shown = tag("ul", *(tag("li", value(one)) for one in item)) if many else value(item)
    return tag("div", tag("dt", text(name.replace("_", " "))), tag("dd", shown))
