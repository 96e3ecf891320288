"""The page of one release: what became of it, what changed, what is in it, what it measures, how to check it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from client_sdk.changes import measured
from client_sdk.manifest import Manifest, Package
from client_sdk.page.address import INDEX, Address
from client_sdk.page.document import about, document, moment, notice, section
from client_sdk.page.markup import NOTHING, Html, join, tag, text
from client_sdk.page.table import table
from client_sdk.release import Measurement
from client_sdk.transparency.formats.merkle import leaf_hash
from client_sdk.transparency.log.page.differences import changes
from client_sdk.transparency.log.page.howto import MANIFESTS, check_release
from client_sdk.transparency.log.page.overview import Fate, Listed, Overview, Service, Shelf, State
from client_sdk.transparency.log.page.parts import (
    BRAND,
    SHEETS,
    as_at,
    copied,
    fate_in_words,
    footer,
    navigation,
    paragraphs,
    said,
    style_of,
)

_SHOWN_PACKAGES = 2000


def single_page(overview: Overview, shelf: Shelf, service: Service, place: int, address: Address) -> bytes:
    """Return the page of the release at this place of the service's list."""
    fate = service.releases[place]
    release = fate.entry.release
    title = f"Release {release.number} of {service.name}"
    return document(
        f"{title} (Vitrine)",
        tag("a", text("Skip to what changed"), href="#changes", class_="skip"),
        _header(overview, shelf, service, place, title),
        tag(
            "main",
            section("changes", "What changed", *changes(fate)),
            section("contents", "What is in it", *_contents(fate.entry)),
            section("measurements", "What it measures", *_measurements(fate.entry)),
            section("check", "Check it yourself", *check_release(overview, shelf, fate, address)),
            section("entry", "In the log", *_entry(overview, fate.entry)),
        ),
        footer(),
        sheets=SHEETS,
    )


def _header(overview: Overview, shelf: Shelf, service: Service, place: int, title: str) -> Html:
    fate = service.releases[place]
    release = fate.entry.release
    return tag(
        "header",
        tag("p", text(BRAND), class_="brand"),
        navigation("Where you are", [(overview.seen.checkpoint.origin, f"../{INDEX}"), *_neighbours(service, place)]),
        tag("h1", text(title)),
        tag("p", tag("strong", text(fate_in_words(fate))), text(f" {as_at(overview)}"), class_="lead"),
        about(
            ("publisher", text(shelf.name)),
            ("in force from", moment(release.not_before)),
            ("in force until", moment(release.not_after)),
            ("supersedes", text("no other" if release.supersedes is None else f"release {release.supersedes}")),
            ("revokes", text(", ".join(f"release {number}" for number in release.revokes) or "no other")),
            ("signed by", said(", ".join(fate.entry.signed_by))),
            ("SHA-256 of its manifest", copied(release.manifest_sha256.hex())),
        ),
        *_notices(fate),
        class_=f"verdict {style_of(fate.state)}",
    )


def _neighbours(service: Service, place: int) -> Iterator[tuple[str, str]]:
    """Yield links to the release before and the one after, with their numbers."""
    if place + 1 < len(service.releases):
        older = service.releases[place + 1].entry
        yield f"← Release {older.release.number}", f"{older.index}.html"
    if place > 0:
        newer = service.releases[place - 1].entry
        yield f"Release {newer.release.number} →", f"{newer.index}.html"


def _notices(fate: Fate) -> Iterator[Html]:
    if fate.state is State.REVOKED:
        what = "Clients refuse a service that runs it, however genuine the machine is."
        yield notice("Revoked: do not use it.", what)
    if fate.entry.is_debug:
        what = "It has a console for developers, or goes without another part of the lock-down. Production refuses it."
        yield notice("Debug image: who runs it can see what is said to it.", what)
    if fate.entry.late:
        what = "A client that knows the publisher's rotations refuses it."
        yield notice("Signed by keys that had been replaced before.", what)


def _contents(entry: Listed) -> tuple[Html, ...]:
    manifest = entry.manifest
    if manifest is None:
        missing = "The manifest of this release was not published here. Whoever has it can tell by its SHA-256, above."
        return (paragraphs(missing),)
    boot = [
        ("kernel", said(manifest.kernel)),
        ("command line", said(manifest.boot.cmdline)),
        ("image, a UKI (Authenticode)", copied(manifest.boot.uki_authenticode.hex())),
        ("root file system (verity root hash)", copied(manifest.root.root_hash.hex())),
        ("model disk (verity root hash)", copied(manifest.model_disk.root_hash.hex())),
        ("API tokens are signed by", said(manifest.token_issuer_key) if manifest.token_issuer_key else text("nobody")),
        ("source commit", copied(manifest.source_commit) if manifest.source_commit else text("not named")),
        ("files of the source", text(f"{len(manifest.files)}, by digest in the manifest")),
    ]
    name = f"{MANIFESTS}/{entry.release.manifest_sha256.hex()}.json"
    return (
        table(("what", "value"), [(text(what), found) for what, found in boot], caption="Boot, keys and source"),
        _models(manifest),
        _packages("Packages of the image", manifest.packages),
        _packages("Python packages of the image", manifest.wheels),
        _packages("Tools that built it", manifest.tools),
        tag("p", text("All of it is in "), tag("a", text("the manifest"), href=f"../{name}"), text(" (JSON).")),
    )


def _models(manifest: Manifest) -> Html:
    rows = [
        (*map(said, (model.name, model.engine, model.repository, model.revision)), text(str(len(model.files))))
        for model in manifest.models
    ]
    return table(("model", "engine", "repository", "revision", "files"), rows, caption="Models")


def _packages(title: str, found: tuple[Package, ...]) -> Html:
    if not found:
        return NOTHING
    rows = [(said(item.name), said(item.version), copied(item.sha256.hex())) for item in found[:_SHOWN_PACKAGES]]
    more = len(found) - len(rows)
    rest = paragraphs(f"And {more} more in the manifest.") if more else NOTHING
    summary = tag("summary", tag("h3", text(title)), tag("span", text(str(len(found)))))
    return tag("details", summary, table(("package", "version", "SHA-256"), rows, caption=title), rest)


def _measurements(entry: Listed) -> tuple[Html, ...]:
    intro = (
        "A machine that runs this image measures exactly this while it boots, on this platform and in this boot mode; "
        "clients compare what its TPM and its CPU sign with these values."
    )
    many = entry.release.measurements
    tables = (_measurement(item, place) for place, item in enumerate(many, start=1))
    return (paragraphs(intro if many else "It names no platform: no machine can pass as this release."), *tables)


def _measurement(item: Measurement, place: int) -> Html:
    name = f"{item.platform}, {item.boot_mode}"
    rows = []
    for found in measured(item):
        shown = copied(found.said) if isinstance(found.value, bytes) or len(found.said) == 64 else said(found.said)
        rows.append((text(": ".join(found.name)), shown))
    heading = tag("h3", text(name), id=f"measurement-{place}")
    return join(heading, table(("what", "value"), rows, caption=f"Measurements on {name}"))


def _entry(overview: Overview, entry: Listed) -> tuple[Html, ...]:
    checkpoint = overview.seen.checkpoint
    rows = [
        (text("place in the log"), text(f"entry {entry.index} of {checkpoint.size}, counted from 0")),
        (text("SHA-256 of the signed file"), copied(sha256(entry.data).hexdigest())),
        (text("hash of its leaf (RFC 6962)"), copied(leaf_hash(entry.data).hex())),
        (text("root of the tree"), copied(checkpoint.root.hex())),
    ]
    return (
        table(("what", "value"), rows, caption="Where the release is in the log"),
        tag("p", tag("a", text("Who watched the log"), href=f"../{INDEX}#witnesses"), text(" is on the first page.")),
    )
