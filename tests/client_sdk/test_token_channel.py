"""An access token is as secret as a prompt: it goes to verified machines, on verified connections, and nowhere else."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from client_sdk import AsyncClient, Client, PolicyError, VerificationError
from client_sdk.cli import main
from client_sdk.cli.token_option import VARIABLE
from tests.fakes.simulated_server import ATTESTATION, MODEL, serving, show_other_key
from tests.fakes.simulated_vm import SimulatedVm, ec_key, tls_certificate

TOKEN = "eyJh.eyJz.secret-signature"
ANSWER = "The capital of France is Paris."


def ask(client):
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "q"}])


def got(server):
    """Whether a server read the token, in whatever it was sent."""
    return TOKEN.encode() in b"".join(server.received)


def tokens_sent(server):
    """Each request's path, and what it said of authorisation."""
    told = zip(server.requests, server.headers, strict=True)
    return [(path, headers.get("authorization")) for (_, path, _), headers in told]


def test_the_token_is_in_every_request_but_attestation(server, pins):
    with Client(server.origin, api_key=TOKEN, **pins.options) as client:
        ask(client)
    sent = dict(tokens_sent(server))
    assert sent.pop(ATTESTATION) is None
    assert sent.pop(f"{ATTESTATION}/activate") is None
    assert set(sent.values()) == {f"Bearer {TOKEN}"}
    assert got(server)


def test_an_asynchronous_clients_token_is_not_in_attestation_either(server, pins):
    async def talk():
        async with await asyncio.to_thread(AsyncClient, server.origin, api_key=TOKEN, **pins.options) as client:
            await ask(client)

    asyncio.run(talk())
    told = [token for path, token in tokens_sent(server) if path.startswith(ATTESTATION)]
    assert told
    assert set(told) == {None}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_machine_that_is_refused_never_reads_the_token(impostor, pins, kind):
    impostor.vm.phases = ("sysinit",)
    with pytest.raises((VerificationError, PolicyError)):
        kind(impostor.origin, api_key=TOKEN, **pins.options)
    assert impostor.rounds() > 0, "it was asked for evidence"
    assert not got(impostor)


def test_an_impostor_that_shows_the_evidence_of_another_never_reads_it(server, pins):
    show_other_key(server, ec_key("impostor"), tls_certificate(ec_key("impostor")))
    with pytest.raises(VerificationError, match=r"\[C3\.1\]"):
        Client(server.origin, api_key=TOKEN, **pins.options)
    assert not got(server)


def test_a_machine_that_takes_the_place_of_a_verified_one_never_reads_it(pins):
    with serving(SimulatedVm()) as server:
        port = server.server_address[1]
        client = Client(server.origin, api_key=TOKEN, **pins.options)
    with client, serving(SimulatedVm("impostor"), port=port) as impostor:
        impostor.vm.phases = ("sysinit",)
        with pytest.raises(Exception, match=r"Connection error|phases|refused"):
            ask(client)
        assert impostor.connections > 0
        assert not got(impostor)


def test_a_redirect_does_not_take_the_token_along(server, impostor, pins):
    for path in ("/v1/chat/completions", "/v1/models"):
        server.answer_with[path] = (307, {"Location": impostor.origin + path}, b"")
    with Client(server.origin, api_key=TOKEN, **pins.options) as client, pytest.raises(Exception, match="307"):
        ask(client)
    assert impostor.connections == 0


@pytest.fixture
def run(capsys):
    def _run(*argv):
        code = main([str(word) for word in argv])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err, all=said.out + said.err)

    return _run


def authorizations(server):
    return {headers.get("authorization") for headers in server.headers}


def test_ask_takes_its_token_from_a_file(run, server, pins, tmp_path):
    (tmp_path / "mine.token").write_text(f"{TOKEN}\n")
    said = run("ask", server.origin, "q", *pins.words, "--token-file", tmp_path / "mine.token")
    assert (said.code, said.out.strip()) == (0, ANSWER)
    assert authorizations(server) == {None, f"Bearer {TOKEN}"}
    assert TOKEN not in said.all


def test_ask_takes_its_token_from_the_environment_and_a_file_before_it(run, server, pins, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert run("ask", server.origin, "q", *pins.words).code == 0
    assert f"Bearer {TOKEN}" in authorizations(server)
    (tmp_path / "other").write_text("other.token.x")
    server.headers.clear()
    assert run("ask", server.origin, "q", *pins.words, "--token-file", tmp_path / "other").code == 0
    assert authorizations(server) == {None, "Bearer other.token.x"}


def test_verify_sends_no_token_whatever_the_environment_says(run, server, pins, monkeypatch):
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert run("verify", server.origin, *pins.words).code == 0
    assert not got(server)


def test_ask_sends_no_token_to_a_machine_that_it_refuses(run, server, pins, monkeypatch):
    monkeypatch.setenv(VARIABLE, TOKEN)
    show_other_key(server, ec_key("impostor"), tls_certificate(ec_key("impostor")))
    assert run("ask", server.origin, "q", *pins.words).code == 1
    assert not got(server)


@pytest.mark.parametrize(
    ("fault", "content"),
    [
        ("empty", b""),
        ("two words", b"one two"),
        ("two lines, which would be two headers", b"one\r\nX-Other: two"),
        ("not ASCII", "töken".encode()),
        ("no file", None),
    ],
)
def test_a_file_that_holds_no_token_is_usage_and_nothing_is_sent(run, server, pins, tmp_path, fault, content):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    said = run("ask", server.origin, "q", *pins.words, "--token-file", tmp_path / "token")
    assert (said.code, "holds no token" in said.err, server.connections) == (2, True, 0)
    assert "two" not in said.err.replace(str(tmp_path), "")


def test_a_variable_that_holds_no_token_is_usage(run, server, pins, monkeypatch):
    monkeypatch.setenv(VARIABLE, "one two")
    said = run("ask", server.origin, "q", *pins.words)
    assert (said.code, f"{VARIABLE} holds no token" in said.err, server.connections) == (2, True, 0)


REFUSALS = {
    401: ("missing_api_key", "--token-file FILE or in VITRINE_TOKEN", 2),
    403: ("model_not_allowed", "verified, but the service refuses the request", 2),
    429: ("insufficient_quota", "verified, but there is no answer", 3),
}


@pytest.mark.parametrize("status", REFUSALS)
def test_what_the_door_says_is_told_with_what_to_do(run, server, pins, monkeypatch, status):
    code, said, exit_code = REFUSALS[status]
    body = json.dumps({"error": {"message": "no", "type": "x", "param": None, "code": code}}).encode()
    server.answer_with["/v1/chat/completions"] = (status, {"Content-Type": "application/json"}, body)
    monkeypatch.setenv(VARIABLE, TOKEN)
    told = run("ask", server.origin, "q", *pins.words)
    assert (told.code, said in told.err) == (exit_code, True), told.err
    assert TOKEN not in told.all
