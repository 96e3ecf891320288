"""Every vector gives its verdict by exactly its rule; every rule has a vector, or a test that is named for it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from client_sdk.conformance.__main__ import ACCEPTED, REFUSED, STAGES, judge
from tests.vectors.alone import accepted_without
from tests.vectors.behaviour import named, registered, with_vectors
from tests.vectors.manifest import FOLDER, stage, vectors

ROOT = FOLDER.parent.parent
VECTORS = vectors()
CONTROLS = {vector.id: vector for vector in VECTORS if not vector.rules}
IMPLIED = json.loads((FOLDER / "implied.json").read_text())
MAX_SIZE = 5_000_000


def verdict(vector):
    return judge(stage(vector.stage), vector.data)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
def test_a_vector_gives_its_verdict_by_its_rule(vector):
    status, found = verdict(vector)
    assert (status, tuple(found.get("rules", ()))) == (vector.exit, vector.rules), found.get("message")
    assert status == (REFUSED if vector.rules else ACCEPTED)
    assert not vector.rules or vector.control in CONTROLS
    assert not vector.rules or CONTROLS[vector.control].stage == vector.stage


ALONE = [vector for vector in VECTORS if vector.alone]


@pytest.mark.parametrize("vector", ALONE, ids=lambda vector: vector.id)
def test_without_that_one_check_it_would_be_accepted(vector):
    assert accepted_without(vector.rules[0], vector.stage, vector.data)


def test_every_stage_has_controls_and_attacks():
    assert {vector.stage for vector in CONTROLS.values()} == set(STAGES)
    assert {vector.stage for vector in VECTORS if vector.rules} == set(STAGES)


def test_every_rule_has_a_vector_or_a_named_test():
    covered = with_vectors() | {rule for rule, tests in named().items() if tests}
    assert sorted(registered() - covered) == []
    assert sorted(covered - registered()) == [], "no rule has these ids any more"
    assert sorted(with_vectors() & named().keys()) == [], "they have vectors now: make behaviour.json again"


def test_a_rule_without_either_would_be_noticed(monkeypatch):
    monkeypatch.setitem(named(), "Q8.1", [])
    with pytest.raises(AssertionError, match=r"Q8\.1"):
        test_every_rule_has_a_vector_or_a_named_test()


def test_the_named_tests_exist_pass_and_see_their_rule_refused():
    """Each is held to its rule by conftest.py; here they are run by name, so that none is missing."""
    tests = sorted({test for tests in named().values() for test in tests})
    assert tests, "without a name pytest would run everything, this test too"
    assert not [test for test in tests if Path(__file__).name in test]
    words = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(tests)} passed" in done.stdout


def test_what_a_stage_checks_has_a_vector_unless_its_policy_leaves_it_open():
    reached = {check["id"] for control in CONTROLS.values() for check in verdict(control)[1]["checks"]}
    assert sorted(reached - with_vectors()) == sorted(IMPLIED["open"])


def test_every_rule_of_a_vector_is_broken_alone_by_one_or_another_implies_it():
    alone = {vector.rules[0] for vector in ALONE}
    assert sorted(with_vectors() - alone) == sorted(IMPLIED["implied"])


def test_every_blob_is_used_is_what_its_name_says_and_all_are_small():
    told = set(re.findall(r'\{"blob":"([0-9a-f]{64})"\}', (FOLDER / "manifest.json").read_text()))
    files = {path.name: path.read_bytes() for path in (FOLDER / "blobs").iterdir()}
    assert told == files.keys()
    assert [name for name, data in files.items() if hashlib.sha256(data).hexdigest() != name] == []
    assert sum(map(len, files.values())) + (FOLDER / "manifest.json").stat().st_size < MAX_SIZE


def test_the_generator_makes_these_very_files():
    words = [sys.executable, "-m", "tests.vectors.generate", "--check"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_page_tells_the_present_numbers():
    page = (ROOT / "docs" / "vectors.md").read_text()
    size = (
        sum(path.stat().st_size for path in (FOLDER / "blobs").iterdir())
        + Path(FOLDER / "manifest.json").stat().st_size
    )
    attacks = [vector for vector in VECTORS if vector.rules]
    told = f"{len(attacks)} attacks and {len(CONTROLS)} controls"
    assert told in page
    assert f"{size / 1e6:.1f} MB" in page
    assert f"{len(with_vectors())} of {len(registered())} rules" in page


def test_the_command_judges_a_vector_as_another_project_would():
    vector = next(vector for vector in VECTORS if vector.id == "snp/another-key-signed")
    words = [sys.executable, "-m", "client_sdk.conformance", vector.stage]
    done = subprocess.run(words, cwd=ROOT, input=vector.data, capture_output=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["rules"]) == (vector.exit, list(vector.rules))
