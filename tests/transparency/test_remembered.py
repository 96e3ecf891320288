"""What an attacker makes of a client's memory by what he gives it, and in which order (R1, R3)."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.dsse import sign
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from client_sdk.rotation import KeySet, join_rotations, rotate
from client_sdk.transparency.formats.bundle import Bundle, Place
from client_sdk.transparency.log.bundling import contents_of, make_bundle
from client_sdk.transparency.log.contents import Contents, RotatedAwayError
from client_sdk.transparency.log.remote import Folder, read_checkpoint
from tests.fakes.simulated_vm import NOW, publisher, release, signed
from tests.transparency import keeping
from tests.transparency.logs import W1, FakeLog, others, pinned

A, B, C, D, E, Z = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in range(10, 16))


def keys(*found, threshold=1):
    return KeySet(tuple(key.public_key() for key in found), threshold)


def step(number, old, new):
    return rotate(keys(old), keys(new), number=number, keys=(old, new))


A_B, B_C, C_D, D_E = step(2, A, B), step(3, B, C), step(4, C, D), step(5, D, E)


def by(number, key, **changes):
    return signed(replace(release(number), **changes), key)


@pytest.fixture
def log():
    return FakeLog(others(2))


@pytest.fixture
def opened(tmp_path, log):
    """Open bundles as who pins these keys does, with a memory; a tuple is a release and its rotations."""

    def opened(pin, *given, remember=True, log=log):
        log.add(*(one for one, *_ in given if one not in log.entries))
        files = [log.bundle(one, rotations=tuple(rotations)).to_json() for one, *rotations in given]
        pin = pin if isinstance(pin, Publisher) else pinned(keys=(pin.public_key(),))
        found = open_releases(files, pin, now=NOW, memory=tmp_path / "state", remember=remember)
        return [one.number for one in found.releases]

    return opened


@pytest.fixture
def refused(opened):
    def refused(rule, *given, **how):
        with pytest.raises(VerificationError) as caught:
            opened(*given, **how)
        assert caught.value.rule == rule, caught.value
        return str(caught.value)

    return refused


class TestRotations:
    def test_a_longer_chain_of_before_does_not_make_the_latest_rotation_forgotten(self, opened, refused):
        """Whoever moves the pin forward learns a short chain that leads further."""
        opened(A, (by(4, D), A_B, B_C, C_D))
        opened(C, (by(5, E), C_D, D_E))
        for pin in (A, B, C, D, E):
            refused("R1", pin, (by(6, D),))
            opened(pin, (by(7, E),))

    def test_of_two_chains_of_one_length_none_is_forgotten(self, opened, refused):
        opened(A, (by(1, B), A_B))
        opened(B, (by(2, C), A_B, B_C))
        assert opened(A, (by(3, C), A_B, B_C)) == [3]
        refused("R1", A, (by(4, B),))

    def test_what_another_pin_learned_counts_as_soon_as_keys_lead_there(self, opened, refused):
        opened(C, (by(5, D), C_D))
        refused("R1", A, (by(6, C), A_B, B_C))
        refused("R3.number", A, (by(4, D), A_B, B_C))
        assert opened(A, (by(6, D), A_B, B_C)) == [6]

    @pytest.mark.parametrize("number", [2, 2**53 - 1])
    def test_junk_before_the_pin_does_not_suppress_a_rotation(self, opened, refused, number):
        """Nobody signed it, and its number is higher than that of the genuine one."""
        junk = rotate(keys(Z), keys(B), number=number)
        both = (by(5, C), B_C), (by(6, B), junk)
        for given in (both, both[::-1]):
            refused("R1", B, *given)

    def test_a_gap_in_the_numbers_is_refused_before_it_is_remembered(self, opened, refused):
        opened(A, (by(1, B), A_B))
        assert "the one after the one before" in refused("R1", A, (by(2, C), step(9, B, C)))
        assert opened(A, (by(3, B),)) == [3]

    def test_a_gap_between_what_two_pins_learned_is_refused_before_it_is_remembered(self, opened, refused):
        opened(C, (by(5, D), step(9, C, D)))
        refused("R1", A, (by(6, D), A_B, B_C))
        assert opened(C, (by(7, D),)) == [7]

    def test_a_second_rotation_of_keys_that_left(self, opened, refused):
        opened(A, (by(1, B), A_B))
        for number in (2, 3):
            refused("R1", A, (by(2, Z), step(number, A, Z)))
        refused("R1", A, (by(2, Z), A_B, step(2, A, Z)))
        assert opened(A, (by(3, B), A_B)) == [3]

    def test_chains_that_lead_to_different_keys_are_not_joined(self):
        for other in ((step(3, B, Z),), (A_B, step(3, B, Z)), (D_E,), (step(3, D, E),)):
            with pytest.raises(VerificationError):
                join_rotations((A_B, B_C), other)
            with pytest.raises(VerificationError):
                join_rotations(other, (A_B, B_C))

    @pytest.mark.parametrize("other", [(), (A_B,), (B_C,), (C_D,), (A_B, B_C), (B_C, C_D), (C_D, D_E), (A_B, B_C, C_D)])
    def test_chains_are_joined_whichever_is_given_first(self, other):
        joined = join_rotations((A_B, B_C, C_D), other)
        assert joined == join_rotations(other, (A_B, B_C, C_D)) == (A_B, B_C, C_D, D_E)[: 3 + (D_E in other)]


class TestRefusals:
    """What was proven on the way to a refusal is seen: leaving the evidence away does not help."""

    def test_the_rotation_is_left_away_after_a_refusal(self, opened, refused):
        refused("R1", A, (by(7, A), A_B))
        refused("R1", A, (by(7, A),))
        assert opened(A, (by(7, B),)) == [7]

    def test_the_rotation_of_another_file_is_left_away_after_a_refusal(self, opened, refused):
        refused("R1", B, (by(5, C), B_C), (by(6, B), rotate(keys(Z), keys(B), number=9)))
        refused("R1", B, (by(6, B),))

    def test_the_release_that_revokes_is_left_away_after_a_refusal(self, opened, refused):
        gone = {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=1)}
        refused("R3", A, (by(1, A),), (by(2, A, revokes=(1,), **gone),))
        refused("R3", A, (by(1, A),))

    def test_one_of_two_views_is_left_away_after_a_refusal(self, tmp_path):
        one, two = (FakeLog(others(2, mark)).bundle(by(1, A)).to_json() for mark in (b"one", b"two"))
        pin, state = pinned(keys=(A.public_key(),)), tmp_path / "state"
        for files in ((one, two), two):
            with pytest.raises(VerificationError, match=r"^\[R3\.view\]"):
                open_releases(files, pin, now=NOW, memory=state)
        open_releases(one, pin, now=NOW, memory=state)

    def test_who_looks_without_remembering_remembers_no_refusal(self, opened, refused):
        refused("R1", A, (by(7, A), A_B), remember=False)
        assert opened(A, (by(7, A),)) == [7]

    def test_what_a_release_revokes_that_is_not_signed_is_not_remembered(self, opened, refused):
        refused("R1", A, (by(2, Z, revokes=(1,)),))
        assert opened(A, (by(1, A),)) == [1]

    def test_what_a_release_revokes_that_is_not_logged_is_not_remembered(self, opened, refused, tmp_path):
        pin = pinned(keys=(A.public_key(),))
        with pytest.raises(VerificationError, match=r"^\[R2\.log\]"):
            open_releases(by(2, A, revokes=(1,)), pin, now=NOW, memory=tmp_path / "state")
        assert opened(A, (by(1, A),)) == [1]

    def test_a_rotation_that_is_not_signed_is_not_remembered(self, opened, refused):
        refused("R1", A, (by(1, B), rotate(keys(A), keys(B), number=2, keys=(B,))))
        assert opened(A, (by(1, A),)) == [1]

    def test_the_number_of_a_refused_release_is_not_remembered(self, opened, refused):
        later = {"not_before": NOW + timedelta(days=1), "not_after": NOW + timedelta(days=2)}
        refused("R6", A, (by(9, A, **later),))
        assert opened(A, (by(1, A),)) == [1]

    def test_a_refusal_that_proves_nothing_is_no_memory(self, refused, tmp_path):
        refused("R1", A, (by(1, Z),))
        assert not (tmp_path / "state/memory.json").exists()


class TestNumbers:
    def test_another_threshold_for_the_same_keys_forgets_no_number(self, opened, refused):
        loose = pinned(keys=(A.public_key(), B.public_key()))
        both = {number: sign(release(number).to_statement(), (A, B)) for number in (5, 9, 10)}
        for before, after in ((loose, replace(loose, threshold=2)), (replace(loose, threshold=2), loose)):
            opened(before, (both[9],))
            refused("R3.number", after, (both[5],))
        assert opened(loose, (both[10],)) == [10]

    def test_another_threshold_for_the_same_keys_forgets_no_rotation(self, opened, refused):
        old, new = keys(A, B), keys(C)
        loose = pinned(keys=old.keys)
        opened(loose, (by(5, C), rotate(old, new, number=2, keys=(A, C))))
        refused("R1", replace(loose, threshold=2), (sign(release(6).to_statement(), (A, B)),))

    def test_a_few_holders_of_keys_do_not_reach_the_memory_of_all(self, opened):
        """One of two rotates his own keys to theirs, with the threshold that he meets alone."""
        claim = rotate(keys(Z), keys(A, B), number=2, keys=(Z, B))
        opened(Z, (by(99, B), claim))
        both = pinned(keys=(A.public_key(), B.public_key()), threshold=2)
        assert opened(both, (sign(release(1).to_statement(), (A, B)),)) == [1]

    def test_a_release_that_is_revoked_does_not_carry_one_that_went_back(self, opened, refused):
        later = {"not_before": NOW + timedelta(days=1), "not_after": NOW + timedelta(days=9)}
        opened(A, (by(5, A),))
        refused("R3.number", A, (by(5, A),), (by(3, A),), (by(6, A, revokes=(5,), **later),))

    def test_a_release_that_is_revoked_is_not_the_highest_either(self, opened):
        later = {"not_before": NOW + timedelta(days=1), "not_after": NOW + timedelta(days=9)}
        given = (by(5, A),), (by(3, A),), (by(6, A, revokes=(5,), **later),)
        assert opened(A, *given) == opened(A, *given) == [3]

    def test_a_service_that_was_never_seen_is_not_said_to_be_compared(self, tmp_path):
        log, pin, told = FakeLog(others(2)), pinned(keys=(A.public_key(),)), []
        for service in ("one", "another", "another"):
            file = log.bundle(by(1, A, service=service)).to_json()
            found = open_releases(file, pin, now=NOW, memory=tmp_path / "state")
            told.append(dict(found.facts)["memory"].split()[0].rstrip(":"))
        assert told == ["new", "new", "kept"]


class TestPaths:
    def test_an_empty_path_is_no_memory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(EvidenceError, match="empty path"):
            open_releases(by(1, A), Publisher(keys=(A.public_key(),)), now=NOW, memory="")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("path", ["a\0b", "a\ud800b", Path("a\0b")])
    def test_what_no_file_can_be_named(self, path):
        pin = Publisher(keys=(A.public_key(),))
        for use in (
            lambda: open_releases(by(1, A), pin, now=NOW, memory=path),
            lambda: open_releases(path, pin, now=NOW),
            lambda: Publisher(keys=(path,)),
            lambda: replace(pin, rebuilders=(path,)),
            lambda: replace(pin, log=path),
            lambda: replace(pinned(), witnesses=(path,), witness_quorum=1),
        ):
            with pytest.raises(EvidenceError) as caught:
                use()
            assert str(caught.value).isprintable()

    def test_key_files_that_are_replaced_after_they_were_pinned(self, tmp_path):
        """A rotation makes another publisher of the pinned one: his rebuilders stay those that were read."""
        file = tmp_path / "rebuilder.pub"
        file.write_bytes(D.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        pin = pinned(keys=(A.public_key(),), rebuilders=(file,))
        file.write_bytes(Z.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        for rebuilder, accepted in ((D, True), (Z, False)):
            envelope = sign(release(3).to_statement(), (B, rebuilder))
            bundle = FakeLog(others(2)).bundle(envelope, rotations=(A_B,)).to_json()
            with nullcontext() if accepted else pytest.raises(VerificationError, match=r"R5\.rebuilders"):
                open_releases(bundle, pin, now=NOW)
        assert replace(pin, threshold=1).public_keys == pin.public_keys


class TestForkedRotations:
    """One set of keys signed two rotations, and the log has both: what each client makes of it (docs/log.md).

    Nothing that a bundle carries shows that another rotation is not in the log, so without a memory either is right.
    """

    ONE, OTHER = step(2, A, B), step(2, A, Z)

    @pytest.fixture
    def shown(self, log):
        """Bundles of a release by each side, under one checkpoint that has both rotations."""
        log.add(self.ONE, self.OTHER, by(1, B), by(2, Z))
        return [log.bundle(by(number, key), rotations=(way,)).to_json() for number, key, way in self.sides]

    sides = (1, B, ONE), (2, Z, OTHER)

    def follow(self, *files, memory=None):
        found = open_releases(files, pinned(keys=(A.public_key(),)), now=NOW, memory=memory)
        return [one.number for one in found.releases], dict(found.not_run)

    def test_without_a_memory_either_is_followed_and_the_report_says_that_there_is_none(self, shown):
        for number, file in enumerate(shown, 1):
            followed, not_run = self.follow(file)
            assert followed == [number]
            assert "no memory is kept" in not_run["R3.number, R3.tree"]

    def test_a_new_memory_follows_what_it_is_shown_first_and_refuses_the_other_from_then_on(self, shown, tmp_path):
        for name, first, second in (("one", *shown), ("other", *shown[::-1])):
            self.follow(first, memory=tmp_path / name)
            with pytest.raises(VerificationError, match=r"^\[R1\]"):
                self.follow(second, memory=tmp_path / name)

    def test_both_at_once_are_refused_without_a_memory(self, shown):
        for files in (shown, shown[::-1]):
            with pytest.raises(VerificationError, match=r"^\[R1\]"):
                self.follow(*files)

    def test_who_reads_the_entries_is_told(self, shown, log):
        contents, alarms = Contents(Publisher(keys=(A.public_key(),))), []
        for entry in log.entries[2:]:
            try:
                contents, _ = contents.take(entry)
            except RotatedAwayError as error:
                contents = contents.skip(error.following)
                alarms.append((entry, error.rule))
        assert alarms == [(self.OTHER, "R3.rotated-away"), (by(2, Z), "R3.rotated-away")]


class TestRotationsInTheLog:
    """Keys that were stolen sign a rotation to the thief's: who pins the log follows it only where all see it."""

    def bundle(self, log, **changes):
        made = log.bundle(by(9, Z), rotations=(step(2, A, Z),))
        return replace(made, **changes).to_json()

    def refused(self, file, tmp_path, **pins):
        pin = pinned(keys=(A.public_key(),), **pins)
        with pytest.raises(VerificationError) as caught:
            open_releases(file, pin, now=NOW, memory=tmp_path / "state")
        own = FakeLog(others(2)).bundle(by(1, A)).to_json()
        open_releases(own, pin, now=NOW, memory=tmp_path / "state")  # the rotation is not remembered
        return str(caught.value)

    def test_a_rotation_without_a_proof(self, log, tmp_path):
        assert "[R2.inclusion] a rotation" in self.refused(self.bundle(log, places=()), tmp_path)

    def test_a_rotation_that_is_not_in_the_log(self, log, tmp_path):
        """It comes with the proof of an entry that is there."""
        log.add(by(9, Z))
        there = log.proof(1)
        unlogged = replace(log.bundle(by(9, Z)), rotations=(step(2, A, Z),), places=(Place(1, there.hashes),))
        assert "[R2.inclusion]" in self.refused(unlogged.to_json(), tmp_path)

    @pytest.mark.parametrize("places", [(Place(0, ()),), (Place(99, ()),), (Place(2, (bytes(32),) * 2),)])
    def test_a_proof_that_does_not_hold(self, log, tmp_path, places):
        assert "[R2.inclusion]" in self.refused(self.bundle(log, places=places), tmp_path)

    def test_a_rotation_in_a_tree_that_too_few_witnesses_saw(self, log, tmp_path):
        file = log.bundle(by(9, Z), rotations=(step(2, A, Z),), by=(W1,)).to_json()
        assert "[R2.witnesses]" in self.refused(file, tmp_path)

    def test_a_rotation_that_is_in_the_log(self, log):
        pin = pinned(keys=(A.public_key(),))
        (found,) = open_releases(self.bundle(log), pin, now=NOW).releases
        assert found.number == 9

    def test_a_bundle_that_a_log_makes_has_what_its_clients_ask_for(self, tmp_path):
        kept, newest = keeping.make(tmp_path / "log"), keeping.entry(2, key=keeping.NEXT_KEY)
        for one in (keeping.entry(1), keeping.rotation(), newest):
            kept.append((one,))
        shown, tree = read_checkpoint(Folder(tmp_path / "log"), keeping.LOG), keeping.tree_of(tmp_path / "log")
        made = make_bundle(newest, shown, tree, contents_of(tree, publisher()).rotations)
        pin = replace(publisher(), log=keeping.LOG)
        assert [one.number for one in open_releases(made.to_json(), pin, now=NOW).releases] == [2]
        with pytest.raises(VerificationError, match=r"R2\.inclusion"):
            open_releases(replace(made, places=()).to_json(), pin, now=NOW)

    def test_rotations_from_before_the_pin_need_no_proof(self, log):
        found = open_releases(self.bundle(log, places=()), pinned(keys=(Z.public_key(),)), now=NOW)
        assert [one.number for one in found.releases] == [9]

    def test_whoever_pins_no_log_asks_for_no_proof(self, log):
        file = self.bundle(log, places=())
        assert open_releases(file, Publisher(keys=(A.public_key(),)), now=NOW).releases

    def test_a_bundle_reads_back_as_it_was_written(self, log):
        for file in (self.bundle(log), self.bundle(log, places=()), log.bundle(by(1, A)).to_json()):
            assert Bundle.from_json(file).to_json() == file
        assert b"rotation_proofs" not in file

    def test_proofs_of_another_number_of_rotations(self, log):
        with pytest.raises(EvidenceError, match="one for each rotation"):
            self.bundle(log, places=(Place(0, ()),) * 2)

    @pytest.mark.parametrize(
        "value", [None, "x", [5], [{"index": -1, "hashes": []}], [{"index": 0, "hashes": ["AA=="]}]]
    )
    def test_proofs_that_are_malformed(self, log, value):
        fields = json.loads(self.bundle(log)) | {"rotation_proofs": value}
        with pytest.raises(EvidenceError, match="rotation_proofs"):
            Bundle.from_json(json.dumps(fields).encode())
