"""Quotes by clouds' TPMs (rules Q): every attack breaks one rule on a quote that is accepted."""

from __future__ import annotations

import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.parse.public import parse_public
from client_sdk.report import Ledger
from client_sdk.verify.quote import (
    ANY_KINDS,
    OUR_KINDS,
    VITRINE,
    QuoteProfile,
    certified_key,
    verify_ak,
    verify_nonce,
    verify_quote,
)
from tests.fakes.simulated_cloud_tpm import (
    ALL_PCRS,
    ECDSA,
    RSAPSS,
    RSASSA,
    CloudTpm,
    GoogleTpm,
)
from tests.fakes.simulated_vm import ec_key, rsa_key

NONCE = bytes(range(48))


def refused(rule, judge, *arguments, **options):
    with pytest.raises(VerificationError) as caught:
        judge(*arguments, **options)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


# --- Q: quotes by the clouds' keys


CLOUD = QuoteProfile(bank=0x000B, selection=ALL_PCRS, kinds=ANY_KINDS, resettable=True)


def quoted(tpm: CloudTpm, profile=CLOUD, *, key=None, nonce=NONCE):
    attest = tpm.attest(nonce)
    ak = key or verify_ak(parse_public(tpm.public()), ledger=Ledger(), profile=profile)
    signature, pcrs = tpm.signature(attest), tuple(tpm.pcrs.items())
    return verify_quote(attest, signature, pcrs, ak=ak, ledger=Ledger(), profile=profile)


def tpm_of(scheme, hashed, size=None, curve=None):
    tpm = GoogleTpm()
    tpm.scheme = (scheme, hashed)
    if curve:
        tpm.ak = ec.generate_private_key(curve())
    elif size:
        tpm.ak = rsa.generate_private_key(65537, size)
    return tpm


KINDS = [(RSASSA, 0xB), (RSASSA, 0xC), (RSAPSS, 0xB), (RSAPSS, 0xD)]
KINDS += [(RSASSA, 0xB, 3072), (ECDSA, 0xB, None, ec.SECP256R1), (ECDSA, 0xC, None, ec.SECP384R1)]


@pytest.mark.parametrize("kind", KINDS)
def test_quotes_by_every_kind_of_key(kind):
    found = quoted(tpm_of(*kind))
    assert found.attest.extra_data == NONCE
    assert tuple(found.pcrs) == ALL_PCRS[:16]  # the resettable ones are dropped


def test_a_bank_of_larger_digests_under_a_smaller_hash():
    tpm = GoogleTpm()
    tpm.bank, tpm.pcrs = 0x000C, {pcr: bytes([pcr + 1]) * 48 for pcr in ALL_PCRS}
    assert len(quoted(tpm, QuoteProfile(0x000C, ALL_PCRS, ANY_KINDS, resettable=True)).pcrs[0]) == 48


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_by_another_key(kind):
    tpm = tpm_of(*kind)
    stranger = tpm_of(*kind)
    stranger.ak = rsa_key("stranger") if kind[0] != ECDSA else ec.generate_private_key(kind[3]())
    tpm.sign_with = stranger.ak
    refused("Q6.2", quoted, tpm)


SCHEME_ATTACKS = [
    ("PSS told as PKCS#1", (RSASSA, 0xB), (RSAPSS, 0xB)),
    ("PKCS#1 told as PSS", (RSAPSS, 0xB), (RSASSA, 0xB)),
    ("another hash", (RSASSA, 0xC), (RSASSA, 0xB)),
    ("SHA-1", (RSASSA, 0x4), (RSASSA, 0xB)),
]


@pytest.mark.parametrize(
    ("attack", "told", "kind"),
    SCHEME_ATTACKS,
)
def test_a_signature_that_names_another_scheme_than_the_keys(attack, told, kind):
    tpm = tpm_of(*kind)
    tpm.told_scheme = told
    refused("Q6.1", quoted, tpm)


def untouched(tpm):
    """Leave it as it is: the profile asks for something else."""


def sha1_bank(tpm):
    tpm.bank, tpm.pcrs = 0x0004, {pcr: bytes([pcr + 1]) * 20 for pcr in ALL_PCRS}


QUOTE_ATTACKS = [
    ("the SHA-1 bank, unasked", "Q4.1", sha1_bank, CLOUD),
    ("the SHA-1 bank, asked for", "Q4.1", sha1_bank, QuoteProfile(0x4, ALL_PCRS, ANY_KINDS, resettable=True)),
    ("fewer PCRs", "Q2", lambda tpm: setattr(tpm, "selected", ALL_PCRS[:8]), CLOUD),
    ("a resettable PCR", "Q5", untouched, QuoteProfile(0xB, ALL_PCRS, ANY_KINDS, resettable=False)),
    ("our own profile", "Q5", untouched, VITRINE),
    ("no quote", "Q1.2", lambda tpm: setattr(tpm, "kind", 0x801A), CLOUD),
    ("no TPM's", "Q1.1", lambda tpm: setattr(tpm, "magic", 0x54434700), CLOUD),
    ("no firmware", "Q4.2", lambda tpm: tpm.pcrs.update(dict.fromkeys(range(8), bytes(32))), CLOUD),
]


@pytest.mark.parametrize(
    ("attack", "rule", "change", "profile"),
    QUOTE_ATTACKS,
)
def test_a_quote_of_something_else(attack, rule, change, profile):
    tpm = GoogleTpm()
    change(tpm)
    refused(rule, quoted, tpm, profile)


@pytest.mark.parametrize("value", [None, b"", bytes(31), bytes(33), bytes(32)])
def test_claimed_values_that_are_not_the_quoted_ones(value):
    tpm = GoogleTpm()
    attest = tpm.attest(NONCE)
    claimed = {pcr: digest for pcr, digest in tpm.pcrs.items() if pcr != 4 or value is not None}
    if value is not None:
        claimed[4] = value
    pcrs, ak = tuple(claimed.items()), tpm.key()
    refused("Q3", verify_quote, attest, tpm.signature(attest), pcrs, ak=ak, ledger=Ledger(), profile=CLOUD)


def test_a_quote_of_no_pcr_at_all():
    tpm = GoogleTpm()
    tpm.selected = ()
    refused("Q2", quoted, tpm, QuoteProfile(0xB, ALL_PCRS, ANY_KINDS, resettable=False))


def test_a_claimed_value_that_borrows_from_its_neighbour():
    """The digest is over all values together: only their fixed sizes keep them apart."""
    tpm = GoogleTpm()
    attest = tpm.attest(NONCE)
    shifted = tpm.pcrs | {4: tpm.pcrs[4] + tpm.pcrs[5][:1], 5: tpm.pcrs[5][1:]}
    pcrs, ak = tuple(shifted.items()), tpm.key()
    refused("Q3", verify_quote, attest, tpm.signature(attest), pcrs, ak=ak, ledger=Ledger(), profile=CLOUD)


@pytest.mark.parametrize("nonce", [b"", NONCE[:-1], NONCE + b"\0", bytes(48)])
def test_another_nonce(nonce):
    verify_nonce(NONCE, NONCE, ledger=Ledger())
    refused("C2.3", verify_nonce, NONCE, nonce, ledger=Ledger())


KEY_ATTACKS = [
    ("an unrestricted key", "Q7.1", {"attributes": 0x00040072}),
    ("a decryption key", "Q7.1", {"attributes": 0x00030072}),
    ("a key that can be moved", "Q7.2", {"attributes": 0x00050070}),
    ("a key that signs over SHA-1", "Q4.3", {"scheme": (RSASSA, 0x4)}),
    ("a key without a scheme of ours", "Q7.3", {"scheme": (0x0017, 0xB)}),
    ("a modulus of no known size", "Q7.3", {"size": 1024}),
    ("a signing key with a symmetric part", "Q7.3", {"symmetric": struct.pack(">HHH", 6, 128, 0x43)}),
]


@pytest.mark.parametrize(
    ("attack", "rule", "change"),
    KEY_ATTACKS,
)
def test_an_attestation_key_that_is_none(attack, rule, change):
    tpm = GoogleTpm()
    for name, value in change.items():
        setattr(tpm, name, value)
    refused(rule, verify_ak, parse_public(tpm.public()), ledger=Ledger(), profile=CLOUD)


def test_our_own_profile_takes_no_more_kinds_than_before():
    assert len(OUR_KINDS) == 2
    refused("Q7.3", verify_ak, parse_public(tpm_of(RSAPSS, 0xB).public()), ledger=Ledger())
    assert verify_ak(parse_public(GoogleTpm().public()), ledger=Ledger()).scheme == RSASSA


def test_a_modulus_of_another_size_than_told():
    tpm = tpm_of(RSASSA, 0xB, 3072)
    tpm.size = 2048
    with pytest.raises(EvidenceError, match="3072 bits"):
        verify_ak(parse_public(tpm.public()), ledger=Ledger(), profile=CLOUD)


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 3072), ec.generate_private_key(ec.SECP384R1())])
def test_a_certified_key_of_a_kind_that_no_cloud_makes(key):
    refused("Q7.4", certified_key, key.public_key(), ledger=Ledger())
    assert certified_key(ec_key("ak").public_key(), ledger=Ledger()).scheme == ECDSA
