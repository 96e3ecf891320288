from __future__ import annotations

import subprocess

import pytest

from provisioner.bake import read_commit
from provisioner.commit import is_commit, source_commit
from provisioner.errors import BakeError, SpecError
from provisioner.image import process

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A commit that holds an ingredient and something else."""
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles/a.yml").write_text("a")
    (tmp_path / "README").write_text("r")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_committed_ingredients_are_of_that_commit(checkout):
    assert source_commit(checkout, ("roles",)) == git(checkout, "rev-parse", "HEAD")


def test_what_does_not_reach_the_image_may_differ(checkout):
    (checkout / "README").write_text("changed")
    assert is_commit(source_commit(checkout, ("roles",)))


@pytest.mark.parametrize(
    ("attack", "name"), [("a changed ingredient", "roles/a.yml"), ("one that git does not know", "roles/b.yml")]
)
def test_an_image_of_uncommitted_sources_names_no_commit(checkout, attack, name):
    (checkout / name).write_text("changed")
    assert source_commit(checkout, ("roles",)) == ""


def test_a_folder_that_is_no_checkout_names_no_commit(tmp_path):
    assert source_commit(tmp_path, ("roles",)) == ""


def test_a_checkout_without_a_commit_names_none(tmp_path):
    git(tmp_path, "init", "-q")
    assert source_commit(tmp_path, ("roles",)) == ""


def test_a_folder_of_a_checkout_is_of_its_commit(checkout):
    assert source_commit(checkout / "roles", ("a.yml",)) == git(checkout, "rev-parse", "HEAD")


def break_head(checkout, _):
    (checkout / ".git/HEAD").write_text("nonsense")


def break_link(checkout, _):
    (checkout / ".git").rename(checkout / "moved")
    (checkout / ".git").write_text("gitdir: /nowhere\n")


def without_git(_, monkeypatch):
    monkeypatch.setattr(process, "_FIXED", process._FIXED | {"PATH": "/nowhere"})
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.mark.parametrize("broken", [break_head, break_link, without_git])
def test_a_checkout_that_cannot_be_read_is_no_missing_checkout(checkout, monkeypatch, broken):
    broken(checkout, monkeypatch)
    with pytest.raises(BakeError, match=r"asking git for the commit.*bake_source_commit"):
        source_commit(checkout, ("roles",))


def test_without_a_checkout_nobody_needs_git(tmp_path, monkeypatch):
    without_git(None, monkeypatch)
    assert source_commit(tmp_path, ("roles",)) == ""


def test_a_named_commit_is_taken_where_there_is_no_checkout(tmp_path):
    assert read_commit(tmp_path, "test", COMMIT) == COMMIT


@pytest.mark.parametrize("named", ["main", COMMIT[:12], COMMIT.upper(), COMMIT + "\n"])
def test_what_is_no_commit_id_is_refused(tmp_path, named):
    with pytest.raises(SpecError, match="bake_source_commit"):
        read_commit(tmp_path, "test", named)


def test_a_release_of_uncommitted_sources_is_refused(tmp_path):
    assert read_commit(tmp_path, "test", "") == ""
    with pytest.raises(BakeError, match="commit what is changed"):
        read_commit(tmp_path, "release", "")
