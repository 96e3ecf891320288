"""The first page of a log: its publishers and their services, who watches it, and how to check it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from client_sdk.dsse import key_id
from client_sdk.page.address import INDEX, Address, row_id
from client_sdk.page.document import about, document, moment, notice, section
from client_sdk.page.markup import NOTHING, Html, join, tag, text
from client_sdk.page.table import table
from client_sdk.rotation import KeySet
from client_sdk.transparency.log.page.differences import in_short
from client_sdk.transparency.log.page.howto import check_log
from client_sdk.transparency.log.page.overview import Fate, Overview, Service, Shelf, Witnessed
from client_sdk.transparency.log.page.parts import (
    BRAND,
    SHEETS,
    as_at,
    copied,
    entry_path,
    fate_in_words,
    footer,
    navigation,
    paragraphs,
    pill,
    said,
    service_path,
)

SHOWN_RELEASES = 20
_COLUMNS = ("release", "state", "in force", "what changed", "entry")
_LEAD = (
    "Everything that these publishers ever released is in this log. Nothing can be taken out of it or changed in it "
    "unseen by those who watch it, and a client that pins the log takes no release that is not in it."
)


def index_page(overview: Overview, address: Address) -> bytes:
    """Return the first page."""
    origin = overview.seen.checkpoint.origin
    parts = _parts(overview, address)
    return document(
        f"{origin}: public log of releases (Vitrine)",
        tag("a", text("Skip to the releases"), href=f"#{parts[0][0]}", class_="skip"),
        _header(overview, [(title, f"#{key}") for key, title, _ in parts]),
        tag("main", *(section(key, title, *content) for key, title, content in parts)),
        footer(),
        sheets=SHEETS,
    )


def service_page(overview: Overview, shelf: Shelf, service: Service) -> bytes:
    """Return the page with all releases of a service."""
    title = f"All releases of {service.name}"
    head = tag(
        "header",
        tag("p", text(BRAND), class_="brand"),
        navigation("Where you are", [(overview.seen.checkpoint.origin, f"../{INDEX}")]),
        tag("h1", text(title)),
        tag("p", text(f"By {shelf.name}. {as_at(overview)}"), class_="lead"),
        class_="verdict idle",
    )
    rows = section("releases", "Releases", _releases(shelf, service, service.releases, up="../", known=set()))
    return document(f"{title} (Vitrine)", head, tag("main", rows), footer(), sheets=SHEETS)


def is_long(service: Service) -> bool:
    """Tell whether a service has more releases than the first page shows."""
    return len(service.releases) > SHOWN_RELEASES


def first_index(service: Service) -> int:
    """Return the place of the service's first release in the log."""
    return min(fate.entry.index for fate in service.releases)


def _header(overview: Overview, links: Sequence[tuple[str, str]]) -> Html:
    checkpoint = overview.seen.checkpoint
    releases = sum(len(service.releases) for shelf in overview.shelves for service in shelf.services)
    signed = sum(witness.at is not None for witness in overview.witnesses)
    when = overview.as_at
    return tag(
        "header",
        tag("p", text(BRAND), class_="brand"),
        tag("h1", text(checkpoint.origin)),
        tag("p", text(_LEAD), class_="lead"),
        about(
            ("entries", text(str(checkpoint.size))),
            ("of them releases", text(str(releases))),
            ("last witnessed", moment(when) if when else text("no witness signed")),
            ("witnesses", text(f"{signed} of {len(overview.witnesses)} signed")),
            ("root of the tree", copied(checkpoint.root.hex())),
            ("the log's key", copied(str(overview.log))),
        ),
        *(notice("This should not be:", fault) for fault in _faults(overview)),
        navigation("On this page", links),
        class_="verdict idle",
    )


def _faults(overview: Overview) -> Iterator[str]:
    for shelf in overview.shelves:
        for service in shelf.services:
            yield from (f"{service.name}: {fault}" for fault in service.faults)


def _parts(overview: Overview, address: Address) -> list[tuple[str, str, Sequence[Html]]]:
    known: set[str] = set()
    parts: list[tuple[str, str, Sequence[Html]]] = [
        (f"shelf-{number}", f"Releases of {shelf.name}", _shelf(overview, shelf, number, known))
        for number, shelf in enumerate(overview.shelves, start=1)
    ]
    parts.append(("keys", "Publishers' keys", [_keys(shelf) for shelf in overview.shelves]))
    parts.append(("witnesses", "Who watched", _watched(overview)))
    parts.append(("check", "Check it yourself", check_log(overview, address)))
    if overview.others:
        parts.append(("others", "Other entries", _others(overview)))
    return parts


def _shelf(overview: Overview, shelf: Shelf, number: int, known: set[str]) -> list[Html]:
    if not shelf.services:
        return [tag("p", text("There is no release of this publisher in the log yet."))]
    found = [tag("p", text(as_at(overview)))]
    for place, service in enumerate(shelf.services, start=1):
        rows = _releases(shelf, service, service.releases[:SHOWN_RELEASES], up="", known=known)
        more = NOTHING
        if is_long(service):
            words = text(f"All {len(service.releases)} releases of {service.name}")
            more = tag("p", tag("a", words, href=service_path(first_index(service))))
        name = f"service-{number}-{place}"
        heading = tag("h3", text(service.name), id=name)
        found.append(tag("section", heading, rows, more, aria_labelledby=name, class_="service"))
    return found


def _releases(shelf: Shelf, service: Service, fates: Sequence[Fate], *, up: str, known: set[str]) -> Html:
    caption = f"Releases of {service.name} by {shelf.name}, newest first"
    ids = []
    for fate in fates:
        name = row_id(fate.entry.release.number, fate.entry.release.manifest_sha256)
        ids.append("" if name in known else name)
        known.add(name)
    return table(_COLUMNS, [_row(fate, up) for fate in fates], caption=caption, ids=ids)


def _row(fate: Fate, up: str) -> tuple[Html, ...]:
    release = fate.entry.release
    debug = tag("span", text("debug image"), class_="pill bad") if fate.entry.is_debug else NOTHING
    return (
        tag("a", text(f"Release {release.number}"), href=f"{up}{entry_path(fate.entry.index)}"),
        join(pill(fate.state), debug, text(f" {fate_in_words(fate)}")),
        join(moment(release.not_before, day=True), text(" to "), moment(release.not_after, day=True)),
        join(*in_short(fate)),
        text(str(fate.entry.index)),
    )


def _keys(shelf: Shelf) -> Html:
    now = KeySet.of(shelf.keys)
    ids = ", ".join(key_id(key) for key in shelf.keys.public_keys)
    sentence = f"{shelf.name}: {now.threshold} of {len(now.keys)} keys must sign a release: {ids}."
    if not shelf.rotations:
        return paragraphs(sentence, "The keys were never replaced in this log.")
    rows = [
        (
            text(f"Set {found.rotation.number}"),
            text(f"{found.rotation.following.threshold} of {len(found.rotation.following.keys)}"),
            tag("ul", *(tag("li", said(name)) for name in found.rotation.following.names)),
            copied(found.rotation.following.digest.hex()),
            text(str(found.index)),
        )
        for found in shelf.rotations
    ]
    caption = f"Key rotations of {shelf.name}, newest first; the set that one replaces and the new one sign it"
    columns = ("set of keys", "must sign", "keys", "SHA-256 of the set", "entry")
    return join(paragraphs(sentence), table(columns, rows, caption=caption))


def _watched(overview: Overview) -> list[Html]:
    intro = (
        "A witness signs a checkpoint only if the log grew from the one that it signed before. As long as one of "
        "them is honest, nobody is shown another log. Which witnesses count is for each client to choose."
    )
    found = [paragraphs(intro)]
    if overview.witnesses:
        rows = [_witness(witness) for witness in overview.witnesses]
        caption = f"Witnesses of the checkpoint of {overview.seen.checkpoint.size} entries"
        found.append(table(("witness", "signed", "key"), rows, caption=caption))
    else:
        found.append(paragraphs("This page was given no witness's key: nobody but the log itself vouches for it."))
    if overview.strangers:
        names = ", ".join(overview.strangers)
        found.append(paragraphs(f"Signed as well, by keys that this page was not given, so not checked: {names}."))
    return found


def _witness(witness: Witnessed) -> tuple[Html, ...]:
    when = moment(witness.at) if witness.at else tag("span", text("not signed"), class_="pill bad")
    return text(witness.key.name), when, copied(str(witness.key))


def _others(overview: Overview) -> list[Html]:
    shown = overview.others[::-1]
    rows = [(text(str(other.index)), text(other.what), copied(other.sha256.hex())) for other in shown]
    more = overview.others_count - len(shown)
    rest = paragraphs(f"And {more} before these.") if more else NOTHING
    caption = "Entries that belong to no publisher of this page, newest first"
    return [table(("entry", "what it is", "SHA-256"), rows, caption=caption), rest]
