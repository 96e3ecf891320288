"""Notes, checkpoints, proofs, bundles and keys that are not as their formats say: an error of ours, each time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from client_sdk.encoding import canonical_json, to_base64
from client_sdk.errors import AttestationError, EvidenceError, VerificationError
from client_sdk.transparency.client.seen import Seen
from client_sdk.transparency.formats.bundle import Bundle, unpack
from client_sdk.transparency.formats.checkpoint import Checkpoint, open_checkpoint
from client_sdk.transparency.formats.growth import Growth, read_growths, write_growths
from client_sdk.transparency.formats.note import (
    COSIGNATURE,
    NoteSigner,
    NoteVerifier,
    Signature,
    UnverifiedNote,
    add_signature,
    open_note,
    sign_note,
)
from client_sdk.transparency.formats.proof import Proof
from tests.fakes.simulated_vm import release, signed
from tests.transparency.logs import LOG, STRANGER, W1, W2, FakeLog, logged, others

LINE = str(LOG.sign("text\n")).encode()
GOOD = b"text\n\n" + LINE
TEXT = Checkpoint("log.example", 3, bytes(32)).to_text()
PROOF = FakeLog(others(9)).proof(4).to_bytes()
BUNDLE = json.loads(logged())
KEY = str(LOG.verifier)

NOTES = {
    "nothing": b"",
    "no signatures": b"text\n",
    "no empty line": b"text\n" + LINE,
    "nothing after the empty line": b"text\n\n",
    "a last line without its end": GOOD[:-1],
    "text after the signatures": GOOD + b"text\n",
    "an empty line after the signatures": GOOD + b"\n",
    "not UTF-8": b"\xff" + GOOD,
    "half a character": GOOD.replace(b"text", b"tex\xe2\x80"),
    "a carriage return": GOOD.replace(b"text\n", b"text\r\n", 1),
    "a null": b"\0" + GOOD,
    "a tab": b"\t" + GOOD,
    "a hyphen for the dash": GOOD.replace("—".encode(), b"-"),
    "no space after the dash": GOOD.replace("— ".encode(), "—".encode()),
    "no name": GOOD.replace(LOG.name.encode(), b""),
    "a plus in the name": GOOD.replace(b"log.example", b"log+example"),
    "no signature": b"text\n\n" + "— name\n".encode(),
    "a signature of its key's id alone": b"text\n\n" + str(Signature("name", b"1234", b"")).encode(),
    "base64 that is not canonical": GOOD.replace(b"=\n", b"\n"),
    "base64 with a space": GOOD[:-6] + b" " + GOOD[-6:],
    "too many signatures": b"text\n\n" + LINE * 129,
    "too many bytes": b"x" * (1024 * 1024) + GOOD,
}
CHECKPOINTS = {
    "two lines": "log.example\n3\n",
    "no end": TEXT[:-1],
    "an empty origin": TEXT.replace("log.example", ""),
    "an empty line": TEXT + "\n",
    "an empty line in the middle": TEXT.replace("\n3", "\n\n3"),
    "a size with a zero before it": TEXT.replace("\n3\n", "\n03\n"),
    "a size with a plus": TEXT.replace("\n3\n", "\n+3\n"),
    "a size below zero": TEXT.replace("\n3\n", "\n-3\n"),
    "a size with a space": TEXT.replace("\n3\n", "\n 3\n"),
    "a size in other digits": TEXT.replace("\n3\n", "\n\u0663\n"),
    "no size": TEXT.replace("\n3\n", "\nthree\n"),
    "a size of 64 bits": TEXT.replace("\n3\n", f"\n{2**63}\n"),
    "a size of a thousand digits": TEXT.replace("\n3\n", f"\n{'9' * 1000}\n"),
    "a short root": TEXT.replace("AAAA", "", 1),
    "a root that is no base64": TEXT.replace("AAAA", "AA*A", 1),
    "a root in hex": f"log.example\n3\n{'00' * 32}\n",
    "an origin of a thousand letters": TEXT.replace("log.example", "l" * 1000),
}
PROOFS = {
    "nothing": b"",
    "half of it": PROOF[: len(PROOF) // 4],
    "no checkpoint": PROOF[: PROOF.index(b"\n\n")],
    "another version": PROOF.replace(b"@v1", b"@v2"),
    "no index": PROOF.replace(b"index 4\n", b""),
    "an index with a zero before it": PROOF.replace(b"index 4", b"index 04"),
    "an index below zero": PROOF.replace(b"index 4", b"index -1"),
    "two indexes": PROOF.replace(b"index 4\n", b"index 4\nindex 4\n"),
    "an index of 64 bits": PROOF.replace(b"index 4", b"index %d" % 2**63),
    "the extra line after the index": PROOF.replace(b"index 4\n", b"index 4\nextra AAAA\n"),
    "an empty extra line": PROOF.replace(b"index", b"extra \nindex"),
    "an extra line of another alphabet": PROOF.replace(b"index", b"extra _-==\nindex"),
    "a hash that is short": PROOF.replace(b"index 4\n", b"index 4\nAAAA\n"),
    "too many hashes": PROOF.replace(b"index 4\n", b"index 4\n" + (to_base64(bytes(32)).encode() + b"\n") * 65),
    "a header that is not ASCII": PROOF.replace(b"index", "indéx".encode()),
    "too many bytes": PROOF + b"x" * (2 * 1024 * 1024),
}
BUNDLES = {
    "not JSON": b"{",
    "a list": b"[]",
    "half of it": logged()[:1000],
    "another version": canonical_json(BUNDLE | {"version": 2}),
    "a version that is true": canonical_json(BUNDLE | {"version": True}),
    "no proof": canonical_json({k: v for k, v in BUNDLE.items() if k != "proof"}),
    "a proof that is none": canonical_json(BUNDLE | {"proof": None}),
    "half a surrogate pair in the proof": canonical_json(BUNDLE | {"proof": ""}).replace(b'""', b'"\\ud800"'),
    "an unknown key": canonical_json(BUNDLE | {"trusted": 1}),
    "an envelope that is no base64": canonical_json(BUNDLE | {"envelope": "*"}),
    "an empty envelope": canonical_json(BUNDLE | {"envelope": ""}),
    "an entry that no log can hold": canonical_json(BUNDLE | {"envelope": to_base64(b"x" * 65_536)}),
    "rotations that are no list": canonical_json(BUNDLE | {"rotations": {}}),
    "too many rotations": canonical_json(BUNDLE | {"rotations": ["AAAA"] * 257}),
    "an empty rotation": canonical_json(BUNDLE | {"rotations": [""]}),
    "a key twice": canonical_json(BUNDLE).replace(b'{"envelope"', b'{"version":1,"envelope"'),
}
KEYS = {
    "nothing": "",
    "a name": "log.example",
    "no key": "log.example+00000000+",
    "another id": KEY.replace("+", "+0", 1)[: len(KEY)],
    "an id in capitals": f"{LOG.name}+{LOG.verifier.key_id.hex().upper()}+{KEY.split('+', 2)[2]}",
    "an id of another name": KEY.replace("log", "gol"),
    "another kind": f"n+00000000+{to_base64(bytes([2]) + bytes(32))}",
    "a short key": f"n+00000000+{to_base64(bytes([1]) + bytes(31))}",
    "a key that is no base64": KEY[:-1],
    "a name with a space": KEY.replace("log", "l g"),
    "a private key": LOG.to_text(),
}
GROWTHS = {
    "no empty line": b"old 3\n",
    "another word": b"new 3\n\n",
    "a size with a zero before it": b"old 03\n\n",
    "a hash that is short": b"old 3\nAAAA\n\n",
    "too many hashes": b"old 3\n" + (to_base64(bytes(32)).encode() + b"\n") * 65 + b"\n",
    "too many blocks": b"old 3\n\n" * 257,
    "what is not ASCII": b"old \xff\n\n",
    "a block that is empty": b"old 3\n\n\n\n",
}
SEEN = json.loads(Seen().to_json())
MEMORIES = {
    "nothing": b"",
    "half of it": Seen().to_json()[:20],
    "a list": b"[]",
    "another version": canonical_json(SEEN | {"version": 9}),
    "a tree without a root": canonical_json(SEEN | {"logs": {"l": {"size": 1}}}),
    "a size below zero": canonical_json(SEEN | {"logs": {"l": {"size": -1, "root": "00" * 32}}}),
    "a day that there is not": canonical_json(SEEN | {"since": "2026-02-30T00:00:00Z"}),
    "a revoked release with a name": canonical_json(
        SEEN | {"publishers": [{"keys": [], "rotations": [], "services": {"s": {"number": 1, "revoked": {"x": 2}}}}]}
    ),
}


@pytest.mark.parametrize("fault", NOTES)
def test_a_note_with(fault):
    with pytest.raises(EvidenceError):
        open_note(NOTES[fault], [LOG.verifier])


@pytest.mark.parametrize("fault", CHECKPOINTS)
def test_a_checkpoint_with(fault):
    with pytest.raises(EvidenceError):
        Checkpoint.from_text(CHECKPOINTS[fault])


@pytest.mark.parametrize("fault", PROOFS)
def test_a_proof_with(fault):
    assert PROOFS[fault] != PROOF
    with pytest.raises(AttestationError):
        open_note(Proof.from_bytes(PROOFS[fault]).checkpoint, [LOG.verifier])


@pytest.mark.parametrize("fault", BUNDLES)
def test_a_bundle_with(fault):
    with pytest.raises(EvidenceError):
        Bundle.from_json(BUNDLES[fault])


@pytest.mark.parametrize("fault", KEYS)
def test_a_key_with(fault):
    with pytest.raises(EvidenceError) as caught:
        NoteVerifier.from_text(KEYS[fault])
    assert to_base64(bytes([1]) + LOG.seed)[:12] not in str(caught.value)


@pytest.mark.parametrize("fault", KEYS)
def test_a_private_key_with(fault):
    with pytest.raises(EvidenceError) as caught:
        NoteSigner.from_text("PRIVATE+KEY+" + KEYS[fault])
    assert to_base64(bytes([1]) + LOG.seed)[:12] not in str(caught.value)


@pytest.mark.parametrize("fault", GROWTHS)
def test_growth_with(fault):
    with pytest.raises(EvidenceError):
        read_growths(GROWTHS[fault])


@pytest.mark.parametrize("fault", MEMORIES)
def test_a_memory_with(fault):
    with pytest.raises(EvidenceError):
        Seen.from_json(MEMORIES[fault])


@pytest.mark.parametrize(
    "values",
    [("", 0, bytes(32)), ("l", -1, bytes(32)), ("l", True, bytes(32)), ("l", 2**63, bytes(32)), ("l", 0, bytes(31))],
)
def test_a_checkpoint_that_nobody_could_read_is_not_made(values):
    with pytest.raises(EvidenceError):
        Checkpoint(*values)


@pytest.mark.parametrize("text", ["no end", "a\ttab\n"])
def test_a_text_that_no_note_can_hold_is_not_signed(text):
    with pytest.raises(EvidenceError):
        sign_note(text, LOG)


def test_only_a_cosignature_has_a_time():
    for signer, at in ((LOG, 1), (W1, None)):
        with pytest.raises(EvidenceError, match="has a time"):
            sign_note(TEXT, signer, at=at)


def test_what_is_written_is_read_again():
    growths = (Growth(3, (bytes(32),)), Growth(7, ()))
    assert read_growths(write_growths(growths)) == growths
    assert (read_growths(b""), write_growths(())) == ((), b"")
    data = logged(since=(2, 4))
    assert Bundle.from_json(data).to_json() == data
    assert unpack(signed(release())) == (signed(release()), None)


def test_a_note_that_nobody_we_know_signed():
    with pytest.raises(VerificationError, match=r"R2\.note") as caught:
        open_note(GOOD, [W1.verifier])
    assert (caught.value.expected, caught.value.got) == (W1.name, LOG.name)
    with pytest.raises(VerificationError, match="no key at all"):
        open_note(GOOD, [])


def test_signatures_of_others_are_passed_over_even_with_a_known_name():
    """A name alone, or an id alone, is no key."""
    (right,) = UnverifiedNote.from_bytes(GOOD).signatures
    same_name, same_id = replace(right, key_id=b"none"), replace(right, name="someone.else")
    note = UnverifiedNote("text\n", (same_name, same_id, right)).to_bytes()
    assert [one.by for one in open_note(note, [LOG.verifier]).signed] == [LOG.verifier]
    with pytest.raises(VerificationError, match=r"R2\.note"):
        open_note(UnverifiedNote("text\n", (same_name, same_id)).to_bytes(), [LOG.verifier])


@pytest.mark.parametrize("cut", [1, 32, 63, 64])
def test_a_known_keys_signature_that_is_cut_refuses_the_whole_note(cut):
    (right,) = UnverifiedNote.from_bytes(GOOD).signatures
    other = LOG.sign("text\n")
    for data in (right.data[:-cut] or b"x", right.data + b"x" * cut):
        note = UnverifiedNote("text\n", (other, replace(right, data=data))).to_bytes()
        with pytest.raises(VerificationError, match="one that does not"):
            open_note(note, [LOG.verifier])


def test_a_cosignature_is_of_its_time():
    """Moving the time, or passing a plain signature off as a cosignature, changes what is signed."""
    right = W1.sign(TEXT, at=1_700_000_000)
    later = replace(right, data=(1_800_000_000).to_bytes(8, "big") + right.data[8:])
    plain = replace(right, data=right.data[:8] + NoteSigner(W1.name, W1.seed).sign(TEXT).data)
    for wrong in (later, plain):
        with pytest.raises(VerificationError, match="one that does not"):
            open_note(UnverifiedNote(TEXT, (wrong,)).to_bytes(), [W1.verifier])


def test_a_cosignature_of_another_age_of_the_universe():
    at_last = W1.sign(TEXT, at=2**63 - 1)
    assert open_note(UnverifiedNote(TEXT, (at_last,)).to_bytes(), [W1.verifier]).signed[0].at == 2**63 - 1
    over = W1.sign(TEXT, at=2**63)
    with pytest.raises(EvidenceError, match="2\\^63"):
        open_note(UnverifiedNote(TEXT, (over,)).to_bytes(), [W1.verifier])


def test_a_witness_that_signed_twice_is_one_with_its_latest_time():
    many = UnverifiedNote(TEXT, tuple(W1.sign(TEXT, at=at) for at in (5, 9, 7))).to_bytes()
    assert [(one.by, one.at) for one in open_note(many, [W1.verifier, W2.verifier]).signed] == [(W1.verifier, 9)]


def test_a_log_that_signed_twice_is_one():
    twice = UnverifiedNote(TEXT, (LOG.sign(TEXT), LOG.sign(TEXT))).to_bytes()
    assert [(one.by, one.at) for one in open_note(twice, [LOG.verifier]).signed] == [(LOG.verifier, None)]


def test_two_keys_that_cannot_be_told_apart(monkeypatch):
    """An id has four bytes: a caller who pins two keys of one name and id would not know which one signed."""
    monkeypatch.setattr(NoteVerifier, "key_id", property(lambda _: b"same"))
    twin = NoteVerifier(LOG.name, STRANGER.verifier.public_key)
    with pytest.raises(EvidenceError, match="both called"):
        open_note(GOOD, [LOG.verifier, twin])


def test_a_signature_is_added_and_replaced():
    note = add_signature(sign_note(TEXT, LOG), W1.sign(TEXT, at=1))
    again = add_signature(note, W1.sign(TEXT, at=2))
    assert [s.name for s in UnverifiedNote.from_bytes(again).signatures] == [LOG.name, W1.name]
    assert open_note(again, [W1.verifier]).signed[0].at == 2


def test_sixteen_signatures_and_more_are_read():
    strangers = [NoteSigner(f"s{n}", bytes([n]) * 32, COSIGNATURE) for n in range(1, 33)]
    note = sign_note(TEXT, LOG)
    for stranger in strangers:
        note = add_signature(note, stranger.sign(TEXT, at=1))
    assert [one.by for one in open_note(note, [LOG.verifier]).signed] == [LOG.verifier]


def test_a_witness_is_no_log():
    text = FakeLog(others(2)).text()
    with pytest.raises(VerificationError, match=r"R2\.checkpoint.*the log that you pinned"):
        open_checkpoint(sign_note(text, W1, at=1), LOG.verifier, [W1.verifier])


def test_a_checkpoint_of_another_log_under_this_logs_key():
    text = Checkpoint("other.example", 3, bytes(32)).to_text()
    with pytest.raises(VerificationError, match=r"R2\.checkpoint.*of the log whose key"):
        open_checkpoint(sign_note(text, LOG), LOG.verifier)


def test_a_note_of_the_log_that_is_no_checkpoint():
    with pytest.raises(EvidenceError, match="three lines"):
        open_checkpoint(sign_note("hello\n", LOG), LOG.verifier)
