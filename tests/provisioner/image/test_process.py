"""Running programs: a fixed environment, and failures that say what to do."""

from __future__ import annotations

import os

import pytest

from provisioner.errors import BakeError
from provisioner.image import process


def shell(script, **options):
    return process.run(["sh", "-c", script], what="the step", **options)


def test_output_is_returned():
    assert shell("cat", stdin=b"in") == b"in"


def test_nothing_of_the_callers_environment_reaches_a_program(monkeypatch):
    monkeypatch.setenv("VITRINE_SECRET", "leak")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    text = shell("env; umask").decode()
    assert "leak" not in text
    assert "TZ=UTC" in text
    assert "LC_ALL=C.UTF-8" in text


def test_umask_is_fixed_for_programs_and_for_ourselves(tmp_path):
    before = os.umask(0o077)
    try:
        assert shell("umask").strip() in (b"0022", b"022")
        with process.fixed_umask():
            (tmp_path / "folder").mkdir()
        assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755
        (tmp_path / "after").mkdir()
        assert (tmp_path / "after").stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_a_failure_carries_the_programs_last_words_and_status():
    with pytest.raises(BakeError, match="the step: failed with status 3: cannot do it"):
        shell("echo 'cannot do it' >&2; exit 3")


def test_a_silent_failure_says_that_it_was_silent():
    with pytest.raises(BakeError, match="status 1: no message"):
        shell("exit 1")


def test_a_killed_program_is_a_failure():
    with pytest.raises(BakeError, match="status -9"):
        shell("kill -9 $$")


def test_a_missing_program_is_named_with_the_next_step():
    with pytest.raises(BakeError, match="vitrine-no-such-tool is not installed; run `make setup`"):
        process.run(["vitrine-no-such-tool"], what="the step")


def test_a_program_that_hangs_is_ended_and_named():
    with pytest.raises(BakeError, match="the step: failed with no end after 2 seconds: stuck"):
        shell("echo stuck >&2; sleep 60", seconds=2)


def test_a_program_that_hangs_on_a_full_disk_says_so():
    with pytest.raises(BakeError, match="the disk is full"):
        shell("echo 'failed to write: No space left on device' >&2; sleep 60", seconds=2)


def test_a_full_disk_is_said_in_so_many_words():
    with pytest.raises(BakeError, match="the step: the disk is full; free some space"):
        shell("echo 'write error: No space left on device' >&2; exit 1")


def test_a_long_message_is_cut_to_its_end():
    with pytest.raises(BakeError) as caught:
        shell("seq 1 500 >&2; exit 1")
    assert "500" in str(caught.value)
    assert "| 400 |" not in str(caught.value)
