"""What is interrupted at each of its operations on files, an append or the making of a log: the next run goes on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from hashlib import sha256

import pytest

from client_sdk.errors import DuplicateEntryError, LogDamagedError, LogStorageError
from client_sdk.transparency.formats.note import NoteSigner
from client_sdk.transparency.log import writer
from client_sdk.transparency.log.config import Config
from client_sdk.transparency.log.writer import LogWriter, create
from tests.fakes.simulated_vm import publisher
from tests.transparency.faults import HOWS, Faults, KilledError
from tests.transparency.keeping import ORIGIN, entries_of, entry, make, many

OLD = [entry(number) for number in range(1, 4)]
NEW = [entry(4), entry(5)]


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def operations(home, tmp_path, new):
    """Count what an append does; the log is left as it is."""
    shutil.copytree(home, tmp_path / "counted")
    with pytest.MonkeyPatch.context() as patching:
        faults = Faults(patching)
        LogWriter(tmp_path / "counted").append(new)
    return faults.count, files_of(tmp_path / "counted" / "public")


def interrupted(home, new, *, at, how):
    with pytest.MonkeyPatch.context() as patching:
        Faults(patching, at=at, how=how)
        with pytest.raises((LogStorageError, KilledError)):
            LogWriter(home).append(new)


@pytest.fixture(scope="module", params=["within a tile", "over the end of a tile"])
def case(request, tmp_path_factory):
    """Return a log, entries to append, how many operations that takes, and the public files before and after."""
    folder = tmp_path_factory.mktemp("case")
    home = folder / "log"
    if request.param == "within a tile":
        log = make(home)
        for old in OLD:
            log.append((old,))
        old, new = OLD, NEW
    else:
        many(home, 255)
        old, new = [entry(number) for number in range(1, 256)], [entry(256), entry(257)]
    count, after = operations(home, folder, new)
    return home, old, new, count, after


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS.keys())
def test_interrupted_at_every_operation(case, how, tmp_path):
    template, old, new, count, after = case
    before = files_of(template / "public")
    assert count > 30
    for at in range(1, count + 1):
        home = tmp_path / str(at)
        shutil.copytree(template, home)
        interrupted(home, new, at=at, how=how)
        found = files_of(home / "public")
        served = entries_of(home)
        assert served in (old, old + new), at  # all of the entries or none
        # Each file is whole from the moment that it is there.
        assert [path for path, data in found.items() if data not in (before.get(path), after.get(path))] == [], at
        LogWriter(home).append(new if served == old else [])
        assert entries_of(home) == old + new, at
        assert files_of(home / "public") == after, at
        assert not (home / "pending").exists()
        shutil.rmtree(home)


def test_interrupted_again_and_again(case, tmp_path):
    """Each run gets one operation further; what it left is gone on with, or begun again."""
    template, old, new, count, after = case
    home = tmp_path / "log"
    shutil.copytree(template, home)
    for at in range(1, 2 * count):
        try:
            with pytest.MonkeyPatch.context() as patching:
                Faults(patching, at=at, how=None)
                LogWriter(home).append(new)
        except KilledError:
            assert entries_of(home) in (old, old + new)
        except DuplicateEntryError:
            break
        else:
            break
    assert files_of(home / "public") == after


def test_the_entries_of_an_interrupted_run_come_first(tmp_path):
    make(tmp_path)
    with pytest.MonkeyPatch.context() as patching:
        faults = Faults(patching)
        patching.setattr(LogWriter, "_grow", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            LogWriter(tmp_path).append([entry(1)])
        assert faults.count
    done = LogWriter(tmp_path).append([entry(2)])
    assert entries_of(tmp_path) == [entry(1), entry(2)]
    assert (done.size, done.places) == (2, (1,))


def test_the_same_entry_after_an_interruption_is_no_duplicate(tmp_path):
    make(tmp_path)
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(LogWriter, "_grow", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            LogWriter(tmp_path).append([entry(1)])
    assert LogWriter(tmp_path).append([entry(1)]).places == (0,)
    assert entries_of(tmp_path) == [entry(1)]


def test_a_disk_that_stays_full_changes_nothing_that_is_served(tmp_path):
    make(tmp_path).append(OLD)
    before = files_of(tmp_path / "public")
    for _ in range(3):
        interrupted(tmp_path, NEW, at=4, how=HOWS["disk full"])
        assert files_of(tmp_path / "public") == before


def test_the_error_says_what_to_do(tmp_path):
    make(tmp_path)
    with pytest.MonkeyPatch.context() as patching:
        Faults(patching, at=5, how=HOWS["disk full"])
        with pytest.raises(
            LogStorageError, match=r"cannot write .*No space left on device; free space and run it again"
        ):
            LogWriter(tmp_path).append([entry(1)])


def test_a_log_that_was_not_made_to_the_end_is_made_anew(tmp_path):
    with pytest.MonkeyPatch.context() as patching:
        count = Faults(patching)
        make(tmp_path / "whole")
    for at in range(1, count.count + 1):
        home = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patching:
            Faults(patching, at=at, how=None)
            with pytest.raises(KilledError):
                make(home)
        if not (home / "log.json").exists():
            make(home)
        LogWriter(home).append([entry(1)])
        assert entries_of(home) == [entry(1)]


_CHILD = """
import os, sys
from pathlib import Path
from client_sdk.transparency.log.config import Config
from client_sdk.transparency.log.writer import LogWriter, create
from tests.fakes.simulated_vm import publisher
LogWriter(Path(sys.argv[1])).append([Path(name).read_bytes() for name in sys.argv[2:]])
"""


def test_a_process_that_is_really_killed(tmp_path):
    """SIGKILL at any moment, by the clock: the log is right, and the next run goes on."""
    home = tmp_path / "log"
    make(home)
    names = []
    for number in range(1, 200):
        names.append(tmp_path / f"{number}.json")
        names[-1].write_bytes(entry(number))
    for attempt in range(6):
        child = subprocess.Popen([sys.executable, "-c", _CHILD, home, *names], stderr=subprocess.DEVNULL)
        try:
            child.wait(timeout=0.15 + 0.06 * attempt)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.wait(timeout=60)
        assert entries_of(home) in ([], [path.read_bytes() for path in names])
    if not entries_of(home):
        LogWriter(home).append([path.read_bytes() for path in names])
    LogWriter(home).renew(writer.nobody)
    assert [sha256(data).digest() for data in entries_of(home)] == [sha256(p.read_bytes()).digest() for p in names]


def new_log(home):
    return create(home, lambda key: Config(key.verifier, publisher()), NoteSigner.generate(ORIGIN))


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS.keys())
def test_a_log_whose_making_was_interrupted_at_any_operation_keeps_its_key(tmp_path, how):
    with pytest.MonkeyPatch.context() as patching:
        faults = Faults(patching)
        new_log(tmp_path / "counted")
    assert faults.count > 15
    kept = 0
    for at in range(1, faults.count):
        home = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patching:
            Faults(patching, at=at, how=how)
            with pytest.raises((LogStorageError, KilledError)):
                new_log(home)
        if (home / "log.json").exists():  # what was interrupted came after it
            continue
        key = (home / "log.key").read_bytes() if (home / "log.key").exists() else None
        made = new_log(home)
        assert key in (None, (home / "log.key").read_bytes()), at
        assert (home / "log.pub").read_text() == f"{made.log}\n", at
        kept += key is not None
        LogWriter(home).append([entry(1)])
        assert entries_of(home, made.log) == [entry(1)], at
    assert kept


def test_a_folder_with_only_a_key_is_no_log_that_was_being_made(tmp_path):
    """A key that was restored from a backup, say: its log was shown, and a new one under it would be a fork."""
    new_log(tmp_path / "log")
    home = tmp_path / "restored"
    home.mkdir()
    shutil.copy(tmp_path / "log/log.key", home)
    key = (home / "log.key").read_bytes()
    with pytest.raises(LogDamagedError, match=r"not replaced: restore the newest state of its log, log\.json and"):
        new_log(home)
    assert (home / "log.key").read_bytes() == key
    assert not (home / "public").exists()


def test_a_log_that_lost_all_but_its_key_and_its_checkpoint_is_not_begun_again(tmp_path):
    make(tmp_path).append(OLD)
    shutil.rmtree(tmp_path / "public/tile")
    (tmp_path / "log.json").unlink()
    before = files_of(tmp_path)
    with pytest.raises(LogDamagedError, match="it is not replaced"):
        new_log(tmp_path)
    assert files_of(tmp_path) == before


def test_a_log_whose_public_files_are_those_of_its_beginning_is_not_begun_again(tmp_path):
    """What it remembers says that it signed two entries: two others under its key would be a fork of it."""
    make(tmp_path / "log")
    shutil.copytree(tmp_path / "log/public", tmp_path / "backup")
    LogWriter(tmp_path / "log").append(OLD[:2])
    shutil.rmtree(tmp_path / "log/public")
    shutil.copytree(tmp_path / "backup", tmp_path / "log/public")
    (tmp_path / "log/log.json").unlink()
    before = files_of(tmp_path / "log")
    with pytest.raises(LogDamagedError, match=r"contents\.json: .* got size 2; it is not replaced: restore"):
        new_log(tmp_path / "log")
    assert files_of(tmp_path / "log") == before


@pytest.mark.parametrize(
    ("name", "left", "told"),
    [
        ("contents.json", b"{", "restore the newest state of its log"),
        ("contents.json", None, "it is not replaced: restore the newest state of its log"),
        ("checkpoint.waiting", b"", r"has lost its log\.json"),
    ],
)
def test_what_no_interrupted_making_of_a_log_leaves_is_not_gone_on_with(tmp_path, name, left, told):
    new_log(tmp_path)
    (tmp_path / "log.json").unlink()
    (tmp_path / name).unlink(missing_ok=True)
    if left is not None:
        (tmp_path / name).write_bytes(left)
    before = files_of(tmp_path)
    with pytest.raises(LogDamagedError, match=told):
        new_log(tmp_path)
    assert files_of(tmp_path) == before


def test_a_key_that_others_may_read_is_not_gone_on_with(tmp_path):
    new_log(tmp_path)
    (tmp_path / "log.json").unlink()
    (tmp_path / "log.key").chmod(0o644)
    with pytest.raises(LogDamagedError, match="chmod 600 it"):
        new_log(tmp_path)
