"""Quotes and activation, checked with the formats' own code and plain cryptography."""

from __future__ import annotations

import struct
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from tpm2_pytss.types import TPM2B_PUBLIC, TPMS_ATTEST, TPMT_PUBLIC, TPMT_SIGNATURE
from tpm2_pytss.utils import create_ek_template, make_credential

from client_sdk.binding import extra_data, merkle_root
from client_sdk.evidence import PCRS
from serving.attest.service import Attester, Rate
from serving.attest.tpm import Tpm
from serving.errors import RequestError, TpmBusyError, TpmLostError
from tests.serving.fixtures import _no_index, evidence_over


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def attester(tpm, sealed, clock):
    return Attester(tpm, sealed, rate=Rate(burst=2, per_second=0.5), clock=clock)


def nonces(count):
    return tuple(sha256(b"nonce %d" % number).digest() for number in range(count))


def ak(found):
    public, _ = TPMT_PUBLIC.unmarshal(found.ak_public)
    return TPM2B_PUBLIC(publicArea=public)


def check_signature(found):
    signature, consumed = TPMT_SIGNATURE.unmarshal(found.quote.signature)
    assert consumed == len(found.quote.signature)
    ecdsa = signature.signature.ecdsa
    points = [int.from_bytes(bytes(part), "big") for part in (ecdsa.signatureR, ecdsa.signatureS)]
    key = load_pem_public_key(ak(found).to_pem())
    key.verify(encode_dss_signature(*points), found.quote.attest, ec.ECDSA(hashes.SHA256()))


def attested(found):
    return TPMS_ATTEST.unmarshal(found.quote.attest)[0]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 1000])
def test_every_waiting_nonce_has_its_place_under_one_signed_quote(attester, sealed, count):
    asked = nonces(count)
    answers = evidence_over(attester, asked)
    assert len({answer.quote.attest for answer in answers}) == 1
    check_signature(answers[0])
    signed = bytes(attested(answers[0]).extraData)
    for nonce, answer in zip(asked, answers, strict=True):
        assert answer.quote.place.tree_size == count
        assert extra_data(merkle_root(nonce, answer.quote.place), count, sealed.spki, b"") == signed


def test_the_quote_is_over_exactly_the_required_pcrs(attester):
    (answer,) = evidence_over(attester, nonces(1))
    quote = attested(answer).attested.quote
    assert quote.pcrSelect.count == 1
    assert quote.pcrSelect.pcrSelections[0].hash == 0x000B
    bits = int.from_bytes(bytes(quote.pcrSelect.pcrSelections[0].pcrSelect)[:3], "little")
    assert tuple(index for index in range(24) if bits >> index & 1) == PCRS
    assert bytes(quote.pcrDigest) == sha256(b"".join(value for _, value in answer.pcrs)).digest()


def test_the_attestation_key_signs_only_what_the_tpm_made(attester):
    (answer,) = evidence_over(attester, nonces(1))
    assert int(ak(answer).publicArea.objectAttributes) == 0x50072


def test_a_nonce_of_somebody_else_does_not_fit_my_place(attester, sealed):
    first, second = nonces(2)
    answers = evidence_over(attester, (first, second))
    signed = bytes(attested(answers[0]).extraData)
    assert extra_data(merkle_root(second, answers[0].quote.place), 2, sealed.spki, b"") != signed


def test_a_pcr_that_changed_after_sealed_ends_the_quotes(attester, tpm):
    tpm.extend(bytes(32))
    with pytest.raises(TpmLostError, match="changed since sealed"):
        attester.quote(nonces(1))


def flipped(place):
    """Change one bit of an answer: of its parameters, counted from where a TPMS_ATTEST begins, or from the end."""

    def change(answer):
        index = place + 16 if place >= 0 else len(answer) + place
        return answer[:index] + bytes([answer[index] ^ 1]) + answer[index + 1 :]

    return change


class TestOnAWire:
    @pytest.fixture
    def tpm(self, wire):
        opened = Tpm(wire.tcti)
        yield opened
        opened.close()

    def test_an_undisturbed_wire_changes_nothing(self, attester, wire):
        assert attester.quote(nonces(3))
        assert wire.quotes == 1

    @pytest.mark.parametrize(("attack", "place"), [("its first byte", 44), ("its last byte", 75)])
    def test_a_quote_over_another_question_is_the_end(self, attester, wire, attack, place):
        wire.change = flipped(place)
        with pytest.raises(TpmLostError, match="another question"):
            attester.quote(nonces(1))

    def test_the_quote_of_an_earlier_question_is_the_end(self, attester, wire):
        kept = []
        wire.change = lambda answer: kept.append(answer) or kept[0]
        assert attester.quote(nonces(1))
        with pytest.raises(TpmLostError, match="another question"):
            attester.quote(nonces(2))

    @pytest.mark.parametrize("code", [0x101, 0x100, 0x18B, 0x910, 0x922 | 0x040, 0x143])
    def test_a_refusal_for_good_is_the_end(self, attester, wire, code):
        wire.change = lambda _: struct.pack(">HII", 0x8001, 10, code)
        with pytest.raises(TpmLostError, match=f"0x{code:08x}"):
            attester.quote(nonces(1))

    @pytest.mark.parametrize("code", [0x901, 0x903, 0x908, 0x90A, 0x920, 0x921, 0x923])
    def test_not_now_is_no_end_and_the_next_quote_is_good(self, attester, wire, code):
        wire.change = lambda _: struct.pack(">HII", 0x8001, 10, code)
        with pytest.raises(TpmBusyError, match=f"0x{code:08x}"):
            attester.quote(nonces(1))
        wire.change = lambda answer: answer
        assert attester.quote(nonces(1))

    @pytest.mark.parametrize("answer", [b"", b"\0" * 10, b"\x80\x02\0\0\0\x0a\0\0\0\0"], ids=range(3))
    def test_an_answer_that_is_none_is_the_end(self, attester, wire, answer):
        wire.change = lambda _: answer or struct.pack(">HI", 0x8001, 0xFFFFFFFF) + bytes(100)
        with pytest.raises(TpmLostError):
            attester.quote(nonces(1))

    def test_a_wire_that_is_cut_is_the_end(self, attester, wire):
        wire.cut = True
        with pytest.raises(TpmLostError, match="quote"):
            attester.quote(nonces(1))

    def test_a_tpm_that_is_gone_is_not_taken_for_a_wrong_credential(self, attester, sealed, wire):
        wire.cut = True
        with pytest.raises(TpmLostError):
            attester.quote(nonces(1))
        with pytest.raises(TpmLostError, match="activate"):
            attester.activate(*credential(sealed, b"s" * 32))


def credential(sealed, secret, *, name=None):
    """What a client does, with the TPM library's own implementation as an independent witness."""
    certificate = x509.load_der_x509_certificate(sealed.evidence.ek_certificates[0])
    _, ek = create_ek_template("EK-RSA2048", _no_index)
    ek.publicArea.unique.rsa = certificate.public_key().public_numbers().n.to_bytes(256, "big")
    blob, encrypted = make_credential(ek, secret, name or bytes(ak(sealed.evidence).get_name()))
    return bytes(blob), bytes(encrypted)


def test_the_right_machine_gives_the_secret_back(attester, sealed):
    secret = b"s" * 32
    assert attester.activate(*credential(sealed, secret)) == secret


def test_a_credential_for_another_attestation_key_is_refused(attester, sealed):
    other = b"\x00\x0b" + sha256(b"a key of mine, not restricted").digest()
    with pytest.raises(RequestError, match="activation_refused"):
        attester.activate(*credential(sealed, b"s" * 32, name=other))


@pytest.mark.parametrize("place", [0, 2, 33, 40])
def test_a_changed_credential_blob_is_refused(attester, sealed, place):
    blob, encrypted = credential(sealed, b"s" * 32)
    blob = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
    with pytest.raises(RequestError, match="activation_refused"):
        attester.activate(blob, encrypted)


@pytest.mark.parametrize(
    ("blob", "encrypted"),
    [(b"", b""), (b"x" * 132, b"y" * 256), (b"x" * 133, b"y" * 256), (b"x", b"y" * 257), (b"\xff\xff", b"z" * 256)],
    ids=["empty", "full", "long blob", "long secret", "length beyond the end"],
)
def test_garbage_credentials_are_refused(attester, blob, encrypted):
    with pytest.raises(RequestError, match="activation_refused"):
        attester.activate(blob, encrypted)


def test_a_refused_activation_leaves_no_session_behind(attester, sealed, clock):
    for _ in range(70):  # a TPM has 64 sessions at most
        clock.now += 10
        with pytest.raises(RequestError, match="activation_refused"):
            attester.activate(b"\x00\x01x", b"y" * 256)
    clock.now += 10
    assert attester.activate(*credential(sealed, b"t" * 16)) == b"t" * 16


def test_a_busy_tpm_is_not_taken_for_a_wrong_credential(attester, sealed, tpm, monkeypatch):
    def busy(*_):
        raise TpmBusyError("activate: made to fail")

    asked = credential(sealed, b"s" * 32)
    with monkeypatch.context() as patched:
        patched.setattr(tpm, "activate", busy)
        with pytest.raises(RequestError, match="unavailable"):
            attester.activate(*asked)
    assert attester.activate(*asked) == b"s" * 32


def test_too_many_activations_are_held_off_and_come_back_with_time(attester, clock):
    for _ in range(2):
        with pytest.raises(RequestError, match="activation_refused"):
            attester.activate(b"", b"")
    with pytest.raises(RequestError, match="busy") as caught:
        attester.activate(b"", b"")
    assert caught.value.status == 429
    clock.now += 2.0
    with pytest.raises(RequestError, match="activation_refused"):
        attester.activate(b"", b"")


def test_quotes_still_come_while_activations_are_held_off(attester):
    for _ in range(3):
        with pytest.raises(RequestError):
            attester.activate(b"", b"")
    assert attester.quote(nonces(1))
