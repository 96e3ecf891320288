"""Rules that no stage of conformance reaches, each with the tests that see it refused: ``behaviour.json``.

``python -m tests.vectors.behaviour`` runs the tests of the client and writes the file anew. Whenever a named test
runs, ``tests/client_sdk/conftest.py`` holds it to the rule: it fails if nothing was refused by that rule in it.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import sys
from functools import cache
from pathlib import Path

import pytest

import client_sdk
from client_sdk.rules import keepers
from tests.fakes.refusals import REFUSED, listen
from tests.vectors.manifest import vectors

FILE = Path(__file__).with_name("behaviour.json")
TESTS_OF_A_RULE = 2
PURE = re.compile(r"test_(verify|clauses|conformance|accept|release|judge|merkle|rollback)")  # these need no network
# What a vector refuses it has a vector for; what random damage is refused by, differs from run to run.
NOT_NAMED = ("tests/client_sdk/test_vectors.py", "tests/client_sdk/test_cloud_fuzz.py")


def registered() -> set[str]:
    """Return every rule of the client, after importing all of it."""
    for module in pkgutil.walk_packages(client_sdk.__path__, "client_sdk."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return {keeper.rule for keeper in keepers() if keeper.module.startswith("client_sdk.")}


def with_vectors() -> set[str]:
    """Return the rules that the manifest has an attack for."""
    return {rule for vector in vectors() for rule in vector.rules}


@cache
def named() -> dict[str, list[str]]:
    """Return the tests of each rule."""
    return json.loads(FILE.read_text())


@cache
def due() -> dict[str, set[str]]:
    """Return the rules that each named test has to see refused."""
    found: dict[str, set[str]] = {}
    for rule, tests in named().items():
        for test in tests:
            found.setdefault(test, set()).add(rule)
    return found


class Listener:
    """A plugin of pytest that notes what each passing test saw refused."""

    def __init__(self) -> None:
        self.seen: dict[str, frozenset[str]] = {}

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item):
        REFUSED.clear()
        result = yield
        self.seen[item.nodeid] = frozenset(REFUSED)
        return result


def main() -> int:
    """Run the tests and write which of them see which rule refused: the ones that see the fewest others."""
    listen()
    listener = Listener()
    ignored = [f"--ignore={path}" for path in NOT_NAMED]
    words = ["-q", "-p", "no:cacheprovider", "tests/client_sdk", "tests/transparency", "--no-header", *ignored]
    before = FILE.read_text()
    FILE.write_text("{}\n")  # meanwhile no test is held to what it saw the last time
    try:
        status = pytest.main(words, plugins=[listener])
    finally:
        FILE.write_text(before)
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):  # interrupted, say
        return int(status)
    table = {}
    for rule in sorted(registered() - with_vectors()):
        tests = [name for name, rules in listener.seen.items() if rule in rules]
        tests.sort(key=lambda name: (len(listener.seen[name]), not PURE.search(name), name))
        table[rule] = tests[:TESTS_OF_A_RULE]
    FILE.write_text(json.dumps(table, indent=1) + "\n")
    print("without any test:", ", ".join(rule for rule, tests in table.items() if not tests) or "none")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
