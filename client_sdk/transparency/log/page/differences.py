"""What changed since the release before, as the pages show it: in short, and then each thing with both values."""

from __future__ import annotations

from client_sdk.changes import Change, Section, alarms, contents, statements, words
from client_sdk.page.document import notice
from client_sdk.page.markup import NOTHING, Html, join, tag, text
from client_sdk.page.table import table
from client_sdk.transparency.log.page.overview import Fate, Listed
from client_sdk.transparency.log.page.parts import bullets, paragraphs, said

_SHOWN, _OPEN, _TOLD, _NAMED = 400, 12, 3, 2
_COLUMNS = ("what", "before", "after")


def compared(after: Listed, before: Listed) -> tuple[tuple[Section, ...], str]:
    """Compare two releases; return also a sentence that says what could not be compared, if there is such."""
    stated = statements(before.release, after.release)
    if after.release.manifest_sha256 == before.release.manifest_sha256:
        return stated, ""
    if before.manifest is None or after.manifest is None:
        which = [str(one.release.number) for one in (before, after) if one.manifest is None]
        missing = f"What is in release {' and in release '.join(which)} was not published here"
        return stated, f"{missing}: packages, roles and files were not compared."
    return contents(before.manifest, after.manifest) + stated, ""


def in_short(fate: Fate) -> tuple[Html, ...]:
    """Return what changed in a few words, for a list of releases: what people chose before what follows from it."""
    if fate.before is None:
        return (text("The first release of this service in the log."),)
    sections, missing = compared(fate.entry, fate.before)
    chosen = [found for found in sections if found.key.partition("/")[0] not in {"statement", "boot", "measurement"}]
    if not chosen and not missing:
        follows = [found.title for found in sections if found.key != "statement"]
        return (text("; ".join(follows) or "Nothing in the image: only numbers and dates."),)
    more = len(chosen) - _TOLD
    rest = [text(f"and {more} more kinds of things")] if more > 0 else []
    return (bullets(*(text(_few(found)) for found in chosen[:_TOLD]), *rest, text(missing)),)


def _few(found: Section) -> str:
    if len(found.changes) <= _NAMED and found.key in {"packages", "wheels", "models", "cmdline"}:
        return "; ".join(words(change) for change in found.changes)
    return f"{found.title}: {found.counts}"


def changes(fate: Fate) -> tuple[Html, ...]:
    """Return what changed, for a release's own page."""
    if fate.before is None:
        return (paragraphs("This is the first release of this service in the log: there is nothing to compare with."),)
    number = fate.before.release.number
    sections, missing = compared(fate.entry, fate.before)
    link = tag("a", text(f"release {number}"), href=f"{fate.before.index}.html")
    intro = tag("p", text("Compared with "), link, text(f", entry {fate.before.index} of the log."))
    same = fate.entry.release.manifest_sha256 == fate.before.release.manifest_sha256
    renewed = paragraphs("It is the same image: only what the release says about it differs.") if same else NOTHING
    loud = (notice("Look twice:", alarm) for alarm in alarms(sections))
    short = bullets(*(_short(place, found) for place, found in enumerate(sections, start=1)))
    return (
        join(intro, renewed, *loud, paragraphs(missing) if missing else NOTHING),
        short,
        *(_whole(place, found) for place, found in enumerate(sections, start=1)),
    )


def _short(place: int, found: Section) -> Html:
    told = found.summary if len(found.changes) > _TOLD else "; ".join(words(change) for change in found.changes)
    return tag("span", tag("a", text(found.title), href=f"#change-{place}"), text(f": {told}"))


def _whole(place: int, found: Section) -> Html:
    shown = found.changes[:_SHOWN]
    more = len(found.changes) - len(shown)
    rest = paragraphs(f"And {more} more, which the files of both releases have.") if more else NOTHING
    rows = [_row(change) for change in shown]
    heading = tag("h3", text(found.title), id=f"change-{place}-title")
    summary = tag("summary", heading, tag("span", text(found.summary)))
    opened = {"open": ""} if len(found.changes) <= _OPEN else {}
    return tag("details", summary, table(_COLUMNS, rows, caption=found.about), rest, id=f"change-{place}", **opened)


def _row(change: Change) -> tuple[Html, ...]:
    note = tag("p", text(change.note)) if change.note else NOTHING
    return join(text(change.what), note), _value(change.before), _value(change.after)


def _value(found: str | None) -> Html:
    return tag("span", text("not there"), class_="soft") if found is None else said(found)
