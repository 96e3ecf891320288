"""`vitrine log witness`: for whoever vouches that a log only grows, at a port or by hand."""

from __future__ import annotations

import argparse
import sys

from client_sdk.cli.codes import NO_VERDICT, REFUSED
from client_sdk.cli.log_edge import files_of, log_key, now, read_file, served, write_file
from client_sdk.cli.options import UsageError
from client_sdk.cli.printing import progress
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.transparency.formats.checkpoint import open_checkpoint
from client_sdk.transparency.formats.note import MAX_NOTE, NoteVerifier
from client_sdk.transparency.log.remote import RemoteTree
from client_sdk.transparency.log.store import Store
from client_sdk.transparency.watchers import endpoint
from client_sdk.transparency.watchers.witness import KEY, SERVICE_UNAVAILABLE, RefusedError, Request, Witness, create


def witness(arguments: argparse.Namespace) -> int:
    """Make a witness's key, take checkpoints at a port, or sign one in a file.

    Raises:
        UsageError: options that do not go together, or a folder without a key.
        LogError: its folder cannot be read or written.
    """
    if not (arguments.name or arguments.serve is not None or arguments.checkpoint):
        raise UsageError("give --name to make a key, --serve or --checkpoint to sign")
    store, logs = Store(arguments.state), tuple(map(log_key, arguments.keys))
    signs = arguments.serve is not None or arguments.checkpoint
    if signs and not logs:
        raise UsageError("give the key of a log with --log")
    if not arguments.name and not (arguments.state / KEY).is_file():
        raise UsageError(f"{arguments.state} has no {KEY}: name the witness's folder, or make its key with --name NAME")
    with store.sole():
        if arguments.name:
            try:
                key = create(store, arguments.name)
                progress(f"key {key}, also in {arguments.state / 'witness.pub'}, for logs and clients")
            except EvidenceError as error:
                raise UsageError(f"--name: {error}") from error
        if not signs:
            return 0
        made = Witness(store, logs)
        return _serve(made, arguments.serve) if arguments.serve is not None else _by_hand(made, logs, arguments)


def _serve(made: Witness, port: int) -> int:
    try:
        server = endpoint.server(made, port, now=now, say=progress)
    except OSError as error:
        raise UsageError(f"port {port}: {error.strerror}; choose another") from error
    with server:
        return served(f"http://127.0.0.1:{server.server_port}", server.serve_forever)


def _by_hand(made: Witness, logs: tuple[NoteVerifier, ...], arguments: argparse.Namespace) -> int:
    note = read_file(arguments.checkpoint, limit=MAX_NOTE)
    try:
        line = made.add_checkpoint(_request(made, logs, note, arguments).to_bytes(), now=now())
    except RefusedError as error:
        progress(f"vitrine: refused: the witness does not sign it ({error})")
        return NO_VERDICT if error.status == SERVICE_UNAVAILABLE else REFUSED
    if arguments.output is None:
        sys.stdout.write(line.decode())
        return 0
    write_file(arguments.output, line)
    return 0


def _request(made: Witness, logs: tuple[NoteVerifier, ...], note: bytes, arguments: argparse.Namespace) -> Request:
    """Make what the log would ask; the proof comes from its tiles, which are not believed."""
    for log in logs:
        try:
            shown = open_checkpoint(note, log).checkpoint
        except (EvidenceError, VerificationError):
            continue
        last = made.last(log.name)
        if last.size in (0, shown.size) or last.size > shown.size:
            return Request(last.size, (), note)
        if arguments.place is None:
            raise UsageError(f"{last.size} entries were signed before: give --from, where the log's tiles are")
        source = files_of(arguments.place, seconds=arguments.timeout)
        try:
            return Request(last.size, RemoteTree(source, shown).consistency(last.size), note)
        finally:
            source.close()
    return Request(0, (), note)
