"""Checks as the page shows them: one line each, which opens to all of it."""

from __future__ import annotations

from client_sdk.page.faults import BROKEN, State, fault
from client_sdk.page.links import Finding
from client_sdk.page.markup import NOTHING, Html, join, tag, text, value
from client_sdk.report import Check, Report

_MARKS = {
    State.HOLDS: "✓",
    State.FAILED: "✕",
    State.UNWANTED: "≠",
    State.STALE: "?",
    State.ABSENT: "-",
    State.OPEN: "…",
}
_STYLES = {State.HOLDS: "ok", **dict.fromkeys(BROKEN, "bad"), State.ABSENT: "idle", State.OPEN: "idle"}
SHOWN_DIGESTS = 4


def mark(state: State) -> Html:
    """Return the sign of a state, with its word for whoever cannot see it."""
    return tag("span", text(_MARKS[state]), class_=f"mark {_STYLES[state]}", role="img", aria_label=state.value)


def verdict_of(check: Check) -> Html:
    """Return the sign of a check."""
    return mark(State.HOLDS if check.passed else fault(check.id).state)


def link_section(item: Finding, report: Report) -> Html:
    """Return the section that a link of the picture leads to."""
    return tag(
        "section",
        tag("h3", mark(item.state), text(" "), text(item.link.title), id=f"heading-{item.link.key}"),
        tag("p", text(item.link.means)),
        tag("p", text(_summary(item)), class_=f"state {_STYLES[item.state]}"),
        check_list(item.checks, report),
        id=f"link-{item.link.key}",
        class_="link",
        aria_labelledby=f"heading-{item.link.key}",
        tabindex="-1",
    )


def check_list(checks: tuple[tuple[int, Check], ...], report: Report) -> Html:
    """Return checks one under the other."""
    if not checks:
        return NOTHING
    return tag("ul", *(tag("li", _check(number, check, report)) for number, check in checks), class_="checks")


def expected_and_got(check: Check) -> Html:
    """Return both values of a check as terms of a list."""
    return join(
        tag("dt", text("expected")),
        tag("dd", value(check.expected)),
        tag("dt", text("got")),
        tag("dd", value(check.got)),
    )


def anchor(number: int, check: Check) -> Html:
    """Return a link to a check, by its id."""
    return tag("a", text(check.id), href=f"#check-{number}")


def _check(number: int, check: Check, report: Report) -> Html:
    summary = tag(
        "summary", verdict_of(check), tag("code", text(check.id), class_="rule"), tag("span", text(check.what))
    )
    body = tag(
        "dl",
        expected_and_got(check),
        tag("dt", text("about")),
        tag("dd", _source(check, report)),
    )
    opened = {} if check.passed else {"open": ""}
    return tag("details", summary, body, id=f"check-{number}", **opened)


def _source(check: Check, report: Report) -> Html:
    name = report.source(check)
    for number, (other, digests) in enumerate(report.sources, start=1):
        if other == name:
            shown = (tag("div", value(digest)) for digest in digests[:SHOWN_DIGESTS])
            rest = len(digests) - SHOWN_DIGESTS
            more = tag("div", text(f"and {rest} more")) if rest > 0 else NOTHING
            named = tag("a", text(name.replace("_", " ")), href=f"#source-{number}")
            return join(tag("div", named, text(", SHA-256:")), *shown, more)
    return text("nothing that was received as bytes")


def _checks(count: int) -> str:
    return "1 check" if count == 1 else f"{count} checks"


def _summary(item: Finding) -> str:
    count, failed = len(item.checks), sum(not check.passed for _, check in item.checks)
    if item.state is State.HOLDS:
        return (
            f"Holds: {_checks(count)}, all passed."
            if count
            else "Holds: without it the next link could not be checked."
        )
    if item.state in BROKEN:
        return f"{item.state.value.capitalize()}: {_checks(count)}, {failed} failed."
    done = f" Until then: {_checks(count)}, all passed." if count else ""
    return f"{item.state.value.capitalize()}: {item.why}.{done}"
