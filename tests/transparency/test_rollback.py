"""What goes back, or shows two faces, from one time to the next: refused by what the client remembers (R3, R6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from client_sdk.rotation import KeySet, rotate
from client_sdk.transparency.client.memory import Memory
from client_sdk.transparency.formats.bundle import Bundle
from client_sdk.transparency.formats.checkpoint import open_checkpoint
from client_sdk.transparency.formats.growth import Growth, write_growths
from client_sdk.transparency.formats.note import UnverifiedNote
from tests.fakes.simulated_vm import NOW, publisher_key, release, signed
from tests.transparency.logs import LOG, STRANGER, W1, W2, FakeLog, others, pinned
from tests.transparency.second_reader import growth

BARE = Publisher(keys=(publisher_key().public_key(),))
ONE, TWO, THREE = (signed(release(number)) for number in (1, 2, 3))
NEXT = publisher_key("next")
FIRST_SET, NEXT_SET = KeySet((publisher_key().public_key(),)), KeySet((NEXT.public_key(),))
ROTATION = rotate(FIRST_SET, NEXT_SET, number=2, keys=(publisher_key(), NEXT))
BACK = rotate(NEXT_SET, FIRST_SET, number=3, keys=(publisher_key(), NEXT))


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path / "state")


@pytest.fixture
def opened(memory):
    def opened(*files, publisher=None, now=NOW, remember=True):
        publisher = publisher or (pinned() if b'"envelope"' in files[0] else BARE)
        return open_releases(files, publisher, now=now, memory=memory, remember=remember)

    return opened


@pytest.fixture
def refused(opened):
    def refused(rule, *files, **how):
        with pytest.raises(VerificationError) as caught:
            opened(*files, **how)
        assert caught.value.rule == rule, caught.value
        assert [check.id for check in caught.value.checks if not check.passed] in ([rule], [])
        return str(caught.value)

    return refused


def numbers(found):
    return [one.number for one in found.releases]


def revoking(number, *gone, **changes):
    return signed(replace(release(number), revokes=gone, **changes))


class TestNumbers:
    def test_a_release_that_goes_back(self, opened, refused):
        opened(TWO)
        assert "release 2 or a later one, got release 1" in refused("R3.number", ONE)

    def test_it_goes_forward_and_stays(self, opened):
        for file in (ONE, ONE, TWO, THREE, THREE):
            opened(file)

    def test_during_a_rollout_the_older_one_counts_beside_the_newer(self, opened, refused):
        assert numbers(opened(ONE, TWO)) == [1, 2]
        assert numbers(opened(TWO, ONE)) == [2, 1]
        refused("R3.number", ONE)

    def test_another_service_has_numbers_of_its_own(self, opened):
        opened(signed(replace(release(9), service="another")))
        assert numbers(opened(ONE)) == [1]

    def test_another_publisher_has_numbers_of_his_own(self, opened):
        opened(signed(release(9), NEXT), publisher=Publisher(keys=(NEXT.public_key(),)))
        assert numbers(opened(ONE)) == [1]

    def test_what_is_not_signed_is_not_remembered(self, opened):
        with pytest.raises(VerificationError):
            opened(signed(release(9), NEXT))
        assert numbers(opened(ONE)) == [1]

    def test_what_is_not_in_date_yet_is_not_remembered_as_the_newest(self, opened):
        start = NOW + timedelta(days=1)
        later = signed(replace(release(9), not_before=start, not_after=start + timedelta(days=1)))
        opened(ONE, later)
        assert numbers(opened(ONE)) == [1]

    def test_what_was_refused_changes_nothing(self, opened, refused):
        opened(TWO)
        refused("R3.number", ONE)
        assert numbers(opened(TWO)) == [2]

    def test_looking_without_remembering(self, opened):
        opened(THREE, remember=False)
        assert numbers(opened(ONE)) == [1]


class TestRevoked:
    def test_a_release_that_was_revoked_once_does_not_come_back(self, opened, refused):
        """The one that said so is not given any more."""
        opened(revoking(2, 1))
        found = opened(ONE, THREE)
        assert (numbers(found), found.left_out) == (
            [3],
            ("release 1 is revoked by release 2; its successor is release 3",),
        )
        refused("R3", ONE)

    def test_the_error_names_the_revoker_and_the_successor(self, opened, refused):
        opened(revoking(2, 1))
        assert "release 1 is revoked by release 2, its successor" in refused("R3", ONE)

    def test_a_successor_that_was_revoked_itself_is_none(self, opened):
        found = opened(ONE, revoking(2, 1), revoking(3, 2), signed(release(4)))
        assert found.left_out[0] == "release 1 is revoked by release 2; its successor is release 4"

    def test_a_release_that_says_what_it_supersedes_is_the_successor(self, opened):
        found = opened(ONE, revoking(2, 1, supersedes=1), signed(release(3)))
        assert found.left_out == ("release 1 is revoked by release 2, its successor",)

    def test_what_a_release_out_of_its_dates_revoked(self, opened, refused):
        gone = {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=8)}
        opened(revoking(2, 1, **gone), THREE)
        refused("R3", ONE)


class TestTrees:
    def bundle(self, *before, envelope=TWO, after=3, **how):
        log = FakeLog(list(before)).add(envelope, *others(after, b"later"))
        return log.bundle(envelope, **how).to_json()

    def test_a_log_with_fewer_entries_than_before(self, opened, refused):
        opened(self.bundle(*others(5)))
        assert "at least 9 entries, got 8 entries" in refused("R3.tree", self.bundle(*others(5), after=2))

    def test_a_log_of_the_same_size_with_another_root(self, opened, refused, memory):
        """Log and witnesses signed both: what is remembered and what was refused convince anybody."""
        opened(self.bundle(*others(5)))
        forged = self.bundle(b"forged", *others(4))
        assert "two views" in refused("R3.view", forged)
        with memory.held() as held:
            kept = held.seen.tree(str(LOG.verifier)).note.encode()
        views = [open_checkpoint(note, LOG.verifier) for note in (kept, Bundle.from_json(forged).proof.checkpoint)]
        assert len({view.checkpoint.root for view in views}) == 2
        assert len({view.checkpoint.size for view in views}) == 1

    def test_what_strangers_signed_is_not_remembered(self, opened, memory):
        opened(self.bundle(*others(5), by=(W1, W2, STRANGER)))
        with memory.held() as held:
            kept = held.seen.tree(str(LOG.verifier)).note.encode()
        assert [s.name for s in UnverifiedNote.from_bytes(kept).signatures] == [LOG.name, W1.name, W2.name]

    def test_a_checkpoint_too_long_to_remember_is_remembered_by_its_root(self, opened, refused):
        log = FakeLog(others(5)).add(TWO)
        opened(log.bundle(TWO, text=log.text() + "x" * 70_000 + "\n").to_json())
        refused("R3.view", self.bundle(b"forged", *others(4), after=0))

    def test_two_views_at_once(self, refused):
        refused("R3.view", self.bundle(*others(5)), self.bundle(b"forged", *others(4)))

    def test_a_tree_that_did_not_grow_out_of_the_one_that_was(self, opened, refused):
        opened(self.bundle(*others(5)))
        fork = FakeLog([b"forged", *others(4)]).add(TWO, *others(9, b"later"))
        refused("R3.consistency", fork.bundle(TWO, since=(9,)).to_json())

    @pytest.mark.parametrize("wrong", ["another size's", "a hash less", "none at all"])
    def test_growth_with(self, wrong, opened, refused):
        opened(self.bundle(*others(5)))
        log = FakeLog(others(5)).add(TWO, *others(9, b"later"))
        right = growth(9, log.entries)
        hashes = {"another size's": growth(8, log.entries), "a hash less": right[:-1], "none at all": []}[wrong]
        bundle = log.bundle(TWO)
        extra = write_growths((Growth(9, tuple(hashes)),))
        refused("R3.consistency", replace(bundle, proof=replace(bundle.proof, extra=extra)).to_json())

    def test_growth_that_is_proven(self, opened):
        opened(self.bundle(*others(5)))
        log = FakeLog(others(5)).add(TWO, *others(3, b"later"), *others(20, b"new"))
        found = opened(log.bundle(TWO, since=(3, 9, 12)).to_json())
        assert "R3.consistency" in [row[0] for row in found.rows]
        assert not any(rules == "R3.consistency" for rules, _ in found.not_run)

    def test_growth_that_nobody_proves_is_told(self, opened):
        opened(self.bundle(*others(5)))
        found = opened(self.bundle(*others(5), after=8))
        ((_, why),) = [one for one in found.not_run if one[0] == "R3.consistency"]
        assert "witnesses' word" in why

    def test_extra_that_is_malformed_is_an_error_of_ours(self, opened):
        opened(self.bundle(*others(5)))
        bundle = Bundle.from_json(self.bundle(*others(5), after=8))
        with pytest.raises(EvidenceError, match="extra"):
            opened(replace(bundle, proof=replace(bundle.proof, extra=b"hello")).to_json())

    def test_two_bundles_of_different_days_during_a_rollout(self, opened):
        log = FakeLog(others(5)).add(ONE)
        old = log.bundle(ONE).to_json()
        log.add(TWO)
        new = log.bundle(TWO).to_json()
        assert numbers(opened(old, new)) == [1, 2]
        assert numbers(opened(old, new)) == [1, 2]

    def test_an_old_bucket(self, opened, refused):
        """It serves yesterday's files, which were good then."""
        log = FakeLog(others(5)).add(ONE)
        old = log.bundle(ONE).to_json()
        opened(old)
        log.add(TWO)
        opened(log.bundle(TWO).to_json())
        refused("R3.tree", old)

    def test_an_old_release_under_a_new_checkpoint(self, opened, refused):
        log = FakeLog(others(5)).add(ONE, TWO)
        opened(log.bundle(TWO).to_json())
        log.add(b"more")
        refused("R3.number", log.bundle(ONE).to_json())


class TestKeys:
    def test_a_pin_of_before_leads_to_the_newest_keys(self, opened):
        file = FakeLog().bundle(signed(release(2), NEXT), rotations=(ROTATION,)).to_json()
        assert numbers(opened(file)) == [2]

    def test_a_release_of_keys_that_left_beside_the_rotation(self, refused):
        refused("R1", FakeLog().bundle(TWO, rotations=(ROTATION,)).to_json())

    def test_a_rotation_that_was_seen_once_counts_without_it(self, opened, refused):
        """Whoever kept the keys that left cuts the rotation off."""
        opened(FakeLog().bundle(signed(release(2), NEXT), rotations=(ROTATION,)).to_json())
        log = FakeLog([signed(release(2), NEXT)])
        refused("R1", log.bundle(THREE).to_json())
        assert numbers(opened(log.bundle(signed(release(3), NEXT)).to_json())) == [3]

    def test_a_rotation_of_before_does_not_lead_back(self, opened, refused):
        file = FakeLog().bundle(TWO, rotations=(ROTATION, BACK)).to_json()
        assert numbers(opened(file)) == [2]
        refused("R1", FakeLog([TWO]).bundle(signed(release(3), NEXT), rotations=(ROTATION,)).to_json())

    def test_whoever_pins_the_new_keys_remembers_what_the_old_ones_released(self, opened, refused):
        log = FakeLog()
        opened(log.bundle(signed(release(5), NEXT), rotations=(ROTATION,)).to_json())
        newer = replace(pinned(), keys=(NEXT.public_key(),))
        file = log.bundle(signed(release(4), NEXT)).to_json()
        refused("R3.number", file, publisher=newer)

    @pytest.mark.parametrize(
        "keys", [(publisher_key(),), (NEXT,), (publisher_key("attacker"),)], ids=["old", "new", "neither"]
    )
    def test_a_rotation_that_not_both_sets_signed(self, keys, refused):
        wrong = rotate(FIRST_SET, NEXT_SET, number=2, keys=keys)
        refused("R1", FakeLog().bundle(signed(release(2), NEXT), rotations=(wrong,)).to_json())

    def test_a_rotation_of_somebody_else(self, refused):
        other = publisher_key("other")
        wrong = rotate(KeySet((other.public_key(),)), NEXT_SET, number=2, keys=(other, NEXT))
        refused("R1", FakeLog().bundle(signed(release(2), NEXT), rotations=(wrong,)).to_json())

    def test_nobody_reaches_the_memory_of_another_publisher_by_a_rotation(self, opened):
        """What comes before the pin in a chain has signatures that nobody verified: it joins no publishers."""
        victim, mallory = publisher_key(), publisher_key("mallory")
        claim = rotate(FIRST_SET, KeySet((mallory.public_key(),)), number=2, keys=(mallory,))  # the victim signed not
        file = FakeLog().bundle(signed(release(99), mallory), rotations=(claim,)).to_json()
        opened(file, publisher=replace(pinned(), keys=(mallory.public_key(),)))
        assert numbers(opened(ONE, publisher=Publisher(keys=(victim.public_key(),)))) == [1]


class TestTold:
    def told(self, found):
        return dict(found.facts)["memory"]

    def test_the_first_time(self, opened):
        found = opened(ONE)
        assert self.told(found).startswith("new: nothing was seen before")
        assert any(rules.startswith("R3.number") for rules, _ in found.not_run)

    def test_from_then_on(self, opened):
        opened(ONE)
        found = opened(ONE)
        assert self.told(found).startswith("kept since 20")
        assert not any(rules.startswith("R3.number") for rules, _ in found.not_run)

    def test_another_publishers_first_time(self, opened):
        opened(signed(release(9), NEXT), publisher=Publisher(keys=(NEXT.public_key(),)))
        assert self.told(opened(ONE)).startswith("new")

    def test_a_loss_is_told_and_then_it_is_kept_again(self, opened, memory):
        opened(TWO)
        (memory.folder / "memory.json").unlink()
        found = opened(ONE)
        assert self.told(found).startswith("lost")
        assert any("lost" in why for rules, why in found.not_run if rules.startswith("R3.number"))
        assert self.told(opened(ONE)).startswith("kept since")

    def test_without_a_memory(self):
        found = open_releases(ONE, BARE, now=NOW)
        assert any("no memory is kept" in why for rules, why in found.not_run if rules.startswith("R3.number"))
        assert "memory" not in dict(found.facts)
