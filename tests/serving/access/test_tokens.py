"""Who is let through by a token, and every way of being let through by something else."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.access_token import HEADER, MAX_TOKEN
from provisioner.keys import public_pem
from serving.access.tokens import EARLY_SECONDS
from serving.access.unrestricted import OpenAccess
from serving.errors import RequestError
from tests.serving.access.issuing import (
    BUILT,
    KEY,
    NOW,
    OTHER,
    access,
    bearer,
    claims,
    token,
    with_header,
    with_payload,
)
from tests.serving.gateway.running import MODEL

PUBLIC = KEY.public_key()
RAW = PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw)
DER = PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def refusal(headers, judge=None, now=NOW):
    with pytest.raises(RequestError) as caught:
        (judge or access()).judge(headers, now)
    return caught.value.status, caught.value.code


def test_the_control_is_let_through():
    caller = access().judge(bearer(token()), NOW)
    assert (caller.subject, caller.models, caller.known) == ("s" * 22, {MODEL}, True)


@pytest.mark.parametrize("scheme", [b"bearer ", b"BEARER ", b"Bearer   "])
def test_the_scheme_is_spelled_as_rfc_9110_allows(scheme):
    assert access().judge([(b"authorization", scheme + token().encode())], NOW)


def hs256(secret):
    return lambda signed: hmac.new(secret, signed, hashlib.sha256).digest()


FORGED = {
    "no signature": with_header({"alg": "none", "typ": HEADER["typ"]}, lambda _: b"")[:-1] + ".",
    "no algorithm, with a signature": with_header({"alg": "none", "typ": HEADER["typ"]}, KEY.sign),
    "HMAC with the public key as PEM": with_header(HEADER | {"alg": "HS256"}, hs256(public_pem(KEY))),
    "HMAC with the public key as DER": with_header(HEADER | {"alg": "HS256"}, hs256(DER)),
    "HMAC with the public key's bytes": with_header(HEADER | {"alg": "HS256"}, hs256(RAW)),
    "HMAC under our header": with_header(HEADER, hs256(RAW)),
    "RSA": with_header(
        HEADER | {"alg": "RS256"},
        lambda signed: rsa.generate_private_key(65537, 2048).sign(signed, padding.PKCS1v15(), hashes.SHA256()),
    ),
    "another curve": with_header(
        HEADER | {"alg": "ES256"},
        lambda signed: ec.generate_private_key(ec.SECP256R1()).sign(signed, ec.ECDSA(hashes.SHA256())),
    ),
    "another key": with_header(HEADER, OTHER.sign),
    "another key that the header names": with_header(HEADER | {"kid": "0"}, OTHER.sign),
    "a right signature under a header with a key's name": with_header(HEADER | {"kid": "0"}, KEY.sign),
    "a right signature under another kind of JWT": with_header(HEADER | {"typ": "JWT"}, KEY.sign),
    "a signature of zeros": with_header(HEADER, lambda _: bytes(64)),
    "a short signature": with_header(HEADER, lambda signed: KEY.sign(signed)[:-1]),
    "a long signature": with_header(HEADER, lambda signed: KEY.sign(signed) + b"\0"),
    "the signature of another token": token(token_id="k" * 22).rpartition(".")[0] + "." + token().rpartition(".")[2],
    "claims of another token": ".".join(
        (token().split(".")[0], token(rate=1000).split(".")[1], token().split(".")[2]),
    ),
    "signed, and a claim twice": with_payload(b'{"rate":1,' + json.dumps(claims().as_dict()).encode()[1:]),
    "signed, and no JSON": with_payload(b"\xff" * 40),
    "signed, and an unknown claim": with_payload(claims().as_dict() | {"scope": "all"}),
    "signed, and it lives for ever": with_payload(claims().as_dict() | {"exp": 2**40}),
    "signed, and somebody's name": with_payload(claims().as_dict() | {"sub": "alice@example.com"}),
}


@pytest.mark.parametrize("attack", FORGED)
def test_what_no_issuer_signed_in_this_form_is_refused(attack):
    assert refusal(bearer(FORGED[attack])) == (401, "invalid_api_key")


GOOD = token()
SPELLED = {
    "a huge one": GOOD + "A" * MAX_TOKEN,
    "two in one": f"{GOOD}, {GOOD}",
    "a second word": f"{GOOD} {GOOD}",
    "nothing": "",
    "a blank": " ",
    "an API key of OpenAI's": "sk-0123456789",
    "what a client without a token sends": "none",
    "letters that are none": "ä.ö.ü",
    "a zero byte": GOOD + "\0",
}


@pytest.mark.parametrize("fault", SPELLED)
def test_a_header_that_holds_something_else_is_refused(fault):
    assert refusal(bearer(SPELLED[fault])) == (401, "invalid_api_key")


def test_no_header_is_told_from_a_wrong_one():
    assert refusal([(b"host", b"x")]) == (401, "missing_api_key")
    assert refusal([(b"authorization", b"Basic " + GOOD.encode())]) == (401, "invalid_api_key")
    assert refusal([(b"authorization", GOOD.encode())]) == (401, "invalid_api_key")
    assert refusal([(b"x-api-key", GOOD.encode()), (b"cookie", GOOD.encode())]) == (401, "missing_api_key")


def test_two_headers_are_refused_even_if_one_is_right():
    both = [*bearer(GOOD), (b"authorization", b"Bearer none")]
    assert refusal(both) == (401, "invalid_api_key")
    assert refusal(both[::-1]) == (401, "invalid_api_key")
    assert refusal(bearer(GOOD) * 2) == (401, "invalid_api_key")


NOT_ACCEPTABLE = {
    "expired": ({"expires_at": NOW}, "token_expired"),
    "expired long ago": ({"issued_at": NOW - 90_000, "expires_at": NOW - 1}, "token_expired"),
    "from the future": ({"issued_at": NOW + EARLY_SECONDS + 1}, "token_not_yet_valid"),
    "for another service": ({"service": "vitrine-other"}, "invalid_api_key"),
    "for a service whose name begins like ours": ({"service": "vitrine-test-2"}, "invalid_api_key"),
    "in another issuer's name": ({"issuer": "0" * 64}, "invalid_api_key"),
    "in the name of the other issuer of the image": ({"issuer": claims(OTHER).issuer}, "invalid_api_key"),
}


@pytest.mark.parametrize("fault", NOT_ACCEPTABLE)
def test_a_genuine_token_that_does_not_fit_is_refused(fault):
    changes, code = NOT_ACCEPTABLE[fault]
    assert refusal(bearer(token(**changes)), access(KEY, OTHER)) == (401, code)


def test_the_issuers_clock_may_be_a_little_ahead():
    assert access().judge(bearer(token(issued_at=NOW + EARLY_SECONDS)), NOW)


def test_tokens_from_before_the_releases_instant_are_refused():
    assert refusal(bearer(token(issued_at=NOW - 61)), access(after=NOW - 60)) == (401, "token_revoked")
    assert access(after=NOW - 60).judge(bearer(token(issued_at=NOW - 60)), NOW)


def test_a_clock_before_the_image_was_made_lets_nobody_through():
    early = token(issued_at=BUILT - 100, expires_at=BUILT + 100)
    assert refusal(bearer(early), now=BUILT - 1) == (503, "clock_wrong")
    assert access().judge(bearer(early), BUILT)


def test_of_two_issuers_each_signs_and_no_third():
    judge = access(KEY, OTHER)
    assert judge.judge(bearer(token(KEY)), NOW)
    assert judge.judge(bearer(token(OTHER, token_id="k" * 22)), NOW)
    assert refusal(bearer(token(OTHER))) == (401, "invalid_api_key")


def test_a_refusal_repeats_nothing_of_a_token():
    texts = set()
    for text in [*FORGED.values(), *SPELLED.values(), token(service="xyzzy"), token(expires_at=NOW - 1)]:
        with pytest.raises(RequestError) as caught:
            access().judge(bearer(text), NOW)
        error = caught.value
        assert error.__cause__ is None
        assert error.__context__ is None or error.__suppress_context__
        texts.add(error.message)
    assert len(texts) == 2, "one text for what is not valid here, one for what has expired"


def test_renewing_doubles_no_rate_and_brings_a_budget_of_its_own():
    judge = access()
    first, second = (bearer(token(rate=1, tokens=10, token_id=i * 22)) for i in "ab")
    judge.judge(first, NOW).budget.settle(0, 10)
    assert refusal(second, judge, NOW + 1) == (429, "rate_limit_exceeded")
    assert refusal(first, judge, NOW + 60) == (429, "insufficient_quota")
    judge.judge(second, NOW + 120).budget.hold(10)


def test_open_access_takes_nobody_for_another():
    judge = OpenAccess(frozenset({"m"}))
    first, second = (judge.judge([], NOW) for _ in range(2))
    assert first.subject
    assert first.subject != second.subject
    assert (first.models, first.known) == ({"m"}, False)
    first.budget.hold(10**15)
