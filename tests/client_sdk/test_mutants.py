"""A sample of ``make mutants``: changes of the verifier that the vectors notice, so that neither of them rots."""

from __future__ import annotations

import json

import pytest

from tests.mutants.__main__ import EXPLAINED
from tests.mutants.hunt import Hunters
from tests.mutants.mutate import SOURCES, function_of, in_place, mutants
from tests.vectors.behaviour import with_vectors

EVERY = [mutant for file in SOURCES for mutant in mutants(file)]
# The stage of conformance counts devices of either kind itself (G4.1); the clause that counts GPUs alone has tests.
# A client compares trees of one size, and none at all, by their roots (R3.view): a log's readers ask for proofs there.
BY_TESTS = {
    ("client_sdk/clauses/nvidia.py", "NvidiaDevices._counts"),
    ("client_sdk/transparency/formats/merkle.py", "verify_consistency"),
}
SAMPLE = [
    mutant
    for mutant in EVERY
    if mutant.kind in {"removed", "turned round"}
    and mutant.rule in with_vectors()
    and (mutant.file, mutant.function) not in BY_TESTS
    and not mutant.file.startswith(("client_sdk/platforms/", "client_sdk/policies/"))  # no stage reaches them
][::12]


@pytest.fixture(scope="module")
def hunters():
    made = Hunters()
    made.add_vectors()
    return made


@pytest.mark.parametrize("mutant", SAMPLE, ids=lambda mutant: f"{mutant.rule}-{mutant.kind}-{mutant.line}")
def test_the_vectors_notice(hunters, mutant):
    kept = function_of(mutant.file, mutant.function).__code__
    assert hunters.notice(mutant) == "vector", mutant.key
    assert function_of(mutant.file, mutant.function).__code__ is kept


def test_the_verifier_itself_is_left_in_peace(hunters):
    class Unchanged:
        file, function, rule = EVERY[0].file, EVERY[0].function, EVERY[0].rule
        code = function_of(EVERY[0].file, EVERY[0].function).__code__

    assert hunters.notice(Unchanged) == ""


def test_mutants_have_names_that_tell_them_apart():
    names = [mutant.key for mutant in EVERY]
    assert len(names) == len(set(names))
    assert {mutant.kind for mutant in EVERY} == {"removed", "turned round", "loosened", "at its edge"}


def test_what_is_explained_exists():
    explained = json.loads(EXPLAINED.read_text())
    assert explained.keys() <= {mutant.key for mutant in EVERY}
    assert all(len(reason) > 20 for reason in explained.values())


def test_a_mutant_is_the_function_with_other_code():
    mutant = next(one for one in EVERY if one.rule == "T2.13" and one.kind == "removed")
    function = function_of(mutant.file, mutant.function)
    with in_place(mutant):
        assert function.__code__ is mutant.code
    assert function.__code__ is not mutant.code
