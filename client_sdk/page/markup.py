"""HTML that cannot be anything else: text is escaped on its way in, and only :class:`Html` goes together.

Nothing in a report becomes markup, a link or a style, and nothing in it stays invisible: characters that have no
picture, or that reorder what stands around them, are spelled out.
"""

from __future__ import annotations

from html import escape
from typing import NewType

from client_sdk.errors import printable
from client_sdk.report import show

Html = NewType("Html", str)

MAX_SHOWN = 2000


def text(value: object, *, whole: str = "the JSON at the end has all of them") -> Html:
    """Return a value as text that means nothing to a browser; a long one is cut, and says so, and where it is whole."""
    shown = show(value)
    rest = "" if len(shown) <= MAX_SHOWN else f" … ({len(shown)} characters; {whole})"
    return Html(escape(shown[:MAX_SHOWN]) + rest)


def tag(element: str, /, *children: Html, **attributes: str) -> Html:
    """Return an element. An attribute's trailing underscore is dropped, the others become hyphens."""
    return Html(f"<{element}{_attributes(attributes)}>{''.join(children)}</{element}>")


def void(element: str, /, **attributes: str) -> Html:
    """Return an element that has no content and no end."""
    return Html(f"<{element}{_attributes(attributes)}>")


def join(*pieces: Html) -> Html:
    """Put pieces one after the other, a line each."""
    return Html("\n".join(piece for piece in pieces if piece))


def value(found: object) -> Html:
    """Return a value of the report in the type that the page keeps for what is not its own word."""
    return tag("code", text(found), class_="value")


NOTHING = Html("")


def _attributes(attributes: dict[str, str]) -> str:
    names = ((name.rstrip("_").replace("_", "-"), printable(found)) for name, found in attributes.items())
    return "".join(f' {name}="{escape(found)}"' for name, found in names)
