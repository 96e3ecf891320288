"""The pages of a log: an overview in, the bytes of each file out. The same log has the same bytes."""

from __future__ import annotations

from client_sdk.page.address import INDEX, Address
from client_sdk.transparency.log.page.index import first_index, index_page, is_long, service_page
from client_sdk.transparency.log.page.overview import Overview
from client_sdk.transparency.log.page.parts import entry_path, service_path, signed_path
from client_sdk.transparency.log.page.single import single_page


def render(overview: Overview, address: Address) -> dict[str, bytes]:
    """Return every file by its path below the log's folder: the pages, and each release as it was signed.

    The first page is last, since it leads to all others.
    """
    pages: dict[str, bytes] = {}
    for shelf in overview.shelves:
        for service in shelf.services:
            for place, fate in enumerate(service.releases):
                pages[signed_path(fate.entry.index)] = fate.entry.data
                pages[entry_path(fate.entry.index)] = single_page(overview, shelf, service, place, address)
            if is_long(service):
                pages[service_path(first_index(service))] = service_page(overview, shelf, service)
    return pages | {INDEX: index_page(overview, address)}
