"""A document that loads nothing and runs nothing: its style is the only thing that its policy lets a browser use."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib import resources

from client_sdk.fields import format_instant
from client_sdk.page.markup import NOTHING, Html, join, tag, text, void

BASE = ("client_sdk.page", "base.css")
Sheet = tuple[str, str]
"""A package, and the name of a style sheet in it."""


def document(title: str, *body: Html, sheets: tuple[Sheet, ...]) -> bytes:
    """Return a whole file. ``sheets`` stand in it after the common one."""
    content = tag("html", _head(title, _style((BASE, *sheets))), tag("body", *body), lang="en")
    return f"{join(Html('<!doctype html>'), content, NOTHING)}\n".encode()


def section(key: str, title: str, *content: Html) -> Html:
    """Return a part of a page, with a heading and a name to lead to."""
    heading = tag("h2", text(title), id=f"{key}-title")
    return tag("section", heading, *content, id=key, aria_labelledby=f"{key}-title", tabindex="-1")


def notice(title: str, body: str) -> Html:
    """Return a warning."""
    return tag("div", tag("p", tag("strong", text(title))), tag("p", text(body)), class_="notice", role="note")


def about(*rows: tuple[str, Html]) -> Html:
    """Return what a page is about: names with values."""
    return tag("dl", *(tag("div", tag("dt", text(name)), tag("dd", found)) for name, found in rows), class_="about")


def moment(when: datetime, *, day: bool = False) -> Html:
    """Return an instant, for people (its day alone, where that is enough) and for programs."""
    written = format_instant(when)
    shown = written[:10] if day else f"{written.replace('T', ' ').removesuffix('Z')} UTC"
    return tag("time", text(shown), datetime=written)


@cache
def _style(sheets: tuple[Sheet, ...]) -> str:
    return "\n".join(resources.files(package).joinpath(name).read_text(encoding="utf-8") for package, name in sheets)


def _head(title: str, style: str) -> Html:
    digest = b64encode(sha256(style.encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=allowed),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        void("meta", name="referrer", content="no-referrer"),
        tag("title", text(title)),
        tag("style", Html(style)),
    )
