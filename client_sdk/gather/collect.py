"""Get everything that is wanted: from what is kept as long as that is good, else from its vendor.

An answer is asked for again when it is older than its kind may get, or past its own dates. Where a vendor cannot be
reached, an older answer serves that is still inside its own dates. What fails does not keep the rest from being
fetched: all failures are reported together, and the next run starts from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from client_sdk.errors import EvidenceError, FetchError
from client_sdk.fields import format_instant
from client_sdk.gather import folder as folders
from client_sdk.gather.answers import Files, check, names, unpack
from client_sdk.gather.kept import Cache, Kept
from client_sdk.gather.plan import PinnedRoots, follow
from client_sdk.gather.tpm import FOLDER
from client_sdk.gather.wanted import TERMS, Kind, Wanted
from client_sdk.gather.web import Answer, NotFoundError

MAX_WANTED = 512
Say = Callable[[str], object]


class Supplier(StrEnum):
    """Where an answer came from, this time."""

    VENDOR = "vendor"
    CACHE = "cache"
    FOLDER = "folder"
    OPERATOR = "operator"
    OLD = "cache, because its vendor did not answer"


class Asks(Protocol):
    """Who asks vendors: :class:`client_sdk.gather.web.Web`."""

    def ask(self, wanted: Wanted, url: str) -> Answer:
        """Ask for one thing at one of its addresses."""


class Offline:
    """Asks nobody."""

    def ask(self, wanted: Wanted, url: str) -> Answer:
        """Refuse.

        Raises:
            FetchError: always.
        """
        raise FetchError(f"{wanted.kind}: nothing is kept that is still good, and {url} was not asked (offline)")


@dataclass(frozen=True, slots=True)
class Found:
    """One answer to what was wanted."""

    wanted: Wanted
    kept: Kept
    supplier: Supplier


@dataclass(frozen=True, slots=True)
class Collected:
    """What was found, in order, and why the rest was not; ``retry_after`` is the longest that a vendor asked for."""

    found: tuple[Found, ...]
    failures: tuple[str, ...]
    retry_after: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers come from: kept ones in the folder of the last run and in the cache, new ones from vendors."""

    web: Asks
    cache: Cache | None
    folder: Path
    roots: PinnedRoots | None
    now: Callable[[], datetime]
    say: Say


def collect(wanted: tuple[Wanted, ...], sources: Sources) -> Collected:
    """Get what is wanted and what that needs in turn."""
    waiting, seen = list(wanted), {(one.path, one.about) for one in wanted}
    last_run = _last_run(sources.folder)
    found: list[Found] = []
    failures: list[str] = []
    retry_after = 0
    while waiting:
        one = waiting.pop(0)
        try:
            got = _get(one, sources, last_run)
            found.append(got)
            content = next(iter(got.kept.files.values()))
            more = [new for new in follow(one, content, sources.roots) if (new.path, new.about) not in seen]
        except (FetchError, EvidenceError) as error:
            failures.append(f"{one.kind}: {error}")
            retry_after = max(retry_after, getattr(error, "retry_after", None) or 0)
            continue
        if len(seen) + len(more) > MAX_WANTED:
            failures.append(f"more than {MAX_WANTED} things are wanted; give the evidence of fewer machines at a time")
            break
        seen |= {(new.path, new.about) for new in more}
        waiting += more
    return Collected(tuple(found), tuple(failures), retry_after)


def _get(wanted: Wanted, sources: Sources, last_run: tuple[Kept, ...]) -> Found:
    now = sources.now()
    if wanted.given:
        kept = Kept(folders.GIVEN, now, unpack(wanted, {}, wanted.given))
        check(wanted, kept.files)
        return Found(wanted, kept, Supplier.OPERATOR)
    old: Kept | None = None
    for supplier, kept in _candidates(wanted, sources.cache, last_run):
        if (until := _good_until(wanted, kept)) is None or until <= now or kept.fetched_at > now:
            continue
        if now - kept.fetched_at < TERMS[wanted.kind].refresh:
            return Found(wanted, kept, supplier)
        old = old or kept
    try:
        return Found(wanted, _ask(wanted, sources), Supplier.VENDOR)
    except NotFoundError:
        raise
    except FetchError as error:
        if old is None:
            raise
        sources.say(f"kept from {format_instant(old.fetched_at)}, because: {error}")
        return Found(wanted, old, Supplier.OLD)


def _ask(wanted: Wanted, sources: Sources) -> Kept:
    """Try one address after the other; the last one's error is the one to report."""
    failure: FetchError | None = None
    for url in wanted.urls:
        try:
            answer = sources.web.ask(wanted, url)
            kept = Kept(url, sources.now().replace(microsecond=0), unpack(wanted, answer.headers, answer.body))
            contents = check(wanted, kept.files)
        except EvidenceError as error:
            failure = FetchError(f"{url} answered with something else: {error}; report it if that stays so")
        except FetchError as error:
            failure = error
        else:
            if min(one.until for one in contents) <= sources.now():
                raise FetchError(f"{url} answered with what has expired; is this machine's clock right?")
            sources.say(f"fetched {', '.join(kept.files)}")
            _keep(wanted, kept, sources)
            return kept
    raise failure or FetchError(f"{wanted.kind}: there is no address to ask")


def _keep(wanted: Wanted, kept: Kept, sources: Sources) -> None:
    if sources.cache is None:
        return
    try:
        sources.cache.put(wanted, kept)
    except OSError as error:
        sources.say(f"not kept in the cache: {error.strerror}")


def _good_until(wanted: Wanted, kept: Kept) -> datetime | None:
    try:
        return min(one.until for one in check(wanted, kept.files))
    except EvidenceError:
        return None


def _candidates(wanted: Wanted, cache: Cache | None, last_run: tuple[Kept, ...]) -> tuple[tuple[Supplier, Kept], ...]:
    cached = [kept for url in wanted.urls if cache and (kept := cache.get(wanted, url))]
    return (
        *((Supplier.CACHE, kept) for kept in cached),
        *((Supplier.FOLDER, kept) for kept in _of_last_run(wanted, last_run)),
    )


def _of_last_run(wanted: Wanted, last_run: tuple[Kept, ...]) -> list[Kept]:
    if wanted.kind is Kind.ISSUER:
        return [kept for kept in last_run if kept.url in wanted.urls and next(iter(kept.files)).startswith(FOLDER)]
    files: Files = {}
    for kept in last_run:
        files |= {path: data for path, data in kept.files.items() if path in names(wanted) and kept.url in wanted.urls}
    first = next((kept for kept in last_run if wanted.path in kept.files), None)
    return [Kept(first.url, first.fetched_at, files)] if first and files else []


def _last_run(folder: Path) -> tuple[Kept, ...]:
    """Return the files of the folder that is there; one that cannot be read is none."""
    folders.recover(folder)
    try:
        index = folders.read_index(folder)
        return tuple(
            Kept(row.source, index.gathered_at, {row.path: folders.read_file(folder, row)}) for row in index.rows
        )
    except (OSError, EvidenceError):
        return ()
