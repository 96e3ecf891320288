"""Both halves together are all tests, and a failure in either is one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import halves


@pytest.mark.parametrize("top", [halves.TESTS, halves.TESTS / "provisioner/clouds"], ids=["all", "clouds"])
def test_every_test_is_in_one_half(top):
    first, second = halves.halves(top)
    assert first
    assert {*first} & {*second} == set()
    files = set(top.rglob("test_*.py"))
    held = {path for half in (first, second) for part in half for path in (part, *part.rglob("test_*.py"))}
    assert files - held == set()


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Two halves of one test each, in a place of their own."""
    for name, text in (("roles/test_a.py", "def test_a(): pass"), ("test_b.py", "def test_b(): pass")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(halves, "TESTS", tmp_path)
    return tmp_path


ALONE = ["-c", "/dev/null", "-q", "-p", "no:cacheprovider"]


def test_both_pass_and_both_are_told(made, capfd):
    assert halves.main(ALONE) == 0
    assert capfd.readouterr().out.count("1 passed") == 2


@pytest.mark.parametrize("name", ["roles/test_a.py", "test_b.py"])
def test_a_failure_in_either_half_is_a_failure_of_all(made, capfd, name):
    (made / name).write_text("def test_x(): assert False, 'on purpose'")
    assert halves.main(ALONE) == 1
    assert "on purpose" in capfd.readouterr().out


@pytest.mark.parametrize("name", ["roles/test_a.py", "test_b.py"])
def test_a_half_that_cannot_be_read_is_a_failure_of_all(made, capfd, name):
    (made / name).write_text("import nothing_of_this_name")
    assert halves.main(ALONE) == 2
    assert "nothing_of_this_name" in capfd.readouterr().out


def test_a_folder_that_is_named_is_halved_in_place_of_all(made, capfd):
    for name in ("gcp", "azure"):
        (made / "clouds" / name).mkdir(parents=True)
        (made / "clouds" / name / "test_it.py").write_text("def test_it(): pass")
    assert halves.main([str(made / "clouds"), *ALONE]) == 0
    assert capfd.readouterr().out.count("1 passed") == 2


def test_a_choice_that_one_half_has_nothing_of_is_none(made, capfd):
    assert halves.main([*ALONE, "-k", "test_b"]) == 0
    assert "1 passed" in capfd.readouterr().out


@pytest.mark.parametrize(("name", "word"), [("azure", "second"), ("gcp", "first")])
@pytest.mark.parametrize(("text", "status"), [("pass", 0), ("assert False", 1)])
def test_a_half_of_a_folder_that_is_empty_is_not_all_tests_there_are(
    made, capfd, monkeypatch, name, word, text, status
):
    (made / "clouds" / name).mkdir(parents=True)
    (made / "clouds" / name / "test_it.py").write_text(f"def test_{word}(): {text}")
    (made / "test_b.py").write_text("raise SystemExit('all tests there are')")
    monkeypatch.chdir(made)
    assert halves.main([str(made / "clouds"), *ALONE]) == status
    assert "all tests there are" not in "".join(capfd.readouterr())


def test_a_folder_without_tests_is_told(made, monkeypatch):
    (made / "clouds").mkdir()
    monkeypatch.chdir(made)
    assert halves.main([str(made / "clouds"), *ALONE]) == halves.NO_TESTS


def test_a_choice_that_neither_half_has_anything_of_is_told(made):
    assert halves.main([*ALONE, "-k", "test_c"]) == halves.NO_TESTS


def test_its_status_is_that_of_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "tests.halves", "--no-such-option"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 4
