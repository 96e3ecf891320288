"""What a pinned log and its witnesses say of a release (R2), and who else must have signed it (R5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from client_sdk.dsse import sign
from client_sdk.errors import AttestationError, EvidenceError, VerificationError
from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from client_sdk.transparency.client.judge import CLOCK_SKEW
from client_sdk.transparency.formats.bundle import Bundle
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner, UnverifiedNote, add_signature
from client_sdk.transparency.formats.proof import Proof
from tests.fakes.simulated_vm import NOW, publisher_key, release, signed
from tests.transparency.logs import LOG, PRESENT, STRANGER, W1, W2, W3, FakeLog, logged, others, pinned

DAY = 86_400
ENVELOPE = signed(release(1))
REBUILDER, SECOND_REBUILDER = publisher_key("rebuilder"), publisher_key("second rebuilder")


def opened(*files, publisher=None, now=NOW):
    return open_releases(files, publisher or pinned(), now=now)


def refused(rule, *files, publisher=None, now=NOW):
    with pytest.raises(VerificationError) as caught:
        opened(*files, publisher=publisher, now=now)
    assert caught.value.rule == rule, caught.value
    return str(caught.value)


def in_log(log=None, **how):
    """Return the bundle of the release in a log of eight others, as bytes."""
    log = log or FakeLog(others(5))
    log.add(ENVELOPE, *others(3, b"later"))
    return log.bundle(ENVELOPE, **how).to_json()


def changed(**values):
    """Return the bundle with parts of its proof changed, and nothing signed again."""
    bundle = Bundle.from_json(in_log())
    return replace(bundle, proof=replace(bundle.proof, **values)).to_json()


def facts(found):
    return dict(found.facts)


def test_what_a_log_with_witnesses_says():
    found = opened(in_log())
    assert [release.number for release in found.releases] == [1]
    passed = [row[0] for row in found.rows if row[0].startswith("R2")]
    assert passed == ["R2.log", "R2.checkpoint", "R2.checkpoint", "R2.inclusion", "R2.witnesses", "R2.future", "R2.age"]
    told = facts(found)["transparency"]
    assert told.startswith("in the log log.example/releases of 9 entries, seen by w1.example, w2.example; 2 of them at")
    assert not any("R5" in rules for rules, _ in found.not_run)


def test_no_log_is_pinned_and_the_report_says_that_the_publisher_is_trusted_alone():
    for file in (ENVELOPE, in_log()):
        found = opened(file, publisher=Publisher(keys=(publisher_key().public_key(),)))
        assert "publisher trusted alone" in facts(found)["transparency"]
        assert any(rules == "R2, R5" and "publisher trusted alone" in why for rules, why in found.not_run)


def test_a_log_without_witnesses_is_trusted_with_the_publisher_alone():
    found = opened(in_log(by=()), publisher=pinned(witnesses=(), witness_quorum=None, max_checkpoint_age=None))
    assert "publisher trusted alone" in facts(found)["transparency"]
    assert any("R5" in rules and "publisher trusted alone" in why for rules, why in found.not_run)


def test_without_a_limit_of_age_the_report_says_so():
    found = opened(in_log(ages=(900 * DAY, 900 * DAY)), publisher=pinned(max_checkpoint_age=None))
    assert any(rules == "R2.age" for rules, _ in found.not_run)


def test_a_release_alone_where_a_log_is_pinned():
    assert "ask for the bundle" in refused("R2.log", ENVELOPE)


def test_one_release_alone_spoils_the_bundle_beside_it():
    refused("R2.log", in_log(), signed(release(2)))


def test_a_release_that_was_signed_and_never_logged():
    """Its publisher's key is real: this is what a log is for."""
    hidden = signed(release(2))
    bundle = Bundle.from_json(in_log())
    refused("R2.inclusion", replace(bundle, envelope=hidden).to_json())


def test_the_same_statement_signed_again_is_another_entry():
    again = sign(release(1).to_statement(), (publisher_key(), publisher_key("another")))
    bundle = Bundle.from_json(in_log())
    refused("R2.inclusion", replace(bundle, envelope=again).to_json())


def test_a_proof_of_another_entry():
    log = FakeLog(others(5)).add(ENVELOPE, *others(3, b"later"))
    refused("R2.inclusion", Bundle(ENVELOPE, log.proof(2)).to_json())


@pytest.mark.parametrize("index", [0, 4, 6, 8, 9, 2**62])
def test_the_right_proof_at_another_index(index):
    refused("R2.inclusion", changed(index=index))


@pytest.mark.parametrize("attack", ["a hash less", "a hash more", "a hash changed", "hashes swapped", "no hashes"])
def test_a_proof_with(attack):
    right = Bundle.from_json(in_log()).proof.hashes
    other = b"\x55" * 32
    wrong = {
        "a hash less": right[:-1],
        "a hash more": (*right, other),
        "a hash changed": (other, *right[1:]),
        "hashes swapped": right[::-1],
        "no hashes": (),
    }
    refused("R2.inclusion", changed(hashes=wrong[attack]))


def test_a_checkpoint_of_the_log_from_before_the_release():
    log = FakeLog(others(5))
    before = log.checkpoint()
    log.add(ENVELOPE)
    refused("R2.inclusion", log.bundle(ENVELOPE, checkpoint=before).to_json())


def test_a_fork_that_only_the_log_signed():
    """The log shows a tree of its own to this client: no witness signs it."""
    fork = FakeLog([b"forged", *others(4)])
    refused("R2.witnesses", in_log(fork, by=()))


def test_a_fork_under_the_witnesses_words_for_another_tree():
    honest = FakeLog(others(5)).add(ENVELOPE, *others(3, b"later"))
    fork = FakeLog([b"forged", *others(4)]).add(ENVELOPE, *others(3, b"later"))
    note = fork.checkpoint(by=())
    for signature in UnverifiedNote.from_bytes(honest.checkpoint()).signatures[1:]:
        note = add_signature(note, signature)
    assert "w1.example" in refused("R2.note", fork.bundle(ENVELOPE, checkpoint=note).to_json())


def test_a_checkpoint_whose_size_was_changed_after_it_was_signed():
    note = FakeLog(others(5)).add(ENVELOPE, *others(3, b"later")).checkpoint()
    refused("R2.note", changed(checkpoint=note.replace(b"\n9\n", b"\n10\n")))


def test_a_checkpoint_whose_root_was_changed_after_it_was_signed():
    other = FakeLog([*others(5), ENVELOPE, b"1", b"2", b"3"])
    note = other.text().encode() + b"\n" + FakeLog(others(5)).add(ENVELOPE, *others(3)).checkpoint().split(b"\n\n")[1]
    refused("R2.note", changed(checkpoint=note))


def test_a_log_whose_key_is_not_pinned():
    other = NoteSigner(LOG.name, b"o" * 32)
    assert "log.example" in refused("R2.note", in_log(FakeLog(others(5), signer=other), by=()))


def test_a_log_whose_key_is_not_pinned_with_honest_witnesses():
    """They watch many logs: that they signed does not make it the log that the caller pinned."""
    other = NoteSigner("other.example", b"o" * 32)
    refused("R2.checkpoint", in_log(FakeLog(others(5), signer=other, origin="other.example")))


def test_another_logs_tree_under_the_pinned_key():
    refused("R2.checkpoint", in_log(FakeLog(others(5), origin="other.example")))


def test_extension_lines_are_signed_and_say_nothing():
    log = FakeLog(others(5)).add(ENVELOPE, *others(3, b"later"))
    assert opened(log.bundle(ENVELOPE, text=log.text() + "extension\n").to_json()).releases


@pytest.mark.parametrize("by", [(), (W1,), (W1, STRANGER), (STRANGER,)])
def test_too_few_witnesses(by):
    assert "2 of w1.example, w2.example, w3.example" in refused("R2.witnesses", in_log(by=by))


def test_a_witness_counts_once_however_often_it_signs():
    log = FakeLog(others(5)).add(ENVELOPE, *others(3, b"later"))
    note = UnverifiedNote.from_bytes(log.checkpoint(by=()))
    twice = tuple(W1.sign(note.text, at=PRESENT - age) for age in (60, 61, 62))
    refused("R2.witnesses", changed(checkpoint=replace(note, signatures=(*note.signatures, *twice)).to_bytes()))


def test_a_witness_under_two_names_counts_once():
    """One key that is pinned once: a signature under another name is of no key that is pinned."""
    alias = NoteSigner("alias.example", W1.seed, COSIGNATURE)
    refused("R2.witnesses", in_log(by=(W1, alias)))


def test_the_logs_own_key_is_no_witness():
    own = NoteSigner(LOG.name, LOG.seed, COSIGNATURE)
    refused("R2.witnesses", in_log(by=(W1, own)))


def test_a_witness_that_says_no_time_is_none():
    plain = NoteSigner(W2.name, W2.seed)
    log = FakeLog(others(5)).add(ENVELOPE, *others(3, b"later"))
    note = add_signature(log.checkpoint(by=(W1,)), plain.sign(log.text()))
    refused("R2.witnesses", log.bundle(ENVELOPE, checkpoint=note).to_json())


def test_all_witnesses_must_sign_where_no_quorum_is_given():
    refused("R2.witnesses", in_log(by=(W1, W2)), publisher=pinned(witness_quorum=None))
    assert opened(in_log(by=(W1, W2, W3)), publisher=pinned(witness_quorum=None)).releases


@pytest.mark.parametrize("ages", [(-301, -301), (-3600, 60), (60, -(2**40)), (60, -(2**62))])
def test_witnesses_that_sign_in_the_future(ages):
    assert "no later than" in refused("R2.future", in_log(ages=ages))


def test_clocks_may_differ_by_a_little():
    ahead = -int(CLOCK_SKEW.total_seconds())
    assert opened(in_log(ages=(ahead, ahead))).releases


def test_a_caller_whose_clock_is_wrong_sees_why():
    told = refused("R2.future", in_log(), now=NOW - timedelta(hours=2))
    assert "this machine's" in told


def test_a_witness_in_the_future_does_not_stop_the_others():
    assert opened(in_log(by=(W1, W2, W3), ages=(60, 60, -9999))).releases


@pytest.mark.parametrize("ages", [(8 * DAY, 8 * DAY), (60, 7 * DAY + 1), (PRESENT, 60)])
def test_a_stale_checkpoint(ages):
    """One fresh witness does not make fresh what the others saw long ago."""
    assert "a bundle of today" in refused("R2.age", in_log(ages=ages))


def test_a_checkpoint_just_within_its_age():
    assert opened(in_log(ages=(7 * DAY, 7 * DAY))).releases


def test_a_stale_checkpoint_does_not_hide_behind_a_witness_in_the_future():
    refused("R2.age", in_log(by=(W1, W2, W3), ages=(60, 8 * DAY, -9999)))


def test_a_bundle_of_before_is_stale_on_another_day():
    file = in_log()
    assert opened(file, now=NOW + timedelta(days=6)).releases
    refused("R2.age", file, now=NOW + timedelta(days=8))


def test_a_release_that_another_signed_though_it_is_logged():
    foreign = signed(release(1), publisher_key("attacker"))
    log = FakeLog(others(3))
    refused("R1", log.bundle(foreign).to_json())


def test_a_truncated_bundle():
    for size in (0, 1, 100, 1000, len(in_log()) - 1):
        with pytest.raises(EvidenceError):
            opened(in_log()[:size])


def test_a_truncated_checkpoint_or_proof():
    bundle = Bundle.from_json(in_log())
    whole = bundle.proof.to_bytes()
    for size in range(0, len(whole), 7):
        with pytest.raises(AttestationError):
            opened(replace(bundle, proof=Proof.from_bytes(whole[:size])).to_json())


def test_a_changed_byte_anywhere_in_the_proof():
    """Whatever it hits, nothing is accepted: all of it is signed, hashed, or part of the format."""
    bundle = Bundle.from_json(in_log())
    whole = bundle.proof.to_bytes()
    for at in range(0, len(whole), 3):
        wrong = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(AttestationError):
            opened(replace(bundle, proof=Proof.from_bytes(wrong)).to_json(), publisher=pinned(witness_quorum=2))


def by_rebuilders(*keys):
    return sign(release(1).to_statement(), (publisher_key(), *keys))


@pytest.mark.parametrize(
    "keys", [(), (SECOND_REBUILDER,), (publisher_key("nobody"),)], ids=["nobody", "another one", "a stranger"]
)
def test_a_release_that_the_pinned_rebuilder_did_not_sign(keys):
    wanted = replace(pinned(), rebuilders=(REBUILDER.public_key(),))
    log = FakeLog(others(2))
    refused("R5.rebuilders", log.bundle(by_rebuilders(*keys)).to_json(), publisher=wanted)


def test_each_rebuilder_must_have_signed():
    both = tuple(key.public_key() for key in (REBUILDER, SECOND_REBUILDER))
    alone = Publisher(keys=(publisher_key().public_key(),), rebuilders=both)
    assert opened(by_rebuilders(REBUILDER, SECOND_REBUILDER), publisher=alone).releases
    refused("R5.rebuilders", by_rebuilders(REBUILDER), publisher=alone)


def test_a_rebuilder_alone_publishes_nothing():
    only = sign(release(1).to_statement(), (REBUILDER,))
    refused("R1", only, publisher=replace(pinned(), log=None, **NO_LOG, rebuilders=(REBUILDER.public_key(),)))


NO_LOG = {"witnesses": (), "witness_quorum": None, "max_checkpoint_age": None}
REFUSED_PINS = {
    "a witness twice": {"witnesses": (W1.verifier, W1.verifier)},
    "a witness under two names": {"witnesses": (W1.verifier, NoteSigner("alias", W1.seed, COSIGNATURE).verifier)},
    "two witnesses of one name": {"witnesses": (W1.verifier, NoteSigner(W1.name, b"x" * 32, COSIGNATURE).verifier)},
    "the log as its witness": {"witnesses": (NoteSigner("own", LOG.seed, COSIGNATURE).verifier,)},
    "a witness's key for the log": {"log": W1.verifier},
    "a log's key for a witness": {"witnesses": (LOG.verifier,)},
    "a quorum of none": {"witness_quorum": 0},
    "a quorum that cannot be met": {"witness_quorum": 4},
    "a quorum that is true": {"witness_quorum": True},
    "a quorum of no witnesses": {"witnesses": (), "max_checkpoint_age": None, "witness_quorum": 1},
    "one witness, not a tuple": {"witnesses": str(W1.verifier)},
    "witnesses without a log": {"log": None},
    "an age without a log": {"log": None, "witnesses": (), "witness_quorum": None},
    "an age without witnesses": {"witnesses": (), "witness_quorum": None},
    "an age of nothing": {"max_checkpoint_age": timedelta(0)},
    "an age in seconds": {"max_checkpoint_age": 3600},
    "a log that is a number": {"log": 5},
    "a log in a file that is not there": {"log": "no such file"},
    "a log with a letter changed": {"log": str(LOG.verifier).replace("log", "gol")},
    "the publisher as its rebuilder": {"rebuilders": (publisher_key().public_key(),)},
    "a rebuilder twice": {"rebuilders": (REBUILDER.public_key(),) * 2},
    "a rebuilder, not a tuple": {"rebuilders": REBUILDER.public_key()},
}


@pytest.mark.parametrize("fault", REFUSED_PINS)
def test_a_publisher_pinned_with(fault):
    with pytest.raises(EvidenceError, match=r"^publisher\."):
        pinned(**REFUSED_PINS[fault])


def test_keys_of_logs_are_texts_or_files(tmp_path):
    file = tmp_path / "log.vkey"
    file.write_text(f"{LOG.verifier}\n")
    for given in (LOG.verifier, str(LOG.verifier), file, str(file)):
        assert pinned(log=given).log_key == LOG.verifier
    file.write_text(LOG.to_text())
    with pytest.raises(EvidenceError, match="private key"):
        pinned(log=file)


def test_a_key_that_somebody_replaces_later_is_not_followed(tmp_path):
    file = tmp_path / "log.vkey"
    file.write_text(str(LOG.verifier))
    publisher = pinned(log=file)
    file.write_text(str(NoteSigner("evil", b"e" * 32).verifier))
    assert publisher.log_key == LOG.verifier


def test_a_bundle_in_a_file(tmp_path):
    file = tmp_path / "bundle.json"
    file.write_bytes(logged())
    assert opened(file).files == (logged(),)
    file.write_bytes(b'{"envelope":1}')
    with pytest.raises(EvidenceError, match=r"bundle\.json"):
        opened(file)
