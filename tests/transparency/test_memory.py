"""The file in which a client remembers: whole or not at all, by one process at a time, and its faults told (R3, R6)."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.releases import open_releases
from client_sdk.transparency.client import memory as module
from client_sdk.transparency.client.memory import KEPT, LOST, NEW, Memory
from client_sdk.transparency.client.seen import MAX_REVOKED, Known, Seen, Service, Tree
from tests.fakes.simulated_vm import NOW, publisher, publisher_key, release, signed

SOME = Seen(
    (Known(frozenset({b"k" * 32}), (b"rotation",), (("vitrine", Service(7, ((1, 2), (3, 7)))),)),),
    (("log.example+00000000+key", Tree(9, b"r" * 32)),),
    NOW,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


def state(folder):
    with Memory(folder).held() as held:
        return held.state


def keep(folder, seen):
    with Memory(folder).held() as held:
        held.keep(seen)


def kept(folder):
    with Memory(folder).held() as held:
        return held.seen


def test_what_is_kept_is_there_again(folder):
    assert state(folder) == NEW
    keep(folder, SOME)
    assert (state(folder), kept(folder)) == (KEPT, SOME)
    assert sorted(path.name for path in folder.iterdir()) == ["memory.json", "memory.lock"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())]
    assert modes == [0o700, 0o600, 0o600]


def test_looking_alone_makes_no_memory(folder):
    """Else the next one would miss what was never written."""
    assert (state(folder), state(folder)) == (NEW, NEW)


def test_a_file_that_is_gone_is_missed(folder):
    keep(folder, SOME)
    (folder / "memory.json").unlink()
    assert (state(folder), state(folder)) == (LOST, LOST)
    keep(folder, Seen())
    assert state(folder) == KEPT


@pytest.mark.parametrize("damage", [b"", b"{", SOME.to_json()[:50], b"\0" * 100, b"x" * (5 * 1024 * 1024)])
def test_a_damaged_file_is_an_error_that_says_what_removing_it_means(folder, damage):
    keep(folder, SOME)
    (folder / "memory.json").write_bytes(damage)
    with pytest.raises(EvidenceError, match=r"damaged.*forget"), Memory(folder).held():
        pass


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(EvidenceError, match="cannot be used"), Memory(folder).held():
            pass


@pytest.mark.parametrize("value", [5, None, b"folder"])
def test_a_memory_of_another_type(value):
    with pytest.raises(EvidenceError, match="folder"):
        Memory(value)


@pytest.mark.parametrize("fails", ["fsync", "open", "replace"])
def test_a_disk_that_is_full_leaves_what_was_there(folder, monkeypatch, fails):
    keep(folder, SOME)
    real = os.open

    def full(*_values, **_named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_for_the_partial(path, *more):
        return full() if str(path).endswith(".partial") else real(path, *more)

    place = {"fsync": (module.os, full), "open": (module.os, full_for_the_partial), "replace": (module.Path, full)}
    monkeypatch.setattr(place[fails][0], fails, place[fails][1])
    with pytest.raises(EvidenceError, match="cannot be written: No space left"):
        keep(folder, Seen())
    monkeypatch.undo()
    assert kept(folder) == SOME
    assert not (folder / "memory.json.partial").exists()


def test_a_client_that_cannot_remember_accepts_nothing(folder, monkeypatch):
    """Else whoever fills its disk could go back later."""
    open_releases(signed(release(1)), publisher(), now=NOW, memory=folder)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(EvidenceError, match="cannot be written"):
        open_releases(signed(release(2)), publisher(), now=NOW, memory=folder)


def test_what_a_crash_left_half_written_is_passed_over(folder):
    keep(folder, SOME)
    (folder / "memory.json.partial").write_bytes(b"{half")
    assert kept(folder) == SOME
    keep(folder, Seen())
    assert kept(folder) == Seen()


def test_a_crash_between_the_memory_and_its_mark_is_no_loss(folder):
    keep(folder, SOME)
    (folder / "memory.lock").write_bytes(b"")
    assert state(folder) == KEPT
    keep(folder, replace(SOME, since=None))
    (folder / "memory.json").unlink()
    assert state(folder) == LOST


def test_what_could_not_be_read_again_is_not_written(folder):
    keep(folder, SOME)
    huge = Service(1, tuple((number, 2) for number in range(1, MAX_REVOKED + 1)))
    many = Known(frozenset({b"k" * 32}), (), tuple((f"service {n}", huge) for n in range(9)))
    with pytest.raises(EvidenceError):
        keep(folder, Seen((many,)))
    assert kept(folder) == SOME


def test_of_more_revoked_releases_than_fit_the_newest_stay():
    one = Service(1, tuple((number, 20_000) for number in range(1, MAX_REVOKED + 1)))
    two = Service(1, tuple((number, 20_000) for number in range(MAX_REVOKED, MAX_REVOKED + 100)))
    found = dict(one.joined(two).revoked)
    assert (len(found), max(found), 1 in found) == (MAX_REVOKED, MAX_REVOKED + 99, False)


def test_whoever_does_not_let_go_stops_others_for_a_while_only(folder, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with Memory(folder).held(), pytest.raises(EvidenceError, match="does not let go"), Memory(folder).held():
        pass
    assert state(folder) == NEW


def test_a_system_without_locks(folder, monkeypatch):
    monkeypatch.setattr(module, "fcntl", None)
    with pytest.raises(EvidenceError, match="no locks"), Memory(folder).held():
        pass


def program(*words, **how):
    return subprocess.Popen([sys.executable, "-m", "tests.transparency.remembering", *map(str, words)], **how)


def test_several_processes_at_once_never_go_back(folder, tmp_path):
    """Each brings numbers of its own: at the end the highest of all is remembered."""
    key = tmp_path / "publisher.pub"
    key.write_bytes(publisher_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    files = [tmp_path / f"{number}.json" for number in range(40)]
    for number, file in enumerate(files):
        file.write_bytes(signed(release(number + 1)))
    words = ("remember", folder, key, NOW.isoformat())
    workers = [program(*words, *files[first::3], stdin=subprocess.PIPE) for first in range(3)]
    for worker in workers:
        worker.communicate(b"x", timeout=60)
    assert [worker.returncode for worker in workers] == [0] * 3
    with pytest.raises(VerificationError, match=r"release 40 or a later one"):
        open_releases(signed(release(39)), publisher(), now=NOW, memory=folder)


def test_threads_of_one_process_wait_for_each_other(folder):
    inside, overlaps = [], []

    def work():
        for _ in range(20):
            with Memory(folder).held() as held:
                inside.append(1)
                overlaps.append(len(inside))
                service = held.seen.known(b"k" * 32).service("s")
                number = (service.number if service else 0) + 1
                held.keep(Seen((Known(frozenset({b"k" * 32}), (), (("s", Service(number)),)),)))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(overlaps) == {1}
    assert kept(folder).known(b"k" * 32).service("s") == Service(80)


def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_file(folder):
    for _ in range(3):
        with program("write", folder, stdout=subprocess.PIPE) as writer:
            try:
                assert writer.stdout.readline() == b"written\n"
                time.sleep(0.05)
            finally:
                writer.kill()
        found = kept(folder)  # the lock went with the process that held it
        assert found.trees[0][1].size > 0
