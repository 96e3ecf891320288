"""What several holders sign is one text, and every signature in it is one of theirs."""

from __future__ import annotations

import json

import pytest

from client_sdk.dsse import Envelope, assemble, key_id, sign, valid_signatures
from client_sdk.encoding import canonical_json
from client_sdk.rotation import rotate
from provisioner.errors import ReleaseError, SpecError
from provisioner.releases.signing import (
    MAX_ENTRY,
    Holders,
    add_signature,
    open_signed,
    read_statement,
    require_loggable,
)
from tests.client_sdk.test_release import RELEASE
from tests.provisioner.releases.conftest import HOLDERS, STRANGER, A, B, C, D, key_set, resigned

UNSIGNED = sign(RELEASE.to_statement(), ())
OURS = Holders(HOLDERS)


def opened(**files):
    return open_signed(files, OURS)


def test_a_file_is_passed_around_until_enough_signed():
    signed = opened(a=UNSIGNED)
    assert [fault.got for fault in signed.missing] == ["none"]
    signed = add_signature(signed, A, "a.key")
    assert [fault.got for fault in signed.missing] == [key_id(A.public_key())]
    signed = add_signature(signed, B, "b.key")
    assert signed.missing == ()
    assert open_signed({"f": signed.data}, OURS).missing == ()


def test_the_order_of_signing_changes_no_byte():
    one = add_signature(add_signature(opened(f=UNSIGNED), A, ""), B, "")
    other = add_signature(add_signature(opened(f=UNSIGNED), B, ""), A, "")
    assert one.data == other.data


def test_copies_that_two_holders_signed_are_put_together():
    together = opened(a=resigned(RELEASE, A), b=resigned(RELEASE, B))
    assert (together.missing, len(together.signers)) == ((), 2)
    assert opened(b=resigned(RELEASE, B), a=resigned(RELEASE, A)).data == together.data


def test_signing_twice_counts_once():
    twice = add_signature(add_signature(opened(f=UNSIGNED), A, ""), A, "")
    assert len(twice.signers) == 1
    assert twice.missing


def test_key_ids_are_written_anew_whatever_a_file_says_of_them():
    envelope = json.loads(resigned(RELEASE, A))
    envelope["signatures"][0]["keyid"] = "somebody's"
    assert opened(f=canonical_json(envelope)).data == resigned(RELEASE, A)


def test_a_wrong_signer():
    with pytest.raises(ReleaseError, match=f"key {key_id(STRANGER.public_key())}; sign with a key that") as caught:
        add_signature(opened(f=UNSIGNED), STRANGER, "stranger.key")
    assert all(name in str(caught.value) for name in HOLDERS.names)


@pytest.mark.parametrize(
    ("attack", "data"),
    [
        ("a stranger signed", resigned(RELEASE, STRANGER)),
        ("a stranger signed as well", resigned(RELEASE, A, B, STRANGER)),
        (
            "changed after it was signed",
            assemble(
                RELEASE.to_statement(),
                valid_signatures(Envelope.from_json(resigned(RELEASE, A, number=9)), (A.public_key(),)),
            ),
        ),
    ],
)
def test_a_signature_of_nobody_of_ours(attack, data):
    with pytest.raises(ReleaseError, match="none of theirs; do not sign it"):
        opened(f=data)


@pytest.mark.parametrize(
    ("fault", "other", "told"),
    [
        ("another number", resigned(RELEASE, B, number=4), "they differ in number"),
        ("other dates", resigned(RELEASE, B, not_after=RELEASE.not_before), "they differ in not_after"),
        ("a rotation", rotate(HOLDERS, key_set(D), number=2, keys=(B,)), "the other a rotation of keys"),
        (
            "the same in other bytes",
            sign(json.dumps(json.loads(RELEASE.to_statement())).encode(), (B,)),
            "the same in other bytes",
        ),
    ],
)
def test_two_holders_signed_different_bytes(fault, other, told):
    with pytest.raises(ReleaseError, match=f"{told}; agree on one") as caught:
        opened(a=resigned(RELEASE, A), b=other)
    assert "b: expected the bytes that were signed in a" in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("no JSON", b"release"),
        ("a private key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("an envelope of something else", sign(b'{"_type":"x"}', ())),
        ("a manifest", b'{"version":2}'),
    ],
)
def test_what_is_neither_release_nor_rotation(fault, data):
    with pytest.raises(SpecError, match=r"f\.json: expected a release or a rotation") as caught:
        read_statement(data, "f.json")
    assert "AAAA" not in str(caught.value)


def test_a_malformed_release_is_told_as_one():
    broken = json.loads(RELEASE.to_statement())
    broken["predicate"]["number"] = 0
    with pytest.raises(SpecError, match=r"predicate\.number"):
        read_statement(sign(canonical_json(broken), ()), "f")


def test_a_rotation_needs_both_sets():
    data = rotate(HOLDERS, key_set(C, D, threshold=2), number=2, keys=(A,))
    signed = open_signed({"f": data}, OURS)
    assert [fault.field for fault in signed.missing] == ["the keys that are replaced", "the new keys"]
    signed = add_signature(add_signature(signed, C, ""), D, "")
    assert signed.missing == ()


def test_each_rebuilder_has_to_sign():
    ours = Holders(HOLDERS, (C.public_key(), STRANGER.public_key()))
    signed = open_signed({"f": resigned(RELEASE, A, B, C)}, ours)
    assert [fault.field for fault in signed.missing] == ["the rebuilders"]
    assert add_signature(signed, STRANGER, "").missing == ()


def test_what_no_log_could_hold():
    require_loggable(bytes(MAX_ENTRY), "f")
    with pytest.raises(ReleaseError, match=f"at most {MAX_ENTRY} bytes"):
        require_loggable(bytes(MAX_ENTRY + 1), "f")
