"""What a report says of log, witnesses and memory: what was there, and what the verdict goes without (rules R5, R6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from client_sdk.fields import format_instant
from client_sdk.publisher import Publisher
from client_sdk.transparency.client.judge import Logged, told_time
from client_sdk.transparency.client.memory import KEPT, LOST, NEW, Held

Facts = tuple[tuple[str, Any], ...]
NotRun = tuple[tuple[str, str], ...]
ALONE = "publisher trusted alone"
_MEMORY = {
    KEPT: "kept since {since}: what was seen before was compared with",
    NEW: "new: nothing was seen before, so nothing could be compared",
    LOST: "lost: what was seen before is gone, so what has gone back since would not be noticed this time",
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked at: the proofs, and the memory as it was before.

    ``remembered`` is whether each service and the log were in it, ``grown`` whether the tree is proven to have grown
    from the one that was.
    """

    logged: Sequence[Logged]
    memory: Held
    remembered: bool
    grown: bool


def tell(publisher: Publisher, looked: Looked) -> tuple[NotRun, Facts]:
    """Return the rules that were not run, with the reason, and the facts."""
    missing: list[tuple[str, str]] = []
    facts: list[tuple[str, Any]] = [("transparency", _transparency(publisher, looked.logged))]
    if publisher.log_key is None:
        missing.append(("R2, R5", f"{ALONE}: no log is pinned, so other releases may be shown to others"))
    elif not publisher.quorum:
        missing.append(("R2.witnesses, R5", f"{ALONE}: no witness is pinned, so the log may show others another tree"))
    elif publisher.max_checkpoint_age is None:
        missing.append(("R2.age", "no age is set: witnesses may have seen the checkpoint any time ago"))
    state = NEW if looked.memory.state == KEPT and not looked.remembered else looked.memory.state
    if state is None:
        missing.append(("R3.number, R3.tree", "no memory is kept: what goes back from one time to the next shows not"))
    else:
        since = looked.memory.seen.since
        told = _MEMORY[state].format(since=format_instant(since) if since else "")
        facts.append(("memory", told))
        if state != KEPT:
            missing.append(("R3.number, R3.tree", f"the memory is {told}"))
    if not looked.grown:
        why = "no proof leads from the tree that was seen to this one: that it only grew is its witnesses' word"
        missing.append(("R3.consistency", why if publisher.quorum else f"{why}, and there is none"))
    return tuple(missing), tuple(facts)


def _transparency(publisher: Publisher, logged: Sequence[Logged]) -> str:
    if publisher.log_key is None or not logged:
        return f"{ALONE}: no log is pinned"
    newest = max(logged, key=lambda one: one.checkpoint.size)
    place = f"in the log {newest.checkpoint.origin} of {newest.checkpoint.size} entries"
    if newest.at is None:
        return f"{place}, without witnesses: {ALONE}"
    names = ", ".join(sorted(signed.by.name for signed in newest.witnesses))
    return f"{place}, seen by {names}; {publisher.quorum} of them at {told_time(newest.at)} or later"
