"""Small parts that the pages of a log have in common."""

from __future__ import annotations

from collections.abc import Sequence

from client_sdk.page.document import Sheet
from client_sdk.page.markup import NOTHING, Html, join, tag, text
from client_sdk.transparency.log.page.overview import Fate, Overview, State

SHEETS: tuple[Sheet, ...] = (("client_sdk.transparency.log.page", "log.css"),)
BRAND = "Vitrine · public log of releases"
_STYLES = {
    State.NEWEST: "ok",
    State.OLDER: "idle",
    State.SUPERSEDED: "idle",
    State.EARLY: "idle",
    State.REVOKED: "bad",
    State.ENDED: "bad",
}
_FOOTER = (
    "This page loads nothing and runs nothing. What stands in a typewriter's face is from the log. The page proves "
    "nothing: whoever serves it chooses what it says. What a client trusts are keys that it was given elsewhere, and "
    "proofs that it checks itself."
)


def said(value: object) -> Html:
    """Return what the log says, as text in a typewriter's face; a long one is cut."""
    return tag("code", text(value, whole="its file has all of them"), class_="value")


def copied(value: bytes | str) -> Html:
    """Return a digest or a key, which one click marks whole, to be copied."""
    return tag("code", text(value), class_="value copy")


def entry_path(index: int) -> str:
    """Return where the page of a release lies, by its entry's place in the log: a place never changes."""
    return f"release/{index}.html"


def signed_path(index: int) -> str:
    """Return where the signed file of a release lies."""
    return f"release/{index}.json"


def report_path(index: int) -> str:
    """Return where a verification report of a release lies, if there is one."""
    return f"report/{index}.html"


def service_path(index: int) -> str:
    """Return where a service's whole list lies, by the place of its first release."""
    return f"service/{index}.html"


def style_of(state: State) -> str:
    """Return the style of a state."""
    return _STYLES[state]


def pill(state: State) -> Html:
    """Return a state as a word on a coloured ground."""
    return tag("span", text(state.value), class_=f"pill {_STYLES[state]}")


def fate_in_words(fate: Fate) -> str:
    """Say what became of a release, and what to use in its place."""
    by = f"release {fate.by.release.number}" if fate.by else ""
    use = f" Use release {fate.successor.release.number}." if fate.successor else ""
    return {
        State.NEWEST: "The newest release of this service.",
        State.OLDER: f"A newer one is {by}.",
        State.SUPERSEDED: f"Superseded by {by}." + (use if use != f" Use {by}." else ""),
        State.REVOKED: f"Revoked by its publisher in {by}: clients refuse it." + (use or " None follows it."),
        State.ENDED: f"Its dates are over: clients refuse it.{use}",
        State.EARLY: "Its dates have not begun.",
    }[fate.state]


def navigation(label: str, links: Sequence[tuple[str, str]]) -> Html:
    """Return links in a list, with a name for whoever hears the page."""
    items = (tag("li", tag("a", text(name), href=href)) for name, href in links)
    return tag("nav", tag("ul", *items), aria_label=label)


def bullets(*items: Html) -> Html:
    """Return a list; nothing where there is nothing to list."""
    return tag("ul", *(tag("li", item) for item in items if item)) if any(items) else NOTHING


def footer() -> Html:
    """Return the end of every page."""
    return tag("footer", tag("p", text(_FOOTER)))


def as_at(overview: Overview) -> str:
    """Say which instant the states are of."""
    when = overview.as_at
    if when is None:
        return "No witness of this page says when the log was seen, so dates were compared with no clock."
    return f"States are as at {when:%Y-%m-%d %H:%M} UTC, when the log was last witnessed."


def paragraphs(*sentences: str) -> Html:
    """Return one paragraph for each."""
    return join(*(tag("p", text(sentence)) for sentence in sentences))
