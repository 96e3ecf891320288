"""A monitor: it tells every new release once, and says loudly when the log is not the one that it was."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.dsse import sign
from client_sdk.errors import EvidenceError, FetchError, LogDamagedError, VerificationError
from client_sdk.publisher import Publisher
from client_sdk.rotation import KeySet, Rotation, rotate
from client_sdk.transparency.formats.checkpoint import Checkpoint
from client_sdk.transparency.formats.merkle import leaf_hash
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner, add_signature, sign_note
from client_sdk.transparency.formats.tiles import ENTRIES, Tile, pack
from client_sdk.transparency.log.config import Cosigner
from client_sdk.transparency.log.remote import Folder
from client_sdk.transparency.log.tree import Growing
from client_sdk.transparency.log.writer import LogWriter
from client_sdk.transparency.watchers.monitor import Monitor, MonitorState, Watched
from tests.fakes.simulated_vm import publisher, publisher_key, release, signed
from tests.transparency.keeping import LOG, NEXT_KEY, SIGNER, entry, log_of, make, many, rotation, stranger

NOW = 1_800_000_000
WATCHED = Watched(LOG, publisher())


class Watching:
    """A monitor of a folder that is asked again and again, each time from what it wrote down."""

    def __init__(self, home, watched=WATCHED):
        self.source, self.watched, self.kept = Folder(home), watched, None

    def look(self, **options):
        state = None if self.kept is None else MonitorState.from_json(self.kept, self.watched.log)
        self.monitor = Monitor(self.source, self.watched, state)
        try:
            return list(self.monitor.look(now=NOW, **options))
        finally:
            if self.monitor.state is not None:
                self.kept = self.monitor.state.to_json(self.watched.log)

    def numbers(self, **options):
        return [told.entry.said.number if told.entry else None for told in self.look(**options)]

    def alarmed(self, rule, **options):
        before = self.kept
        with pytest.raises(VerificationError) as caught:
            self.look(**options)
        assert caught.value.rule == rule
        assert self.kept == before  # it stays with what it saw
        return str(caught.value)


def served(home, entries, *, signer=SIGNER):
    """Write the files of a log without asking what is in it: what a dishonest one serves."""
    shutil.rmtree(home / "public", ignore_errors=True)

    def keep(tile, data):
        path = home / "public" / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    growing = Growing(keep)
    for data in entries:
        growing.add(leaf_hash(data))
    for start in range(0, len(entries), 256):
        row = entries[start : start + 256]
        keep(Tile(ENTRIES, start // 256, len(row)), pack(row))
    checkpoint = Checkpoint(signer.name, len(entries), growing.finish())
    (home / "public/checkpoint").write_bytes(sign_note(checkpoint.to_text(), signer))


@pytest.fixture
def home(tmp_path):
    log_of(tmp_path / "log", 1, 2, 3)
    return tmp_path / "log"


@pytest.fixture
def watching(home):
    made = Watching(home)
    assert made.numbers() == [1, 2, 3]
    return made


def test_every_release_is_told_once(home, watching):
    assert watching.numbers() == []
    many(home, 2, start=4)
    assert watching.numbers() == [4, 5]
    assert watching.numbers() == []


def test_a_large_log_is_told_in_parts(home, watching):
    many(home, 600, start=4)
    assert watching.numbers(most=100) == list(range(4, 104))
    assert watching.numbers(most=300) == list(range(104, 404))
    assert watching.numbers(recheck=None) == list(range(404, 604))


def test_who_stops_in_the_middle_goes_on_there(home):
    monitor = Monitor(Folder(home), WATCHED, None)
    telling = monitor.look(now=NOW)
    assert next(telling).index == 0
    assert next(telling).index == 1  # what was asked for after the first: the first is told
    assert monitor.state.contents.size == 1
    rest = Monitor(Folder(home), WATCHED, monitor.state)
    assert [told.index for told in rest.look(now=NOW)] == [1, 2]


def test_keys_that_follow_are_told_and_believed(home, watching):
    LogWriter(home).append((rotation(), entry(4, key=NEXT_KEY)))
    first, second = watching.look()
    assert isinstance(first.entry.said, Rotation)
    assert second.entry.said.number == 4


def test_what_another_signed_is_told_as_such(home):
    watching = Watching(home, replace(WATCHED, publisher=stranger()))
    assert watching.numbers() == [None, None, None]


def test_what_is_no_release_is_told_as_such(tmp_path):
    served(tmp_path, [entry(1), b"{}", b"\xff", entry(2)])
    assert Watching(tmp_path).numbers() == [1, None, None, 2]


def test_a_fork_of_the_same_size(home, watching):
    served(home, [entry(1), entry(2), entry(4)])
    assert "the log has only grown since it was seen" in watching.alarmed("R3.fork")
    assert watching.monitor.seen != watching.monitor.shown  # both are signed: they convince anybody


def test_a_fork_of_which_nothing_but_the_checkpoint_is_shown(home, watching):
    """Its signature is proof enough: nobody has to wait for its tiles."""
    note = Checkpoint(LOG.name, 3, bytes(32)).to_text()
    (home / "public/checkpoint").write_bytes(sign_note(note, SIGNER))
    watching.alarmed("R3.fork")


@pytest.mark.parametrize("size", [4, 9, 300])
def test_a_fork_that_is_larger(home, watching, size):
    served(home, [entry(1), entry(2), *(entry(number) for number in range(4, size + 2))])
    watching.alarmed("R3.fork")


def test_a_fork_that_is_smaller(home, watching):
    """Its files are there as well, so it is no old file."""
    keep = home.parent / "keep"
    shutil.copytree(home / "public", keep)
    served(home, [entry(1), entry(4)])
    note = (home / "public/checkpoint").read_bytes()
    shutil.rmtree(home / "public")
    shutil.copytree(keep, home / "public")
    (home / "public/checkpoint").write_bytes(note)
    watching.alarmed("R3.fork")


def test_an_old_checkpoint_in_a_cache(home):
    old = (home / "public/checkpoint").read_bytes()
    many(home, 300, start=4)
    watching = Watching(home)
    assert len(watching.numbers()) == 303
    (home / "public/checkpoint").write_bytes(old)
    assert "is an old file served, by a cache say?" in watching.alarmed("R3.stale")


@pytest.mark.parametrize("count", [2, 300])
def test_a_log_that_shrank(tmp_path, count):
    log_of(tmp_path, 1)
    shutil.copytree(tmp_path / "public", tmp_path / "old")
    many(tmp_path, count, start=2)
    watching = Watching(tmp_path)
    watching.look()
    shutil.rmtree(tmp_path / "public")
    shutil.move(tmp_path / "old", tmp_path / "public")
    assert "and other files are gone" in watching.alarmed("R3.shrunken")


class Answering500:
    """A log that shows its checkpoint, and has no other answer than an error for the other files, or some of them."""

    def __init__(self, home, but=()):
        self._folder, self.but = Folder(home), but

    def get(self, path, *, limit):
        if path == "checkpoint" or path.startswith(tuple(self.but)):
            return self._folder.get(path, limit=limit)
        raise FetchError(f"{path} answered HTTP 500")


@pytest.mark.parametrize("entries", [(1,), (1, 2), (1, 4)])
def test_a_smaller_checkpoint_is_an_alarm_though_every_tile_answers_500(home, watching, entries):
    served(home, [entry(number) for number in entries])
    watching.source = Answering500(home)
    assert "cannot be read" in watching.alarmed("R3.stale")


def test_a_smaller_checkpoint_with_malformed_tiles_is_an_alarm(home, watching):
    old = home / "public/checkpoint"
    keep = old.read_bytes()
    many(home, 1, start=4)
    watching.look()
    old.write_bytes(keep)
    (home / "public/tile/0/000.p/4").write_bytes(b"short")
    watching.alarmed("R3.stale")


def _fails(watching):
    with pytest.raises(FetchError, match="HTTP 500"):
        watching.look()


@pytest.mark.parametrize("but", [(), ("tile/0/",)])
def test_a_larger_checkpoint_whose_files_answer_500_is_an_alarm_after_three_looks(home, watching, but):
    many(home, 2, start=4)
    watching.source = Answering500(home, but)
    _fails(watching)
    _fails(watching)
    with pytest.raises(VerificationError, match="3 looks without it") as caught:
        watching.look()
    assert caught.value.rule == "R2.missing"
    watching.source = Folder(home)
    assert watching.numbers() == [4, 5]
    watching.source = Answering500(home)
    many(home, 1, start=6)
    _fails(watching)  # counted from the beginning


def test_a_fork_hidden_by_500_is_found_when_the_log_is_itself_again(home, watching):
    """What was signed is kept: the true log does not continue it."""
    keep = home.parent / "keep"
    many(home, 2, start=4)
    shutil.copytree(home / "public", keep)
    served(home, [entry(1), entry(2), entry(3), entry(9)])
    watching.source, note = Answering500(home), (home / "public/checkpoint").read_bytes()
    _fails(watching)
    shutil.rmtree(home / "public")
    shutil.copytree(keep, home / "public")
    watching.source = Folder(home)
    watching.alarmed("R3.fork")
    assert watching.monitor.seen == note


@pytest.mark.parametrize(("numbers", "rule"), [((1, 2, 3, 8), "R3.fork"), ((1, 2, 3), "R3.stale")])
def test_what_contradicts_a_checkpoint_under_which_nothing_was_read_is_an_alarm(home, watching, numbers, rule):
    served(home, [entry(1), entry(2), entry(3), entry(9)])
    watching.source = Answering500(home)
    _fails(watching)
    served(home, [entry(number) for number in numbers])
    watching.alarmed(rule)


@pytest.mark.parametrize("path", ["tile/0/000.p/3", "tile/entries/000.p/3"])
def test_a_file_that_changed(home, watching, path):
    data = bytearray((home / "public" / path).read_bytes())
    data[50] ^= 1
    (home / "public" / path).write_bytes(data)
    watching.alarmed("R2.tile")


@pytest.mark.parametrize("name", ["tile/0/000", "tile/0/001", "tile/1/000.p/2", "tile/entries/001"])
def test_an_old_file_of_a_larger_log_that_changed(tmp_path, name):
    many(tmp_path, 600)
    watching = Watching(tmp_path)
    watching.look()
    path = tmp_path / "public" / name
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    watching.alarmed("R2.tile", recheck=None)


@pytest.mark.parametrize("name", ["tile/0/000.p/3", "tile/entries/000.p/3"])
def test_a_file_that_is_gone(home, watching, name):
    (home / "public" / name).unlink()
    watching.alarmed("R2.missing")


def test_a_checkpoint_of_another_key(home, watching):
    served(home, [entry(1), entry(2), entry(3)], signer=NoteSigner.generate(LOG.name))
    watching.alarmed("R2.note")


def test_a_checkpoint_that_was_signed_again_by_another_log(home, watching):
    served(home, [entry(1), entry(2), entry(3)], signer=NoteSigner.generate("other.example"))
    watching.alarmed("R2.note")


def test_numbers_that_go_back_are_an_alarm_and_the_rest_is_told(tmp_path):
    served(tmp_path, [entry(2), entry(1), entry(2), entry(3)])
    told = Watching(tmp_path).look()
    assert [_word(one) for one in told] == [2, "R3.order", "again", 3]


def _word(told):
    if told.alarm or told.again:
        return told.alarm.rule if told.alarm else "again"
    return told.entry.said.number if told.entry else None


def _words(home, entries, watched=WATCHED):
    """Return what each entry is told as, in one look and in one look each: what is kept is enough to know it."""
    served(home, entries)
    whole = [_word(told) for told in Watching(home, watched).look()]
    one_by_one = Watching(home, watched)
    assert [_word(told) for _ in entries for told in one_by_one.look(most=1)] == whole
    return whole


THIEF = Ed25519PrivateKey.from_private_bytes(b"whoever took the old key, bytes.")
MINE, NEXT, STOLEN = KeySet.of(publisher()), KeySet((NEXT_KEY.public_key(),)), KeySet((THIEF.public_key(),))


def test_a_release_by_keys_that_were_rotated_away_is_an_alarm(tmp_path):
    """A client that pinned the first keys, and is kept from the rotation, takes it."""
    late = entry(99)
    assert _words(tmp_path, [entry(1), rotation(), entry(2, key=NEXT_KEY), late, entry(3, key=NEXT_KEY)]) == [
        1, 2, 2, "R3.rotated-away", 3
    ]  # fmt: skip


@pytest.mark.parametrize("number", [2, 3, 9])
def test_a_second_rotation_of_the_first_keys_is_an_alarm_and_so_is_what_it_leads_to(tmp_path, number):
    fork = rotate(MINE, STOLEN, number=number, keys=(publisher_key(), THIEF))
    log = [entry(1), rotation(), fork, entry(9, key=THIEF), entry(2, key=NEXT_KEY)]
    assert _words(tmp_path, log) == [1, 2, "R3.rotated-away", "R3.rotated-away", 2]


def test_a_rotation_by_the_first_of_three_sets_is_an_alarm(tmp_path):
    third = rotate(NEXT, STOLEN, number=3, keys=(NEXT_KEY, THIEF))
    own = [entry(1), rotation(), third, entry(2, key=THIEF)]
    assert _words(tmp_path, [*own, entry(7), entry(8, key=NEXT_KEY)]) == [1, 2, 3, 2, *["R3.rotated-away"] * 2]


def test_a_second_rotation_2_of_the_present_keys_is_an_alarm_and_so_is_what_it_leads_to(tmp_path):
    fork = rotate(NEXT, STOLEN, number=2, keys=(NEXT_KEY, THIEF))
    log = [entry(1), rotation(), fork, entry(9, key=THIEF), entry(2, key=NEXT_KEY)]
    assert _words(tmp_path, log) == [1, 2, "R3.order", "R3.rotated-away", 2]


def test_a_strangers_rotation_and_release_are_no_alarm(tmp_path):
    keys = KeySet((Ed25519PrivateKey.generate().public_key(),))
    for number in (2, 3):
        theirs = [rotate(start, keys, number=number) for start in (MINE, NEXT, STOLEN)]
        signed_ = rotate(STOLEN, keys, number=number, keys=(THIEF,))
        log = [entry(1), rotation(), *theirs, signed_, entry(8, key=THIEF)]
        assert _words(tmp_path, log) == [1, 2, None, None, None, None, None]


def test_one_of_two_earlier_holders_alone_is_no_alarm(tmp_path):
    both = KeySet((*MINE.keys, THIEF.public_key()), 2)
    first = rotate(both, NEXT, number=2, keys=(publisher_key(), THIEF, NEXT_KEY))
    watched = replace(WATCHED, publisher=Publisher(keys=both.keys, threshold=2))
    together = sign(release(5).to_statement(), (publisher_key(), THIEF))
    assert _words(tmp_path, [first, entry(4), together], watched) == [2, None, "R3.rotated-away"]


def test_a_replay_of_the_publishers_own_entries_is_told_and_no_alarm(tmp_path):
    """Also one that a stranger wrapped anew, and one from before the keys changed."""
    own = [entry(1), entry(2), rotation(), entry(3, key=NEXT_KEY)]
    wrapped = json.loads(own[3])
    wrapped["signatures"] += [{"keyid": "", "sig": "A" * 86 + "=="}]
    again = [own[0], own[2], own[3], json.dumps(wrapped).encode()]
    assert _words(tmp_path, [*own, *again, entry(4, key=NEXT_KEY)]) == [1, 2, 2, 3, *["again"] * 4, 4]


def test_a_release_that_was_replaced_under_its_number(tmp_path):
    served(tmp_path, [entry(1), signed(replace(release(1), revokes=(9,)))])
    assert [one.alarm is not None for one in Watching(tmp_path).look()] == [False, True]


@pytest.fixture
def witnessed(tmp_path):
    signer = NoteSigner.generate("witness.example/w1", COSIGNATURE)
    home = tmp_path / "log"
    log = make(home, witnesses=(Cosigner(signer.verifier),), quorum=1)

    def cosign(note, _tiles):
        return (signer.sign(note.decode().rpartition("\n\n")[0] + "\n", at=NOW - 100),)

    log.append((entry(1),), cosign)
    return home, signer.verifier


def test_a_witness_that_signed_lately(witnessed):
    home, key = witnessed
    assert Watching(home, replace(WATCHED, witnesses=(key,), max_age=100)).numbers() == [1]


def test_a_log_that_stands_still_for_its_witnesses(witnessed):
    home, key = witnessed
    watching = Watching(home, replace(WATCHED, witnesses=(key,), max_age=99))
    assert "100 seconds ago" in watching.alarmed("R3.stale")


@pytest.mark.parametrize("ahead", [301, 10**9])
def test_one_witness_with_a_time_to_come_does_not_make_the_checkpoint_young(home, ahead):
    keys = [NoteSigner.generate(f"witness.example/w{n}", COSIGNATURE) for n in (1, 2)]
    path = home / "public/checkpoint"
    text = path.read_text().rpartition("\n\n")[0] + "\n"
    note = path.read_bytes()
    for key, at in zip(keys, (NOW - 10**6, NOW + ahead), strict=True):
        note = add_signature(note, key.sign(text, at=at))
    path.write_bytes(note)
    watched = replace(WATCHED, witnesses=tuple(key.verifier for key in keys), max_age=86_400)
    assert "1000000 seconds ago" in Watching(home, watched).alarmed("R3.stale")


def test_no_witness_signed(home):
    key = NoteSigner.generate("witness.example/w1", COSIGNATURE).verifier
    watching = Watching(home, replace(WATCHED, witnesses=(key,), max_age=100))
    watching.alarmed("R3.stale")


def test_a_log_that_is_not_there(tmp_path):
    with pytest.raises(FetchError, match="checkpoint is not there"):
        Watching(tmp_path).look()


def test_the_state_of_another_log(watching):
    with pytest.raises(LogDamagedError, match="give another folder"):
        MonitorState.from_json(watching.kept, NoteSigner.generate("other.example").verifier)


def test_damaged_states_are_an_error_of_ours(watching):
    """Every byte is changed once, and the file cut everywhere."""
    chosen = random.Random(1)  # noqa: S311 - damage
    for place in range(len(watching.kept)):
        changed = bytearray(watching.kept)
        changed[place] = chosen.randrange(256)
        for data in (bytes(changed), watching.kept[:place]):
            try:
                MonitorState.from_json(data, LOG)
            except (EvidenceError, LogDamagedError):
                pass
