"""Run the tests of the log and print, for each of its rules, how many of them saw it refuse something.

``python -m tests.transparency.counts`` (or ``make test-transparency``) fails when a test does, and when a rule that is
kept under ``client_sdk/transparency`` refused nothing.
"""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from client_sdk.cli.rules import rows
from client_sdk.rules import keepers
from tests.fakes.refusals import listen
from tests.vectors.behaviour import Listener

TESTS = "tests/transparency"
OF_THE_LOG = ("R1", "R2", "R3", "R5", "R6")


def main():
    listen()
    listener = Listener()
    status = pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", TESTS], plugins=[listener])
    found = Counter(rule for rules in listener.seen.values() for rule in rules)
    words = {row.id: row.check for row in reversed(rows(None)) if row.id.split(".")[0] in OF_THE_LOG}
    width = max(map(len, words))
    print(f"\n{'rule':{width}}  tests that saw it refuse")
    for rule, what in sorted(words.items()):
        print(f"{rule:{width}}  {found[rule]:5}  {what[:100]}")
    mine = {keeper.rule for keeper in keepers() if keeper.module.startswith("client_sdk.transparency.")}
    silent = sorted(mine - found.keys())
    print(f"\n{len(listener.seen)} tests, {sum(map(bool, listener.seen.values()))} of them saw a refusal")
    if silent:
        print(f"refused nothing: {', '.join(silent)}")
    return int(status) or bool(silent)


if __name__ == "__main__":
    sys.exit(main())
