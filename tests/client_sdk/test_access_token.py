"""The form of access tokens: one reading, nothing that a sender could choose, and no personal data."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from client_sdk.access_token import (
    HEADER,
    MAX_SECONDS,
    MAX_TOKEN,
    Claims,
    Issuer,
    put_together,
    read_issuers,
    signing_input,
    spell_issuers,
    take_apart,
)
from client_sdk.errors import EvidenceError
from tests.totality import only_evidence_errors, with_a_few_changes

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
CLAIMS = Claims(
    issuer=Issuer.of(KEY.public_key()).name,
    service="vitrine-test",
    subject="s" * 22,
    issued_at=1_800_000_000,
    expires_at=1_800_086_400,
    token_id="j" * 22,
    models=("m",),
    rate=60,
    tokens=1000,
)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pem(key=KEY):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def token(header=HEADER, payload=None, signature=b"s" * 64):
    parts = (header, CLAIMS.as_dict() if payload is None else payload)
    encoded = [b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts]
    return ".".join((*encoded, b64(signature)))


def test_the_control_is_read_back():
    signed = signing_input(CLAIMS)
    apart = take_apart(put_together(signed, KEY.sign(signed)))
    KEY.public_key().verify(apart.signature, apart.signed)
    assert (apart.signed, Claims.from_json(apart.payload)) == (signed, CLAIMS)


def test_the_parts_are_those_of_rfc_7519():
    """As any JWT library writes them: the vector is made here by hand, from RFC 7515 alone."""
    header, payload, signature = put_together(signing_input(CLAIMS), KEY.sign(signing_input(CLAIMS))).split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "EdDSA", "typ": "vitrine-token+jwt"}
    said = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert (said["iss"], said["aud"], said["exp"] - said["iat"]) == (CLAIMS.issuer, "vitrine-test", 86_400)
    assert len(base64.urlsafe_b64decode(signature + "==")) == 64


HEADERS = {
    "no algorithm": HEADER | {"alg": "none"},
    "no algorithm, spelled otherwise": HEADER | {"alg": "nOnE"},
    "an HMAC": HEADER | {"alg": "HS256"},
    "RSA": HEADER | {"alg": "RS256"},
    "another curve": HEADER | {"alg": "ES256"},
    "the algorithm as a list": HEADER | {"alg": ["EdDSA"]},
    "another kind of JWT": HEADER | {"typ": "JWT"},
    "the kind in capitals": HEADER | {"typ": "VITRINE-TOKEN+JWT"},
    "no kind": {"alg": "EdDSA"},
    "a key's name": HEADER | {"kid": "../../etc/passwd"},
    "a key of the sender's": HEADER | {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}},
    "an address of a key": HEADER | {"jku": "https://attacker.invalid"},
    "a critical extension": HEADER | {"crit": ["exp"]},
    "an unencoded payload": HEADER | {"b64": False},
    "no object": ["EdDSA"],
    "two algorithms": b'{"alg":"none","alg":"EdDSA","typ":"vitrine-token+jwt"}',
    "no JSON": b"{",
    "no UTF-8": b'{"alg":"EdDSA\xff"}',
}


@pytest.mark.parametrize("attack", HEADERS)
def test_a_header_decides_nothing(attack):
    with pytest.raises(EvidenceError):
        take_apart(token(HEADERS[attack]))
    assert take_apart(token())


GOOD = token()
TEXTS = {
    "empty": "",
    "one part": "abc",
    "two parts": GOOD.rpartition(".")[0],
    "no signature": GOOD.rpartition(".")[0] + ".",
    "four parts": GOOD + ".abc",
    "five parts, as encrypted ones have": "a.b.c.d.e",
    "padding": GOOD + "=",
    "the other base64": GOOD.replace(GOOD[-3], "+"),
    "a blank": GOOD[:9] + " " + GOOD[9:],
    "a line break at the end": GOOD + "\n",
    "a letter that is none": GOOD[:9] + "ä" + GOOD[9:],
    "a part of an impossible length": GOOD.rpartition(".")[0] + ".AAAAA",
    "bits beyond the bytes": GOOD.rpartition(".")[0] + ".AB",
    "huge": GOOD.rpartition(".")[0] + "." + "A" * MAX_TOKEN,
}


@pytest.mark.parametrize("fault", TEXTS)
def test_a_text_with_two_readings_is_refused(fault):
    with pytest.raises(EvidenceError):
        take_apart(TEXTS[fault])


def without(name):
    return {key: value for key, value in CLAIMS.as_dict().items() if key != name}


PAYLOADS = {
    **{f"without {name}": without(name) for name in CLAIMS.as_dict()},
    "an unknown claim": CLAIMS.as_dict() | {"admin": True},
    "a name for a subject": CLAIMS.as_dict() | {"sub": "alice@example.com"},
    "an empty subject": CLAIMS.as_dict() | {"sub": ""},
    "a subject that is no text": CLAIMS.as_dict() | {"sub": 1},
    "a name for an id": CLAIMS.as_dict() | {"jti": "token-of-alice"},
    "several audiences": CLAIMS.as_dict() | {"aud": ["vitrine-test", "other"]},
    "it never expires": CLAIMS.as_dict() | {"exp": None},
    "it lives too long": CLAIMS.as_dict() | {"exp": CLAIMS.issued_at + MAX_SECONDS + 1},
    "it ends when it begins": CLAIMS.as_dict() | {"exp": CLAIMS.issued_at},
    "it ends before it begins": CLAIMS.as_dict() | {"exp": CLAIMS.issued_at - 1},
    "half a second": CLAIMS.as_dict() | {"exp": CLAIMS.expires_at + 0.5},
    "an instant as text": CLAIMS.as_dict() | {"exp": str(CLAIMS.expires_at)},
    "an instant before 1970": CLAIMS.as_dict() | {"iat": -1},
    "an endless number": json.dumps(CLAIMS.as_dict()).replace("1800086400", "1" * 400).encode(),
    "infinity": json.dumps(CLAIMS.as_dict()).replace("1800086400", "Infinity").encode(),
    "no models": CLAIMS.as_dict() | {"models": []},
    "any model": CLAIMS.as_dict() | {"models": "*"},
    "a model twice": CLAIMS.as_dict() | {"models": ["m", "m"]},
    "a model that is no text": CLAIMS.as_dict() | {"models": [None]},
    "too many models": CLAIMS.as_dict() | {"models": [str(i) for i in range(33)]},
    "no rate": CLAIMS.as_dict() | {"rate": 0},
    "a negative rate": CLAIMS.as_dict() | {"rate": -1},
    "a true rate": CLAIMS.as_dict() | {"rate": True},
    "a negative budget": CLAIMS.as_dict() | {"tokens": -1},
    "another version": CLAIMS.as_dict() | {"version": 2},
    "a true version": CLAIMS.as_dict() | {"version": True},
    "an expiry twice": json.dumps(CLAIMS.as_dict()).replace('"exp"', '"exp": 9, "exp"').encode(),
    "a list": [],
    "deep": b"[" * 4000,
    "no JSON": b"claims",
}


@pytest.mark.parametrize("fault", PAYLOADS)
def test_claims_that_are_not_exactly_these_are_refused(fault):
    value = PAYLOADS[fault]
    with pytest.raises(EvidenceError):
        Claims.from_json(value if isinstance(value, bytes) else json.dumps(value).encode())
    assert Claims.from_json(json.dumps(CLAIMS.as_dict()).encode()) == CLAIMS


def test_an_issuer_cannot_sign_what_nobody_would_take():
    with pytest.raises(EvidenceError):
        signing_input(replace(CLAIMS, expires_at=CLAIMS.issued_at + MAX_SECONDS + 1))
    long = signing_input(replace(CLAIMS, models=tuple(f"{i:0128}" for i in range(25))))
    with pytest.raises(EvidenceError):
        put_together(long, b"s" * 64)


def _read(data):
    return Claims.from_json(take_apart(data.decode("latin-1")).payload)


def test_whatever_comes_it_is_one_kind_of_error():
    with_a_few_changes(lambda data: only_evidence_errors(_read, data), GOOD.encode())
    with_a_few_changes(lambda data: only_evidence_errors(Claims.from_json, data), json.dumps(CLAIMS.as_dict()).encode())


def private_pem(key=KEY):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
BUNDLES = {
    "nothing": "",
    "text": "issuer",
    "the private half": private_pem(),
    "the private half beside": pem() + private_pem(),
    "a word beside": "issuer:\n" + pem(),
    "the same key twice": pem() * 2,
    "five keys": "".join(pem(Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32)) for i in range(5)),
    "an RSA key": pem(rsa.generate_private_key(65537, 2048)),
    "a key of another curve": pem(ec.generate_private_key(ec.SECP256R1())),
    "no key in it": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "a megabyte": pem() + "\n" * 2**20,
}


@pytest.mark.parametrize("fault", BUNDLES)
def test_issuers_are_public_keys_and_nothing_else(fault):
    with pytest.raises(EvidenceError) as caught:
        read_issuers(BUNDLES[fault])
    secret = private_pem().splitlines()[1]
    assert secret not in str(caught.value)


def test_two_issuers_are_read_during_a_change_of_keys():
    first, second = read_issuers(pem() + pem(OTHER))
    assert (first.name, second.name) == tuple(Issuer.of(key.public_key()).name for key in (KEY, OTHER))
    spelled = spell_issuers((first, second))
    assert spelled.isprintable()
    keys = [serialization.load_der_public_key(base64.b64decode(one)) for one in spelled.split(" ")]
    assert [Issuer.of(key).name for key in keys] == [first.name, second.name]
