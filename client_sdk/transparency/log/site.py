"""A log's pages beside its files: read what the log shows, sort it, write pages; a reader never sees half of one.

(1) The log is read as any reader of it does: nothing is shown that is not proven to be in it (R2, R2.tile).
(2) Manifests are put beside it by digest, those alone that a release in the log names.
(3) Each page is there whole or not at all, and the first page is written last: it leads to nothing that is not there.
(4) Pages of an earlier run to which nothing leads any more are removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from client_sdk.errors import LogStorageError
from client_sdk.manifest import MAX_SIZE, digest
from client_sdk.page.address import Address
from client_sdk.transparency.formats.note import NoteVerifier
from client_sdk.transparency.formats.tiles import PUBLIC
from client_sdk.transparency.log.page import Named, render, survey
from client_sdk.transparency.log.page.howto import MANIFESTS
from client_sdk.transparency.log.remote import RemoteTree, Source, read_checkpoint
from client_sdk.transparency.log.store import Store

MAX_PAGE = 256 * 1024 * 1024
REPORTS = "report"
"""Reports of ``vitrine verify --html`` lie there, named by the place of the release's entry; pages lead to them."""
_REPORT = re.compile(r"(0|[1-9][0-9]{0,17})\.html")
_OURS = {"release": re.compile(r"[0-9]+\.(html|json)"), "service": re.compile(r"[0-9]+\.html")}


@dataclass(frozen=True, slots=True)
class Site:
    """Which log is shown, and whose releases are looked for in it."""

    log: NoteVerifier
    publishers: tuple[Named, ...]
    witnesses: tuple[NoteVerifier, ...]
    address: Address


@dataclass(frozen=True, slots=True)
class Written:
    """How many entries the log has, how many files were written and removed, and which manifests no release names."""

    entries: int
    written: int
    removed: int
    strange: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Manifests:
    """Manifests by digest: those that were given, and those that lie beside the log already."""

    store: Store
    given: dict[bytes, bytes]
    used: set[bytes] = field(default_factory=set)

    def find(self, named: bytes) -> bytes | None:
        """Return a manifest's file."""
        self.used.add(named)
        return self.given.get(named) or self.store.read(_manifest_path(named), limit=MAX_SIZE)


def _any(_size: int) -> None:
    """Read a log of whatever size."""


def write_site(
    source: Source,
    home: Path,
    site: Site,
    *,
    manifests: Iterable[bytes] = (),
    require_size: Callable[[int], object] = _any,
) -> Written:
    """Write the pages of a log into ``home/public``; ``require_size`` raises where it says that it is too large.

    Raises:
        FetchError, EvidenceError, VerificationError: as reading the log does.
        LogBusyError: another run writes there.
        LogStorageError, LogDamagedError: a file cannot be written; the pages that were there are still there.
    """
    store = Store(home)
    with store.sole():
        shown = read_checkpoint(source, site.log, site.witnesses)  # (1)
        require_size(shown.checkpoint.size)
        tree = RemoteTree(source, shown.checkpoint)
        known = _Manifests(store, {digest(data): data for data in manifests})
        entries = (entry for _, entry in tree.entries(0, tree.size))
        overview = survey(
            shown, entries, site.publishers, log=site.log, witnesses=site.witnesses, manifest_of=known.find
        )
        overview = replace(overview, reports=_reports(home))
        named = [data for sha256, data in known.given.items() if sha256 in known.used]
        for data in named:
            store.add(_manifest_path(digest(data)), data)  # (2)
        pages = render(overview, site.address)
        written = sum(_put(store, f"{PUBLIC}/{path}", data) for path, data in pages.items())  # (3)
        removed = _remove(store, home, pages)  # (4)
    strange = tuple(sha256 for sha256 in known.given if sha256 not in known.used)
    return Written(tree.size, written, removed, strange)


def _manifest_path(sha256: bytes) -> str:
    return f"{PUBLIC}/{MANIFESTS}/{sha256.hex()}.json"


def _reports(home: Path) -> frozenset[int]:
    """Return the entries that somebody put a verification report for beside the log."""
    found = _files(home / PUBLIC / REPORTS, _REPORT)
    return frozenset(int(path.partition("/")[2].partition(".")[0]) for path in found)


def _put(store: Store, path: str, data: bytes) -> int:
    """Write a file unless it is there already; return how many were written."""
    if store.read(path, limit=MAX_PAGE) == data:
        return 0
    store.put(path, data)
    return 1


def _remove(store: Store, home: Path, pages: dict[str, bytes]) -> int:
    found = [path for folder, name in _OURS.items() for path in _files(home / PUBLIC / folder, name)]
    stale: Sequence[str] = [path for path in found if path not in pages]
    for path in stale:
        store.remove(f"{PUBLIC}/{path}")
    return len(stale)


def _files(folder: Path, name: re.Pattern[str]) -> list[str]:
    try:
        return sorted(f"{folder.name}/{one.name}" for one in folder.iterdir() if name.fullmatch(one.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LogStorageError(f"cannot read {folder}: {error.strerror}") from error
