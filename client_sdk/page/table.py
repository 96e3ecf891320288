"""Tables that narrow screens show as lists; their roles keep them tables for whoever does not look at them."""

from __future__ import annotations

from collections.abc import Sequence

from client_sdk.page.markup import NOTHING, Html, tag, text


def table(
    titles: tuple[str, ...], rows: Sequence[tuple[Html, ...]], *, caption: str = "", ids: Sequence[str] = ()
) -> Html:
    """Return a table; the first cell of a row is its heading. ``ids`` are names of rows, to lead to."""
    said = tag("caption", text(caption)) if caption else NOTHING
    columns = (tag("th", text(title), scope="col", role="columnheader") for title in titles)
    head = tag("thead", tag("tr", *columns, role="row"), role="rowgroup")
    body = tag("tbody", *(_row(titles, cells, ids[i] if ids else "") for i, cells in enumerate(rows)))
    return tag("table", said, head, body, role="table")


def _row(titles: tuple[str, ...], cells: tuple[Html, ...], name: str) -> Html:
    first = tag("th", cells[0], scope="row", role="rowheader")
    rest = (tag("td", cell, role="cell", data_label=title) for title, cell in zip(titles[1:], cells[1:], strict=True))
    return tag("tr", first, *rest, role="row", **({"id": name} if name else {}))
