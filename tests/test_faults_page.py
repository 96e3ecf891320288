"""docs/faults.md says of every fault which test shows it: each of these tests exists, and no fault is without one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs/faults.md").read_text()
NAMED = re.compile(r"`([a-z0-9_/]+\.py)::(\w+)`")
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| (?!fault )", line)]
# The files that are about faults alone: each of their tests is on the page, or said to be a part of one that is.
WHOLE = ["bytes", "connections", "crowd", "readings", "tls"]
PARTS = {"test_the_oldest_idle_connection_gives_way_and_one_that_works_does_not"}  # the ten thousand, looked at closely


def functions(path):
    tree = ast.parse((TESTS / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(PAGE))))
def test_a_test_that_the_page_names_exists(path, name):
    assert name in functions(path)
    assert name.startswith("test_")


@pytest.mark.parametrize("row", ROWS)
def test_a_fault_says_what_happens_and_which_test_shows_it(row):
    fault, happens, shown = (cell.strip() for cell in row.strip("|").split("|"))
    assert fault
    assert happens
    assert NAMED.sub("", shown).strip(", ") == ""
    assert NAMED.search(shown)


@pytest.mark.parametrize("name", WHOLE)
def test_a_test_of_a_fault_is_on_the_page(name):
    path = f"serving/gateway/test_{name}.py"
    named = {test for found, test in NAMED.findall(PAGE) if found == path}
    assert {test for test in functions(path) if test.startswith("test_")} - PARTS == named


@pytest.mark.parametrize(
    "word",
    [
        *("killed in a stream", "stops answering", "started again", "memory", "descriptor", "slow reader", "vanishes"),
        *(
            "renegotiate",
            "early data",
            "10,000 idle",
            "16 KiB",
            "two readers",
            "set back",
            "no UTF-8",
            "without a bottom",
        ),
    ],
)
def test_the_page_speaks_of(word):
    assert any(word in row.split("|")[1] for row in ROWS)
