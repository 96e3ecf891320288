"""What crosses the proxy, and what stays where it is."""

from __future__ import annotations

import pytest

from client_sdk.proxy.crossing import downwards, model_of, target, upwards
from client_sdk.proxy.refusals import Refusal


@pytest.mark.parametrize(
    ("path", "query", "asked"),
    [
        (b"/v1/models", b"", "/v1/models"),
        (b"/v1/chat/completions", b"a=b&c=%20", "/v1/chat/completions?a=b&c=%20"),
        (b"/v1/models/a.b-c_d", b"", "/v1/models/a.b-c_d"),
    ],
)
def test_what_is_below_v1_is_asked_for(path, query, asked):
    assert target("GET", path, query) == asked


OUTSIDE = {
    "the root": (b"/", b""),
    "health": (b"/healthz", b""),
    "metrics": (b"/metrics", b""),
    "attestation": (b"/.well-known/attestation", b"nonce=00"),
    "v1 alone": (b"/v1", b""),
    "v1 and a slash": (b"/v1/", b""),
    "up and out": (b"/v1/../metrics", b""),
    "up and out, encoded": (b"/v1/%2e%2e/metrics", b""),
    "a hidden folder": (b"/v1/.well-known", b""),
    "two slashes": (b"/v1//models", b""),
    "another host": (b"//evil.example/v1/models", b""),
    "a whole address": (b"http://evil.example/v1/models", b""),
    "somebody's address": (b"/v1/@evil.example", b""),
    "a line break": (b"/v1/a\r\nx: y", b""),
    "a line break in the query": (b"/v1/models", b"a\r\nx: y"),
    "a fragment": (b"/v1/models", b"a#b"),
}


@pytest.mark.parametrize("attack", OUTSIDE)
def test_nothing_else_is_asked_for(attack):
    with pytest.raises(Refusal) as caught:
        target("GET", *OUTSIDE[attack])
    assert (caught.value.status, caught.value.code) == (404, "not_found")


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "TRACE", "CONNECT", "HEAD", "get"])
def test_no_other_method(method):
    with pytest.raises(Refusal) as caught:
        target(method, b"/v1/models", b"")
    assert caught.value.status == 405


def test_a_caller_s_secret_and_cookies_stay_and_the_token_is_ours():
    given = [
        (b"authorization", b"Bearer caller"),
        (b"cookie", b"a=b"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"user-agent", b"curl"),
        (b"accept", b"*/*"),
        (b"content-type", b"application/json"),
    ]
    kept = [(b"accept", b"*/*"), (b"content-type", b"application/json")]
    assert upwards(given, "ours") == [*kept, (b"authorization", b"Bearer ours")]
    assert upwards(given, None) == kept


def test_no_header_of_a_service_allows_a_web_page_anything():
    given = [
        (b"Content-Type", b"text/event-stream"),
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Set-Cookie", b"a=b"),
        (b"WWW-Authenticate", b"Bearer"),
        (b"Server", b"x"),
        (b"Retry-After", b"3"),
    ]
    assert downwards(given) == [(b"content-type", b"text/event-stream"), (b"retry-after", b"3")]


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model": "a"}', "a"),
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'{"model": 1}', None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b'{"model": ' + b"9" * 10_000 + b"}", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_request_that_names_no_model_is_the_service_s_to_refuse(body, model):
    assert model_of(body) == model
