"""Folders made once: whole or not there, whatever interrupts the making."""

from __future__ import annotations

import errno
import threading

import pytest

from provisioner.errors import BakeError
from provisioner.image.shelf import make_once
from provisioner.image.space import require_space, size_of


def fill(folder):
    (folder / "contents").write_text("x")
    (folder / "complete").write_text("")


def left(shelf):
    return sorted(path.name for path in shelf.iterdir() if not path.name.endswith(".lock"))


def test_it_is_made_once(tmp_path):
    calls = []

    def make(folder):
        calls.append(folder)
        fill(folder)

    for _ in range(2):
        assert make_once(tmp_path / "shelf/key", "complete", make, what="it") == tmp_path / "shelf/key"
    assert len(calls) == 1
    assert left(tmp_path / "shelf") == ["key"]


@pytest.mark.parametrize("error", [BakeError("no"), KeyboardInterrupt(), ValueError("bug")])
def test_an_interrupted_making_leaves_nothing_and_can_be_repeated(tmp_path, error):
    def make(folder):
        (folder / "contents").write_text("half")
        raise error

    with pytest.raises(type(error)):
        make_once(tmp_path / "key", "complete", make, what="it")
    assert left(tmp_path) == []
    make_once(tmp_path / "key", "complete", fill, what="it")
    assert (tmp_path / "key/contents").read_text() == "x"


def test_what_a_killed_maker_left_is_removed(tmp_path):
    (tmp_path / ".key.part-abc").mkdir()
    (tmp_path / ".key.part-abc/half").write_text("made")
    (tmp_path / "key").mkdir()
    make_once(tmp_path / "key", "complete", fill, what="it")
    assert left(tmp_path) == ["key"]
    assert sorted(p.name for p in (tmp_path / "key").iterdir()) == ["complete", "contents"]


def test_another_keys_work_is_left_alone(tmp_path):
    (tmp_path / ".other.part-abc").mkdir()
    make_once(tmp_path / "key", "complete", fill, what="it")
    assert (tmp_path / ".other.part-abc").is_dir()


def test_a_full_disk_is_said_in_so_many_words(tmp_path):
    def make(_folder):
        raise OSError(errno.ENOSPC, "No space left on device", "big")

    with pytest.raises(BakeError, match="it: the disk is full; free some space"):
        make_once(tmp_path / "key", "complete", make, what="it")
    assert left(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BakeError, match=r"it: .*file"):
        make_once(tmp_path / "file/key", "complete", fill, what="it")


def test_two_makers_wait_for_each_other(tmp_path):
    calls, started, go_on = [], threading.Event(), threading.Event()

    def slow(folder):
        calls.append(folder)
        started.set()
        go_on.wait(5)
        fill(folder)

    threads = [
        threading.Thread(target=make_once, args=(tmp_path / "key", "complete", slow), kwargs={"what": "it"})
        for _ in range(2)
    ]
    threads[0].start()
    started.wait(5)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert len(calls) == 1


def test_what_fits_may_begin_and_what_does_not_is_refused_with_both_figures(tmp_path):
    require_space(tmp_path, 1, "it")
    with pytest.raises(BakeError, match=r"it: the disk is full; it needs \d+ MiB, .* has \d+ MiB"):
        require_space(tmp_path, 1 << 60, "it")


def test_the_size_of_a_tree_is_in_whole_blocks(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(b"x" * 4097)
    (tmp_path / "link").symlink_to("nowhere")
    assert size_of(tmp_path) == 4096 * (1 + 2 + 1)
