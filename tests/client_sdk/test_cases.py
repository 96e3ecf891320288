"""The table of real cases: equal as it is, different as soon as the verifier says otherwise."""

from __future__ import annotations

import os

import pytest

from client_sdk.conformance.__main__ import ACCEPTED, INTERNAL, MALFORMED, REFUSED
from tests import cases

real = pytest.mark.skipif(
    not os.environ.get("VITRINE_EVIDENCE"), reason="VITRINE_EVIDENCE names no folder of real evidence"
)


@real
def test_all_are_as_expected(capsys):
    assert cases.main() == 0
    said = capsys.readouterr().out
    assert said.endswith("cases, 0 different\n")
    assert "refused by T2.13" in said


@real
@pytest.mark.parametrize("status", [ACCEPTED, REFUSED, INTERNAL])
def test_a_verifier_that_always_says_the_same_is_noticed(monkeypatch, capsys, status):
    monkeypatch.setattr(cases, "_verdicts", lambda _case: [(status, {})])
    assert cases.main() == 1
    assert "DIFFERENT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("expected", "statuses", "right"),
    [
        ("accept", [ACCEPTED, ACCEPTED], True),
        ("accept", [ACCEPTED, REFUSED], False),
        ("accept", [], False),
        ("parse-only", [MALFORMED], False),
        ("reject", [ACCEPTED, REFUSED], True),
        ("reject", [MALFORMED], True),
        ("reject", [ACCEPTED], False),
        ("reject", [INTERNAL], False),
        ("reject", [], False),
    ],
)
def test_what_counts_as_expected(expected, statuses, right):
    assert cases._is_right(expected, statuses) is right


def test_without_evidence_it_says_so(monkeypatch, capsys):
    monkeypatch.delenv("VITRINE_EVIDENCE", raising=False)
    assert cases.main() == 1
    assert "names no folder" in capsys.readouterr().err
