"""What is given now, held against what a client remembers: nothing has gone back, nobody has another view (rule R3).

(1) R3.view: of every log, trees of one size have one root, those that are given and the one that is remembered.
(2) R3.tree: the largest tree that is given is not smaller than the one that is remembered.
(3) R3.consistency: where it is larger and a proof came along, the proof holds. Without one, that the log has only
    grown is its witnesses' word, and the report says so.
(4) R3.number: of every service, the newest release that is left is not older than the newest that is remembered; one
    that was left out, because it is revoked or out of its dates, counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from client_sdk.release import Release
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.transparency.client.judge import Logged
from client_sdk.transparency.client.seen import MAX_CHECKPOINT, Known, Tree
from client_sdk.transparency.formats.growth import read_growths
from client_sdk.transparency.formats.merkle import verify_consistency


@keeps("R3.view", "R3.tree")
def judge_trees(logged: Sequence[Logged], seen: Tree | None, ledger: Ledger) -> tuple[Tree, bool]:
    """Judge the trees of one log; return the largest, and whether it is proven to have grown out of what was seen.

    Raises:
        VerificationError: R3.view, R3.tree or R3.consistency.
    """
    roots = {} if seen is None else {seen.size: seen.root}
    for one in logged:  # (1)
        found = one.checkpoint
        ledger.equal(
            "R3.view",
            f"of one size the log has one tree ({found.size} entries; else it has two views, and others should know)",
            expected=roots.setdefault(found.size, found.root),
            got=found.root,
        )
    newest = max(logged, key=lambda one: one.checkpoint.size)
    tree = tree_of(newest)
    if seen is None:
        return tree, True
    ledger.holds(  # (2)
        "R3.tree",
        "the log has not gone back to fewer entries than this client has seen (ask the publisher for a new bundle)",
        expected=f"at least {seen.size} entries",
        got=f"{tree.size} entries",
        condition=tree.size >= seen.size,
    )
    if tree.size == seen.size:
        return seen, True  # (1) has compared the roots
    return tree, _judge_growth(newest, seen, ledger)


def tree_of(logged: Logged) -> Tree:
    """Return what is to be remembered of a tree that was verified."""
    note = logged.note.decode() if len(logged.note) <= MAX_CHECKPOINT else ""  # one that an evil log made long
    return Tree(logged.checkpoint.size, logged.checkpoint.root, note)


@keeps("R3.number")
def judge_numbers(releases: Sequence[Release], known: Known, ledger: Ledger) -> None:
    """Check that no service's newest release is older than one that this client has seen.

    Raises:
        VerificationError: R3.number.
    """
    newest: dict[str, int] = {}
    for release in releases:
        newest[release.service] = max(release.number, newest.get(release.service, 0))
    for name, number in sorted(newest.items()):
        service = known.service(name)
        if service is None:
            continue
        ledger.holds(
            "R3.number",
            f"the newest release is not older than one that this client has seen ({name})",
            expected=f"release {service.number} or a later one",
            got=f"release {number}",
            condition=number >= service.number,
        )


def _judge_growth(newest: Logged, seen: Tree, ledger: Ledger) -> bool:
    found = newest.checkpoint
    proofs = [one.hashes for one in read_growths(newest.extra) if one.old_size == seen.size]
    if not proofs:
        return False
    verify_consistency(seen.size, seen.root, found.size, found.root, proofs[0], ledger=ledger)
    return True
