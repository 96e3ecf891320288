"""Appending to a log: what follows, what is refused, and what a log that is not what it was says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.encoding import canonical_json, to_base64
from client_sdk.errors import (
    DuplicateEntryError,
    EvidenceError,
    LogBusyError,
    LogDamagedError,
    LogStorageError,
    OutOfOrderError,
    UnwitnessedError,
    VerificationError,
)
from client_sdk.rotation import KeySet, rotate
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner
from client_sdk.transparency.log import writer
from client_sdk.transparency.log.config import Config, Cosigner
from client_sdk.transparency.log.store import Store
from client_sdk.transparency.log.writer import LogWriter
from tests.fakes.simulated_vm import publisher, release, signed
from tests.transparency.keeping import (
    LOG,
    NEXT_KEY,
    SIGNER,
    entries_of,
    entry,
    log_of,
    make,
    many,
    rotation,
    stranger,
    tree_of,
)

WITNESSES = tuple(NoteSigner.generate(f"witness.example/w{number}", COSIGNATURE) for number in range(2))


def signing(*signers, at=1000):
    def cosign(note, _tiles):
        text = note.decode().rpartition("\n\n")[0] + "\n"
        return tuple(signer.sign(text, at=at) for signer in signers)

    return cosign


def witnessed(home, quorum=2):
    return make(home, witnesses=tuple(Cosigner(signer.verifier) for signer in WITNESSES), quorum=quorum)


def test_entries_are_in_the_log_at_their_places(tmp_path):
    log = log_of(tmp_path, 1, 2)
    done = log.append((entry(3), entry(7)))
    assert (done.size, done.places) == (4, (2, 3))
    assert entries_of(tmp_path) == [entry(number) for number in (1, 2, 3, 7)]


def test_the_tree_does_not_depend_on_how_it_grew(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    many(one, 520)
    for start, count in ((1, 1), (2, 254), (256, 1), (257, 3), (260, 261)):
        many(two, count, start=start)
    assert tree_of(one).checkpoint == tree_of(two).checkpoint
    assert tree_of(one).size == 520


def test_what_is_hosted_is_the_checkpoint_and_tiles_and_nothing_else(tmp_path):
    many(tmp_path, 300)
    files = {
        path.relative_to(tmp_path / "public").as_posix() for path in (tmp_path / "public").rglob("*") if path.is_file()
    }
    wanted = {"checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"}
    assert files == wanted | {"tile/entries/000", "tile/entries/001.p/44"}


def test_partial_files_are_kept_until_the_full_one_is_there(tmp_path):
    log = log_of(tmp_path, 1, 2)
    assert (tmp_path / "public/tile/0/000.p/1").exists()
    log.append([entry(number) for number in range(3, 257)])
    assert not (tmp_path / "public/tile/0/000.p").exists()
    assert not (tmp_path / "public/tile/entries/000.p").exists()


def test_services_are_counted_each_for_itself(tmp_path):
    log = log_of(tmp_path, 5)
    log.append((entry(1, service="another"),))
    assert {name: last[0] for name, last in log.contents().services.items()} == {"vitrine": 5, "another": 1}


def test_keys_that_follow_sign_from_then_on(tmp_path):
    log = log_of(tmp_path, 1)
    log.append((rotation(),))
    with pytest.raises(VerificationError, match=r"\[R3\.rotated-away\]"):
        log.append((entry(2),))
    log.append((entry(2, key=NEXT_KEY),))
    assert log.contents().rotations == (1,)


@pytest.mark.parametrize("key", ["log.key"])
def test_private_keys_are_their_owners_alone(tmp_path, key):
    make(tmp_path)
    assert (tmp_path / key).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in "".join(
        p.read_text("utf-8", "replace") for p in (tmp_path / "public").rglob("*") if p.is_file()
    )


def test_a_key_that_others_may_read(tmp_path):
    make(tmp_path)
    (tmp_path / "log.key").chmod(0o640)
    with pytest.raises(LogDamagedError, match="chmod 600"):
        LogWriter(tmp_path)


def test_a_key_of_another_log(tmp_path):
    make(tmp_path / "one")
    make(tmp_path / "two", signer=NoteSigner.generate("other.example"))
    shutil.copy(tmp_path / "two/log.key", tmp_path / "one/log.key")
    with pytest.raises(LogDamagedError, match="not the key of"):
        LogWriter(tmp_path / "one")


def test_the_last_release_again(tmp_path):
    log = log_of(tmp_path, 1, 2)
    with pytest.raises(DuplicateEntryError, match="release 2 of vitrine is in the log already"):
        log.append((entry(2),))
    assert tree_of(tmp_path).size == 2


def test_a_release_twice_in_one_run(tmp_path):
    log = make(tmp_path)
    with pytest.raises(DuplicateEntryError):
        log.append((entry(1), entry(1)))
    assert tree_of(tmp_path).size == 0


@pytest.mark.parametrize("number", [1, 2])
def test_a_number_that_does_not_go_up(tmp_path, number):
    log = log_of(tmp_path, 1, 2)
    changed = signed(replace(release(number), revokes=(7,)))
    with pytest.raises(OutOfOrderError, match=f"release {number} of vitrine follows release 3"):
        log.append((entry(3), changed))
    assert tree_of(tmp_path).size == 2  # nor the one before it


def test_a_strangers_rotation_is_a_strangers_before_it_is_out_of_order(tmp_path):
    """Else whoever has an entry in a shared log could make the publisher's clients cry out."""
    log = make(tmp_path / "log")
    log.append((rotation(),))
    first, second = (Ed25519PrivateKey.generate() for _ in range(2))
    sets = (KeySet((one.public_key(),)) for one in (first, second))
    theirs = rotate(*sets, number=2, keys=(first, second))
    unsigned = json.dumps(json.loads(theirs) | {"signatures": json.loads(theirs)["signatures"][:1]}).encode()
    for envelope in (theirs, unsigned):
        with pytest.raises(VerificationError, match="present keys"):
            log.append((envelope,))
    assert log.contents().rotations == (0,)


def test_the_same_rotation_again(tmp_path):
    log = log_of(tmp_path, 1)
    log.append((rotation(),))
    with pytest.raises(DuplicateEntryError, match="rotation 2"):
        log.append((rotation(),))


def test_what_another_publisher_signed(tmp_path):
    log = make(tmp_path)
    with pytest.raises(VerificationError, match=r"\[R1\]"):
        log.append((entry(1, key=NEXT_KEY),))
    assert stranger().public_keys != publisher().public_keys


@pytest.mark.parametrize("data", [b"", b"{}", b"not JSON", bytes(70_000), b"[" * 1000])
def test_what_is_no_entry(tmp_path, data):
    with pytest.raises(EvidenceError):
        make(tmp_path).append((data,))
    assert tree_of(tmp_path).size == 0


def test_two_writers_at_once(tmp_path):
    log = make(tmp_path)
    with Store(tmp_path).sole(), pytest.raises(LogBusyError, match="another run writes here"):
        log.append((entry(1),))
    log.append((entry(1),))


def test_a_log_in_a_folder_that_has_one(tmp_path):
    log_of(tmp_path, 1)
    key = (tmp_path / "log.key").read_bytes()
    with pytest.raises(LogDamagedError, match="there is a log already"):
        make(tmp_path)
    assert (tmp_path / "log.key").read_bytes() == key


def test_a_log_that_lost_its_configuration_keeps_its_key(tmp_path):
    log_of(tmp_path, 1)
    key = (tmp_path / "log.key").read_bytes()
    (tmp_path / "log.json").unlink()
    with pytest.raises(LogDamagedError, match=r"a log that has lost its log\.json"):
        make(tmp_path)
    assert (tmp_path / "log.key").read_bytes() == key


def test_no_log(tmp_path):
    with pytest.raises(LogStorageError, match="make one with vitrine log init"):
        LogWriter(tmp_path)


@pytest.mark.parametrize("name", ["tile/0/000.p/2", "tile/entries/000.p/2", "checkpoint"])
@pytest.mark.parametrize("how", ["gone", "changed", "cut"])
def test_nothing_is_signed_over_files_that_are_not_the_logs(tmp_path, name, how):
    log_of(tmp_path, 1, 2)
    path = tmp_path / "public" / name
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if how == "cut" else data[:40] + bytes([data[40] ^ 1]) + data[41:])
    before = (tmp_path / "public/checkpoint").read_bytes() if (tmp_path / "public/checkpoint").exists() else b""
    with pytest.raises(LogDamagedError):
        LogWriter(tmp_path).append((entry(3),))
    after = (tmp_path / "public/checkpoint").read_bytes() if (tmp_path / "public/checkpoint").exists() else b""
    assert after == before


def test_public_files_restored_from_before(tmp_path):
    """Signing over them would be a fork: the log knows that it had more."""
    log = log_of(tmp_path, 1, 2)
    shutil.copytree(tmp_path / "public", tmp_path / "copy")
    log.append((entry(3),))
    shutil.rmtree(tmp_path / "public")
    shutil.move(tmp_path / "copy", tmp_path / "public")
    with pytest.raises(LogDamagedError, match="older state"):
        LogWriter(tmp_path).append((entry(4),))


def test_what_was_remembered_is_lost(tmp_path):
    many(tmp_path, 300)
    (tmp_path / writer.STATE).unlink()
    with pytest.raises(DuplicateEntryError, match="release 299 of"):
        LogWriter(tmp_path).append((entry(299),))
    many(tmp_path, 1, start=301)
    assert tree_of(tmp_path).size == 301


@pytest.mark.parametrize("name", ["log.json", "contents.json", "pending"])
@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"version":2}', b"\xff"])
def test_files_of_the_log_that_are_something_else(tmp_path, name, data):
    log_of(tmp_path, 1)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LogDamagedError, match=name):
        LogWriter(tmp_path).append((entry(2),))


def test_a_checkpoint_is_shown_when_the_quorum_has_signed(tmp_path):
    log = witnessed(tmp_path)
    log.append((entry(1),), signing(*WITNESSES))
    assert b"witness.example/w1" in (tmp_path / "public/checkpoint").read_bytes()


def test_too_few_witnesses(tmp_path):
    log = witnessed(tmp_path)
    with pytest.raises(UnwitnessedError, match=r"1 of 2 witnesses signed .* not witness.example/w1"):
        log.append((entry(1),), signing(WITNESSES[0]))
    assert tree_of(tmp_path).size == 0
    with pytest.raises(UnwitnessedError):  # nothing comes before it
        log.append((entry(2),), signing(WITNESSES[0]))
    log.append((), signing(WITNESSES[1]))  # what the first signed is kept
    assert entries_of(tmp_path) == [entry(1)]
    assert not (tmp_path / writer.WAITING).exists()


def test_a_signature_that_is_none_of_a_witness(tmp_path):
    log = witnessed(tmp_path, quorum=1)
    false = replace(WITNESSES[0].sign("another text\n", at=1), data=bytes(72))
    with pytest.raises(LogDamagedError, match=r"R2\.note"):
        log.append((entry(1),), lambda *_: (false,))
    assert tree_of(tmp_path).size == 0


def test_signed_anew_without_entries(tmp_path):
    log = witnessed(tmp_path)
    log.append((entry(1),), signing(*WITNESSES))
    old = (tmp_path / "public/checkpoint").read_bytes()
    assert log.renew(signing(*WITNESSES, at=2000)) == 1
    assert (tmp_path / "public/checkpoint").read_bytes() != old


@pytest.mark.parametrize("quorum", [-1, 3])
def test_a_quorum_that_cannot_be_met(quorum):
    witnesses = tuple(Cosigner(signer.verifier) for signer in WITNESSES)
    with pytest.raises(EvidenceError, match="expected 0 to 2"):
        Config(LOG, publisher(), witnesses, quorum)


def test_a_witness_twice_counts_once():
    with pytest.raises(EvidenceError, match="each with its own key"):
        Config(LOG, publisher(), (Cosigner(WITNESSES[0].verifier),) * 2, 2)


def test_keys_in_each_others_place():
    with pytest.raises(EvidenceError, match="no witness's"):
        Cosigner(SIGNER.verifier)
    with pytest.raises(EvidenceError, match="no log's"):
        Config(WITNESSES[0].verifier, publisher())


@pytest.mark.parametrize("size", [0, 1, 7])
def test_entries_that_were_noted_for_another_tree(tmp_path, size):
    """Two interrupted runs of which one was restored from elsewhere, say: nothing is put over what is shown."""
    log = log_of(tmp_path, 1, 2, 3)
    before = (tmp_path / "public/checkpoint").read_bytes()
    (tmp_path / "pending").write_bytes(canonical_json({"size": size, "entries": [to_base64(entry(9))]}))
    with pytest.raises(LogDamagedError):
        log.append((entry(4),))
    assert (tmp_path / "public/checkpoint").read_bytes() == before
