"""Rotations: a new set of keys is taken from the set that it replaces, and from nobody else (rule R1)."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.dsse import key_id, sign
from client_sdk.encoding import canonical_json
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.publisher import Publisher
from client_sdk.release import read_release
from client_sdk.report import Ledger
from client_sdk.rotation import (
    MAX_KEYS,
    MAX_ROTATIONS,
    KeySet,
    Rotation,
    read_rotation,
    rotate,
    verify_rotation,
    verify_rotations,
)
from client_sdk.transparency.formats.note import NoteSigner
from tests.totality import with_a_few_changes

A, B, C, D, E = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in range(10, 15))


def key_set(*keys, threshold=1):
    return KeySet(tuple(key.public_key() for key in keys), threshold)


def pin(found):
    return Publisher(keys=found.keys, threshold=found.threshold)


FIRST, SECOND, THIRD = key_set(A, B, C, threshold=2), key_set(B, C, D, threshold=2), key_set(D)
TO_SECOND = rotate(FIRST, SECOND, number=2, keys=(B, C))
TO_THIRD = rotate(SECOND, THIRD, number=3, keys=(B, D))


def changed(envelope, **values):
    """Return the statement of a rotation with other values in its predicate."""
    statement = json.loads(json.loads(json.dumps(read_rotation(envelope).to_statement().decode())))
    statement["predicate"] |= values
    return canonical_json(statement)


def test_keys_that_are_in_both_sets_sign_once_for_both():
    found = verify_rotation(TO_SECOND, pin(FIRST))
    assert (KeySet.of(found).digest, found.threshold) == (SECOND.digest, 2)


def test_what_was_checked_is_recorded():
    ledger = Ledger()
    verify_rotation(TO_SECOND, pin(FIRST), ledger=ledger)
    assert [(check.id, check.passed) for check in ledger.checks] == [("R1", True)] * 3


def test_the_order_of_keys_says_nothing():
    assert key_set(A, B).digest == key_set(B, A).digest
    assert verify_rotation(TO_SECOND, pin(key_set(C, A, B, threshold=2))).threshold == 2


@pytest.mark.parametrize("other", [key_set(A), key_set(A, B, threshold=2), key_set(A, C)])
def test_another_set_has_another_digest(other):
    assert other.digest != key_set(A, B).digest


def test_whatever_else_is_pinned_stays():
    log = NoteSigner("log.example", bytes(32)).verifier
    found = verify_rotation(TO_SECOND, replace(pin(FIRST), log=log))
    assert (found.log, KeySet.of(found).digest) == (log, SECOND.digest)


def test_rotations_lead_from_any_pin_to_the_newest_keys():
    chain = (TO_SECOND, TO_THIRD)
    for start in (FIRST, SECOND, THIRD):
        assert KeySet.of(verify_rotations(chain, pin(start))).digest == THIRD.digest
    assert verify_rotations((), pin(FIRST)) == pin(FIRST)


def test_a_set_may_come_back():
    back = rotate(SECOND, FIRST, number=3, keys=(B, C))
    assert KeySet.of(verify_rotations((TO_SECOND, back), pin(FIRST))).digest == FIRST.digest


@pytest.mark.parametrize(
    ("attack", "signed_by", "told"),
    [
        ("nobody signed", (), "by the keys that it replaces"),
        ("one of two", (B,), "by the keys that it replaces"),
        ("only keys that left", (A,), "by the keys that it replaces"),
        ("the new keys alone", (D,), "by the keys that it replaces"),
        ("somebody else", (E,), "by the keys that it replaces"),
        ("one key signed twice", (B, B), "by the keys that it replaces"),
        ("the previous keys alone", (A, B), "by the new keys as well"),
    ],
)
def test_too_few_signatures(attack, signed_by, told):
    with pytest.raises(VerificationError, match=rf"^\[R1\].*{told}"):
        verify_rotation(rotate(FIRST, SECOND, number=2, keys=signed_by), pin(FIRST))


def test_an_error_names_who_signed_and_who_should_have():
    with pytest.raises(VerificationError) as caught:
        verify_rotation(rotate(FIRST, SECOND, number=2, keys=(B,)), pin(FIRST))
    assert all(name in str(caught.value) for name in ("2 of", *FIRST.names, f"got {key_id(B.public_key())}"))


def test_a_rotation_of_another_set_with_keys_in_common():
    """Who holds keys of two publishers' sets cannot play the rotation of the one to clients of the other."""
    other = rotate(key_set(A, B), key_set(E), number=2, keys=(A, B, E))
    with pytest.raises(VerificationError, match=r"^\[R1\] the rotation \(2\) is of the keys that you pinned"):
        verify_rotation(other, pin(FIRST))


def test_a_payload_that_was_changed_after_signing():
    envelope = json.loads(TO_SECOND)
    envelope["payload"] = json.loads(sign(changed(TO_SECOND, threshold=1), ()))["payload"]
    with pytest.raises(VerificationError, match=r"\[R1\]"):
        verify_rotation(canonical_json(envelope), pin(FIRST))


@pytest.mark.parametrize(
    ("fault", "values", "where"),
    [
        ("no key", {"keys": []}, "publisher.keys"),
        ("a key twice", {"keys": [SECOND.as_dict()["keys"][0]] * 2}, "publisher.keys"),
        ("keys out of order", {"keys": SECOND.as_dict()["keys"][::-1]}, r"\$\.predicate\.keys"),
        ("a short key", {"keys": ["00"]}, r"\$\.predicate\.keys\[0\]"),
        ("too many keys", {"keys": ["00" * 32] * (MAX_KEYS + 1)}, r"\$\.predicate\.keys"),
        ("a threshold of nobody", {"threshold": 0}, r"\$\.predicate\.threshold"),
        ("a threshold that cannot be met", {"threshold": 4}, "publisher.threshold"),
        ("the number of the first set", {"number": 1}, r"\$\.predicate\.number"),
        ("a number that is none", {"number": True}, r"\$\.predicate\.number"),
        ("another version", {"version": 2}, r"\$\.predicate\.version"),
        ("a field that nobody knows", {"expires": "never"}, r"\$\.predicate"),
        ("a subject of other keys", {"keys": THIRD.as_dict()["keys"], "threshold": 1}, r"\$\.subject"),
        ("a set that replaces itself", {"previous_sha256": SECOND.digest.hex()}, r"\$\.predicate\.previous"),
    ],
)
def test_a_malformed_rotation_is_refused_whoever_signed_it(fault, values, where):
    with pytest.raises(EvidenceError, match=f"^{where}"):
        verify_rotation(sign(changed(TO_SECOND, **values), (A, B, C, D)), pin(FIRST))


def test_a_release_is_no_rotation():
    statement = json.loads(read_rotation(TO_SECOND).to_statement())
    statement["predicateType"] = "urn:vitrine:release/v1"
    with pytest.raises(EvidenceError, match="predicateType"):
        verify_rotation(sign(canonical_json(statement), (B, C)), pin(FIRST))


def test_a_path_in_the_place_of_bytes():
    with pytest.raises(EvidenceError, match="read_bytes"):
        verify_rotation("rotation.json", pin(FIRST))


@pytest.mark.parametrize(
    ("attack", "chain", "told"),
    [
        (
            "one is left out",
            (TO_SECOND, rotate(THIRD, key_set(E), number=4, keys=(D, E))),
            "the one after the one before",
        ),
        ("the newest first", (TO_THIRD, TO_SECOND), "the one after the one before"),
        ("one is given twice", (TO_SECOND, TO_SECOND), "the one after the one before"),
        (
            "a number is left out",
            (TO_SECOND, rotate(SECOND, THIRD, number=4, keys=(B, D))),
            "the one after the one before",
        ),
        ("none is about the pin", (TO_THIRD,), "the keys that you pinned are in"),
    ],
)
def test_rotations_that_are_no_chain_from_the_pin(attack, chain, told):
    with pytest.raises(VerificationError, match=rf"^\[R1\].*{told}"):
        verify_rotations(chain, pin(FIRST))


def test_a_chain_whose_second_link_too_few_signed():
    with pytest.raises(VerificationError, match=r"\[R1\].*that it replaces"):
        verify_rotations((TO_SECOND, rotate(SECOND, THIRD, number=3, keys=(A, D))), pin(FIRST))


def test_a_forged_past_changes_nothing():
    """Whatever is said of sets before the pin, it leads nowhere but on from the pin."""
    forged = rotate(key_set(E), SECOND, number=2, keys=(E,))
    assert KeySet.of(verify_rotations((forged, TO_THIRD), pin(SECOND))).digest == THIRD.digest
    with pytest.raises(VerificationError, match=r"\[R1\]"):
        verify_rotations((forged, TO_THIRD), pin(FIRST))


def test_a_chain_without_end():
    keys = [Ed25519PrivateKey.from_private_bytes(i.to_bytes(32, "big")) for i in range(1, MAX_ROTATIONS + 3)]
    steps = enumerate(pairwise(map(key_set, keys)), 2)
    chain = [rotate(old, new, number=number, keys=(keys[number - 2], keys[number - 1])) for number, (old, new) in steps]
    assert KeySet.of(verify_rotations(chain[:3], pin(key_set(keys[0])))).digest == key_set(keys[3]).digest
    with pytest.raises(EvidenceError, match=f"at most {MAX_ROTATIONS}"):
        verify_rotations(chain, pin(key_set(keys[0])))


def test_a_rotation_to_the_same_keys_is_not_made():
    with pytest.raises(EvidenceError, match="the new keys are the previous ones"):
        rotate(FIRST, key_set(C, B, A, threshold=2), number=2, keys=(A, B))


@pytest.mark.parametrize("number", [0, 1, True, "2"])
def test_a_number_of_no_rotation_is_not_made(number):
    with pytest.raises(EvidenceError, match=r"rotation\.number"):
        rotate(FIRST, SECOND, number=number)


def test_more_keys_than_an_envelope_has_room_for():
    keys = tuple(Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32).public_key() for i in range(1, MAX_KEYS + 2))
    with pytest.raises(EvidenceError, match=f"at most {MAX_KEYS} keys"):
        KeySet(keys)


def test_it_reads_back_as_it_was_written():
    rotation = read_rotation(TO_SECOND)
    assert rotation.to_statement() == Rotation(2, FIRST.digest, SECOND).to_statement()
    assert replace(rotation, number=7).to_statement() != rotation.to_statement()


@pytest.mark.parametrize("read", [read_rotation, read_release])
def test_any_bytes_end_in_an_error_of_ours(read):
    """Whatever was changed in an envelope, or in the statement inside, nothing but our errors comes out."""

    def check(data):
        with suppress(EvidenceError, VerificationError):
            read(data)

    with_a_few_changes(check, TO_SECOND)
    with_a_few_changes(lambda data: check(sign(data, ())), read_rotation(TO_SECOND).to_statement())


def test_another_implementation_counts_the_same_signatures():
    """Securesystemslib's envelope, of the in-toto project: the format is the standard's."""
    dsse = pytest.importorskip(
        "securesystemslib.dsse", reason="securesystemslib is not installed (requirements/dev.lock)"
    )
    signer = pytest.importorskip("securesystemslib.signer")
    theirs = dsse.Envelope.from_dict(json.loads(TO_SECOND))
    keys = [
        signer.SSlibKey(key_id(key), "ed25519", "ed25519", {"public": key.public_bytes_raw().hex()})
        for key in FIRST.keys
    ]
    assert set(theirs.verify(keys, 2)) == {key_id(key.public_key()) for key in (B, C)}
