"""`vitrine log page`: write the pages of a log for people."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from client_sdk.cli.log_edge import (
    files_of,
    log_key,
    own_log_at,
    print_lines,
    publisher,
    read_file,
    require_size,
    witness_keys,
)
from client_sdk.cli.options import UsageError
from client_sdk.cli.printing import progress
from client_sdk.errors import EvidenceError
from client_sdk.manifest import MAX_SIZE
from client_sdk.page.address import INDEX, Address
from client_sdk.transparency.formats.tiles import PUBLIC
from client_sdk.transparency.log.page import Named
from client_sdk.transparency.log.site import Site, write_site
from client_sdk.transparency.log.writer import CONFIG, LogWriter


def page(arguments: argparse.Namespace) -> int:
    """Write the pages.

    Raises:
        UsageError: an option that is missing or cannot be, or a manifest that cannot be read.
        AttestationError: the log cannot be read, is not right, or the pages cannot be written.
    """
    home = Path(arguments.place)
    own = own_log_at(arguments.place, arguments.key, arguments.publisher)
    site = _own(own, arguments) if own else _other(arguments)
    output = arguments.output or home
    manifests = [read_file(path, limit=MAX_SIZE) for path in _manifest_files(arguments.manifest)]
    source = files_of(arguments.place, seconds=arguments.timeout)
    try:
        within = partial(require_size, most=arguments.most)
        done = write_site(source, output, site, manifests=manifests, require_size=within)
    finally:
        source.close()
    for digest in done.strange:
        progress(f"vitrine: no release in the log names the manifest {digest.hex()}: it is left aside")
    told = f"{done.written} files written, {done.removed} removed"
    print_lines(f"{output / PUBLIC / INDEX}: {done.entries} entries; {told}")
    return 0


def _own(log: LogWriter, arguments: argparse.Namespace) -> Site:
    """Return what a log of one's own was set up with."""
    config = log.config
    witnesses = witness_keys(arguments.witness) or tuple(witness.key for witness in config.witnesses)
    named = Named(arguments.name, config.publisher)
    return Site(config.log, (named,), witnesses, _address(arguments.url, config.log.name))


def _other(arguments: argparse.Namespace) -> Site:
    if not (arguments.key and arguments.publisher and arguments.output):
        raise UsageError(
            f"{arguments.place} is no log of your own (no {CONFIG} in it): give --log, --publisher and --output"
        )
    log, named = log_key(arguments.key), Named(arguments.name, publisher(arguments))
    return Site(log, (named,), witness_keys(arguments.witness), _address(arguments.url, log.name))


def _address(url: str | None, origin: str) -> Address:
    try:
        return Address(url or f"https://{origin}")
    except EvidenceError as error:
        where = "--url" if url else f"the log is called {origin}, which is no address"
        raise UsageError(f"{where}: {error}; give --url") from error


def _manifest_files(given: Sequence[Path]) -> Iterator[Path]:
    """Yield files that were named, and those in folders that were."""
    for path in given:
        if not path.is_dir():
            yield path
            continue
        try:
            yield from sorted(path.glob("*.json"))
        except OSError as error:
            raise UsageError(f"--manifest: cannot read {path}: {error.strerror}") from error
