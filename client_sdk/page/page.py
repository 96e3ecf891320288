"""The page itself: one file, no network, no script. Its style is the only thing that its policy lets a browser load.

(1) The verdict, what it is about, what it proves and what it does not. (2) What failed, and what to do. (3) The chain
of trust as a picture. (4) Each link with its checks. (5) PCRs, facts, what was not run, sources, the report as JSON.

A page proves nothing: whoever writes the file chooses what it says. It is for the eyes of the one who ran the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from client_sdk.errors import AttestationError
from client_sdk.page import tables, words
from client_sdk.page.address import Address
from client_sdk.page.checks import anchor, check_list, expected_and_got, link_section, mark, verdict_of
from client_sdk.page.document import about, document, moment, notice, section
from client_sdk.page.faults import State, advice
from client_sdk.page.links import Finding, elsewhere, findings, place
from client_sdk.page.markup import NOTHING, Html, join, tag, text, value
from client_sdk.page.picture import picture
from client_sdk.report import ACCEPTED, REFUSED, Check, Report

_VERDICT_STATES = {ACCEPTED: State.HOLDS, REFUSED: State.FAILED}
_VERDICT_STYLES = {ACCEPTED: "ok", REFUSED: "bad"}


@dataclass(frozen=True, slots=True)
class Heading:
    """What the caller asked for: the service, the policy, when, and what was judged.

    ``saved`` is a file of ``vitrine verify --save``. ``stored`` is raw evidence: ``origin`` is its file then.
    ``log_page`` is where the pages of the publisher's log are, to lead to the release on them.
    """

    origin: str
    policy: str
    when: datetime
    simulated: bool = False
    saved: bool = False
    stored: bool = False
    log_page: Address | None = None


def render(
    report: Report,
    heading: Heading,
    *,
    machine: Mapping[str, Any] | None = None,
    error: AttestationError | None = None,
) -> bytes:
    """Return the page of a report.

    ``machine`` is the JSON report to embed (the report's own by default). ``error`` is why there is no acceptance.
    """
    found = findings(report)
    return document(
        f"{_title(report)}: {heading.origin} (Vitrine)",
        tag("a", text("Skip to the chain of trust"), href="#chain", class_="skip"),
        _header(report, heading, found),
        tag("main", *_sections(report, found, error, machine or report.as_dict())),
        _footer(),
        sheets=(("client_sdk.page", "style.css"),),
    )


def _title(report: Report) -> str:
    return words.TITLES.get(report.verdict, "Unknown verdict")


def _header(report: Report, heading: Heading, found: tuple[Finding, ...]) -> Html:
    facts = dict(report.facts)
    simulated = heading.simulated or facts.get("simulated") is True
    opted_out = facts.get("opted_out") or ()
    style = _VERDICT_STYLES.get(report.verdict, "idle")
    return tag(
        "header",
        tag("p", text("Vitrine · verification report"), class_="brand"),
        tag("h1", mark(_VERDICT_STATES.get(report.verdict, State.OPEN)), tag("span", text(_title(report)))),
        tag("p", text(words.lead(report, simulated=simulated)), class_="lead"),
        _about(report, heading, facts),
        notice("Simulated platform: this proves nothing about the host.", words.SIMULATED) if simulated else NOTHING,
        notice("The policy goes without this:", "; ".join(opted_out)) if opted_out else NOTHING,
        _about_the_past(heading),
        _meaning(report, found, {**facts, "simulated": simulated}),
        class_=f"verdict {style}",
    )


def _logged(facts: Mapping[str, Any], log_page: Address | None) -> Html:
    """Lead to the release in its log, where both are known: the one thing in a report that is elsewhere."""
    number, manifest = facts.get("release"), facts.get("manifest_sha256")
    if log_page is None or not isinstance(number, int) or not isinstance(manifest, bytes):
        return NOTHING
    return tag("span", text("("), tag("a", text("in its log"), href=log_page.release(number, manifest)), text(")"))


def _about_the_past(heading: Heading) -> Html:
    if heading.stored:
        return notice("Stored evidence: this says nothing about now, and nobody connected.", words.STORED)
    return notice("Saved evidence: this says nothing about now.", words.SAVED) if heading.saved else NOTHING


def _about(report: Report, heading: Heading, facts: Mapping[str, Any]) -> Html:
    failed = sum(not check.passed for check in report.checks)
    made = f"{len(report.checks)} made, " + (
        f"{failed} failed" if failed else "all passed" if report.checks else "none"
    )
    rows = (
        ("evidence in" if heading.stored else "service at", value(heading.origin)),
        ("when", moment(heading.when)),
        ("policy", value(facts.get("policy", heading.policy))),
        ("release", join(_fact(facts, "release", "number "), _logged(facts, heading.log_page))),
        ("service", _fact(facts, "service", "")),
        ("checks", text(made)),
    )
    return about(*rows)


def _fact(facts: Mapping[str, Any], name: str, before: str) -> Html:
    return join(text(before), value(facts[name])) if name in facts else text("not known")


def _meaning(report: Report, found: tuple[Finding, ...], facts: Mapping[str, Any]) -> Html:
    by_key = {item.link.key: item for item in found}
    shown = words.proves(report, facts, by_key)
    hidden = words.proves_not(report, facts, by_key)
    return tag("div", _sentences("This shows", shown), _sentences("This does not show", hidden), class_="meaning")


def _sentences(title: str, sentences: tuple[str, ...]) -> Html:
    if not sentences:
        return NOTHING
    return tag("section", tag("h2", text(title)), tag("ul", *(tag("li", text(sentence)) for sentence in sentences)))


def _sections(
    report: Report, found: tuple[Finding, ...], error: AttestationError | None, machine: Mapping[str, Any]
) -> tuple[Html, ...]:
    rest = elsewhere(report)
    legend = (tag("li", mark(state), text(f" {state.value}")) for state in State)
    intro = "Arrows run from who vouches to what is vouched for: from the keys that were pinned to your connection. "
    intro += "Choose a link to see its checks."
    return (
        _failed(report, error),
        section(
            "chain",
            "Chain of trust",
            tag("p", text(intro)),
            picture(report, found),
            tag("ul", *legend, class_="legend"),
        ),
        section("links", "Every link and its checks", *(link_section(item, report) for item in found)),
        section("elsewhere", "Further checks", check_list(rest, report)) if rest else NOTHING,
        section("pcrs", "What was measured", tables.pcrs(report)),
        section("facts", "What is known", tables.facts(report)),
        section("not-run", "What was not run", tables.not_run(report)),
        section("sources", "What was judged", tables.sources(report)),
        section("machine", "For machines", tables.machine_copy(machine)),
    )


def _failed(report: Report, error: AttestationError | None) -> Html:
    """Return what failed, with what to do; nothing where nothing did."""
    failed = [(number, check) for number, check in enumerate(report.checks, start=1) if not check.passed]
    if not failed and error is None:
        return NOTHING
    items = [_failure(number, check) for number, check in failed] or [_trouble(error)]
    todo = dict.fromkeys(advice(check) for _, check in failed) or (words.advice_on(error),)
    return section(
        "failed",
        "What failed",
        tag("ol", *(tag("li", item) for item in items), class_="failures"),
        tag("h3", text("What to do")),
        tag("ul", *(tag("li", text(sentence)) for sentence in todo), class_="advice"),
    )


def _failure(number: int, check: Check) -> Html:
    link = place(check.id)
    where = NOTHING
    if link:
        where = tag("p", text("In the chain: "), tag("a", text(link.title), href=f"#link-{link.key}"))
    return join(
        tag("p", verdict_of(check), text(" "), anchor(number, check), text(" "), tag("strong", text(check.what))),
        tag("dl", expected_and_got(check)),
        where,
    )


def _trouble(error: AttestationError | None) -> Html:
    return tag("p", mark(State.FAILED), text(" "), tag("strong", text(str(error))))


def _footer() -> Html:
    said = (
        "This page loads nothing and runs nothing. What stands in a typewriter's face was received or computed; the "
        "other words are the client's. The page proves nothing to others: whoever writes a file chooses what it says."
    )
    return tag("footer", tag("p", text(said)))
