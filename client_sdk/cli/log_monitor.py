"""`vitrine log monitor`: for whoever watches somebody else's log, and holds it to what it showed before."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from typing import Any

from client_sdk.cli.codes import REFUSED
from client_sdk.cli.log_edge import files_of, log_key, now, publisher, tell, witness_keys
from client_sdk.cli.options import UsageError
from client_sdk.cli.printing import print_json, progress
from client_sdk.errors import EvidenceError, FetchError, VerificationError
from client_sdk.release import Release
from client_sdk.rotation import Rotation
from client_sdk.transparency.log.contents import MAX_STATE, same
from client_sdk.transparency.log.store import Store
from client_sdk.transparency.watchers.monitor import Monitor, MonitorState, Told, Watched

STATE = "state.json"


def monitor(arguments: argparse.Namespace) -> int:
    """Tell what is new in a log, once or again and again.

    Raises:
        UsageError: an option that cannot be.
        FetchError: it cannot be read, and there is no further look.
        EvidenceError, VerificationError: it is not the log that it was.
        LogError: the state cannot be read or written.
    """
    log, witnesses = log_key(arguments.key), witness_keys(arguments.witness)
    watched = Watched(log, publisher(arguments), witnesses, arguments.max_age)
    if arguments.max_age is not None and not witnesses:
        raise UsageError("--max-age is about witnesses' signatures: name at least one with --witness")
    store, source = Store(arguments.state), files_of(arguments.place, seconds=arguments.timeout)
    with closing(source), store.sole():
        state = _state(store, watched)
        if state is not None and not same(state.contents.first, watched.publisher):
            raise UsageError(
                f"{store.home / STATE} is about other keys than --publisher: give another --state for them"
            )
        watching = Monitor(source, watched, state)
        if watching.state is None:
            progress("nothing was seen of this log before: from now on it is held to what it shows")
        while True:
            code = _look(watching, store, arguments, watched)
            if not arguments.interval:
                return code
            time.sleep(arguments.interval)


def _look(watching: Monitor, store: Store, arguments: argparse.Namespace, watched: Watched) -> int:
    """Look once and keep what was seen; return 1 where an entry is not in order."""
    code = 0
    before = watching.state
    try:
        for told in watching.look(now=now(), recheck=arguments.recheck):
            tell(arguments, *_described(told))
            code = REFUSED if told.alarm else code  # and it goes on: the others are told as well
    except FetchError as error:
        if not arguments.interval:
            raise
        progress(f"no verdict now: {error}")
    except (EvidenceError, VerificationError) as error:
        _alarm(watching, store, arguments, error)
        raise
    finally:
        if watching.state is not None and watching.state is not before:
            store.put(STATE, watching.state.to_json(watched.log))
    return code


def _alarm(
    watching: Monitor, store: Store, arguments: argparse.Namespace, error: EvidenceError | VerificationError
) -> None:
    """Say it loudly, and keep both checkpoints: with the log's signatures on them they convince anybody."""
    kept = []
    for name, note in (("seen", watching.seen), ("shown", watching.shown)):
        if note:
            store.put(f"alarm/{name}", note)
            kept.append(str(store.home / "alarm" / name))
    rule = error.rule if isinstance(error, VerificationError) else "F3"
    if arguments.json:
        print_json({"event": "alarm", "rule": rule, "message": str(error), "kept": kept})
    progress(f"ALARM [{rule}]: this is not the log that it should be. Kept as proof: {' and '.join(kept) or 'nothing'}")


def _state(store: Store, watched: Watched) -> MonitorState | None:
    found = store.read(STATE, limit=2 * MAX_STATE)
    if found is None:
        return None
    try:
        return MonitorState.from_json(found, watched.log)
    except EvidenceError as error:
        raise UsageError(f"{store.home / STATE}: {error}; another program's file, or a disk that failed") from error


def _described(told: Told) -> tuple[dict[str, Any], str]:
    """Return an event as data and in words."""
    found: dict[str, Any] = {"event": "other", "index": told.index}
    if told.alarm is not None:
        found |= {"event": "alarm", "rule": told.alarm.rule, "message": str(told.alarm)}
        return found, f"ALARM: entry {told.index}: {told.alarm}"
    if told.again:
        text = f"entry {told.index}: once more what is there already: {told.again}"
        return found | {"event": "again", "message": told.again}, text
    if told.entry is None:
        return found, f"entry {told.index}: not this publisher's"
    said, found["sha256"] = told.entry.said, told.entry.sha256.hex()
    if isinstance(said, Rotation):
        found |= {"event": "rotation", "number": said.number, "keys": list(said.following.names)}
        text = f"keys' set number {said.number}: {said.following.threshold} of {', '.join(said.following.names)}"
        return found | {"threshold": said.following.threshold}, f"entry {told.index}: {text}"
    return found | _release(said), f"entry {told.index}: {_in_words(said)}, file {found['sha256']}"


def _release(said: Release) -> dict[str, Any]:
    return {
        "event": "release",
        "service": said.service,
        "number": said.number,
        "supersedes": said.supersedes,
        "revokes": list(said.revokes),
        "manifest_sha256": said.manifest_sha256.hex(),
    }


def _in_words(said: Release) -> str:
    revokes = f", revokes {', '.join(map(str, said.revokes))}" if said.revokes else ""
    return f"release {said.number} of {said.service}{revokes}, manifest {said.manifest_sha256.hex()}"
