"""`vitrine log init`, `append`, `serve` and `bundle`: for whoever keeps a log."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from client_sdk.cli.log_edge import (
    files_of,
    log_key,
    now,
    own_log,
    own_log_at,
    print_lines,
    publisher,
    read_file,
    require_size,
    served,
    witness_keys,
    write_file,
)
from client_sdk.cli.options import UsageError
from client_sdk.cli.printing import print_json, progress
from client_sdk.errors import AttestationError, EvidenceError, VerificationError
from client_sdk.release import read_release
from client_sdk.transparency.formats.note import NoteSigner, Signature
from client_sdk.transparency.formats.tiles import PUBLIC
from client_sdk.transparency.log import serving
from client_sdk.transparency.log.bundling import contents_of, make_bundle
from client_sdk.transparency.log.config import Config, Cosigner
from client_sdk.transparency.log.remote import RemoteTree, read_checkpoint
from client_sdk.transparency.log.tree import Tiles
from client_sdk.transparency.log.web import Web
from client_sdk.transparency.log.writer import CONFIG, KEY, Appended, LogWriter, create
from client_sdk.transparency.watchers.submit import MAX_ANSWER, Asking, taken


def init(arguments: argparse.Namespace) -> int:
    """Make a log.

    Raises:
        UsageError: an option that cannot be.
        LogError: it cannot be written, or there is one.
    """
    witnesses = tuple(_witness(given) for given in arguments.witness)
    quorum = len(witnesses) if arguments.quorum is None else arguments.quorum
    pinned = publisher(arguments)
    try:
        signer = NoteSigner.generate(_named(arguments.origin))
        made = create(arguments.log, lambda key: Config(key.verifier, pinned, witnesses, quorum), signer)
    except EvidenceError as error:
        raise UsageError(str(error)) from error
    if made.log != signer.verifier:
        progress(f"vitrine: {arguments.log / KEY} is of an init that was interrupted: the log is made with it")
    print_lines(
        f"log      {made.log.name}",
        f"key      {made.log}",
        f"         in {arguments.log / 'log.pub'}, for your clients; {arguments.log / KEY} is private",
        f"witness  {_watched(quorum, len(witnesses))}",
        f"host     {arguments.log / PUBLIC}",
    )
    return 0


def append(arguments: argparse.Namespace) -> int:
    """Add entries, or have what is shown signed anew.

    Raises:
        UsageError: there is no log, a file that cannot be read, or files together with ``--export``.
        AttestationError: as ``LogWriter.append`` does.
    """
    log = own_log(arguments.log)
    if arguments.export:
        if arguments.files:
            raise UsageError("--export writes the checkpoint that waits: append the files first, then export alone")
        return _export(log, arguments.export)
    answers = {path: read_file(path, limit=MAX_ANSWER) for path in arguments.cosignatures}
    asking = Asking(log.config.witnesses, now, progress, arguments.timeout)

    def cosign(note: bytes, tiles: Tiles) -> tuple[Signature, ...]:
        return (*_brought(answers, note, log.config), *asking(note, tiles))

    entries = [read_file(path) for path in arguments.files]
    try:
        done = log.append(entries, cosign) if entries else Appended(log.renew(cosign), ())
    except EvidenceError as error:
        what = "expected releases or rotations, as they were signed"
        raise UsageError(f"{', '.join(map(str, arguments.files))}: {what}: {error}; none of them was added") from error
    if arguments.json:
        print_json({"size": done.size, "places": list(done.places)})
        return 0
    told = [f"{path}: entry {place}" for path, place in zip(arguments.files, done.places, strict=True)]
    print_lines(*told, f"{log.config.log.name} has {done.size} entries")
    return 0


def serve(arguments: argparse.Namespace) -> int:
    """Serve the files.

    Raises:
        UsageError: there is no log, or the port is taken.
        LogError: it cannot be read.
    """
    log = own_log(arguments.log)
    try:
        server = serving.server(log.public, arguments.port)
    except OSError as error:
        raise UsageError(f"port {arguments.port}: {error.strerror}; choose another with --port") from error
    with server:
        return served(f"http://127.0.0.1:{server.server_port}", server.serve_forever)


def bundle(arguments: argparse.Namespace) -> int:
    """Write the bundle of a release.

    Raises:
        UsageError: a file that cannot be read or written or is no release, or an option that is missing.
        AttestationError: the log has no such release, or cannot be read.
    """
    release = read_file(arguments.release)
    own = own_log_at(arguments.place, arguments.key, arguments.publisher)
    if own is None and not (arguments.key and arguments.publisher):
        raise UsageError(f"{arguments.place} is no log of your own (no {CONFIG} in it): give --log and --publisher")
    source = files_of(arguments.place, seconds=arguments.timeout)
    try:
        _require_release(arguments.release, release)
        shown = read_checkpoint(source, own.config.log if own else log_key(arguments.key))
        require_size(shown.checkpoint.size, arguments.most)
        tree = RemoteTree(source, shown.checkpoint)
        contents = own.contents() if own else contents_of(tree, publisher(arguments))
        since = sorted({size for size in arguments.since if size < tree.size}) or None
        made = make_bundle(release, shown, tree, contents.rotations, since=since).to_json()
    finally:
        source.close()
    write_file(arguments.output, made)
    print_lines(f"{arguments.output}: {len(made)} bytes, of a log of {tree.size} entries")
    return 0


def _require_release(path: Path, data: bytes) -> None:
    """Refuse what no log has as a release, whoever signed it: a client is given nothing else in a bundle."""
    try:
        read_release(data)
    except (EvidenceError, VerificationError) as error:
        raise UsageError(f"{path}: expected a release, as it was appended: {error}") from error


def _named(origin: str) -> str:
    """Return a log's name, which becomes part of its key for good."""
    if "://" in origin or origin != origin.strip("/"):
        what = "expected where the log will be, without https:// and without a slash at its ends"
        raise UsageError(f"--origin: {what}, such as log.example/releases, got {origin!r}")
    return origin


def _watched(quorum: int, witnesses: int) -> str:
    """Say who has to sign; a log gains no witness later, so whoever made one without should know now."""
    if not witnesses:
        return "none, now or later: make it anew with --witness if somebody is to sign that it only grows"
    return f"{quorum} of {witnesses} must sign before anything is shown"


def _export(log: LogWriter, path: Path) -> int:
    write_file(path, log.waiting())
    print_lines(f"{path}: the checkpoint to sign")
    return 0


def _brought(answers: Mapping[Path, bytes], note: bytes, config: Config) -> tuple[Signature, ...]:
    """Return the cosignatures in files: each must be of one of the witnesses."""
    found = []
    for path, answer in answers.items():
        errors = []
        for witness in config.witnesses:
            try:
                found.append(taken(answer, note, witness.key, now=now(), past=now()))
                break
            except AttestationError as error:
                errors.append(error)
        else:
            why = errors[0] if errors else "the log has no witness"
            raise UsageError(f"--cosignatures: {path}: no witness of the log signed this checkpoint there: {why}")
    return tuple(found)


def _witness(given: str) -> Cosigner:
    key, _, url = given.partition(",")
    (verifier,) = witness_keys((key,))
    if url:
        try:
            Web(url)
        except EvidenceError as error:
            raise UsageError(f"--witness: {error}") from error
    return Cosigner(verifier, url)
