"""`Client` and `AsyncClient`: they send nothing before verification, and nothing elsewhere (rules C3, C7)."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time

import openai
import pytest
from websockets.exceptions import InvalidURI

import client_sdk
from client_sdk import (
    AsyncClient,
    Client,
    EvidenceError,
    FetchError,
    PolicyError,
    Publisher,
    SimulatedPlatform,
    VerificationError,
)
from client_sdk.client import NO_KEY
from tests.fakes.simulated_server import ATTESTATION, MODEL, show_other_key
from tests.fakes.simulated_vm import SimulatedVm, TestCa, ec_key, publisher_key, release, signed, tls_certificate

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."


def ask(client, **options):
    return client.chat.completions.create(model=MODEL, messages=QUESTION, **options)


def test_control_answers(server, pins):
    with Client(server.origin, **pins.options) as client:
        assert isinstance(client, openai.OpenAI)
        assert client.attestation.verdict == "accepted"
        assert ask(client).choices[0].message.content == ANSWER
        assert [model.id for model in client.models.list()] == [MODEL]
    assert server.rounds() == 1


def test_control_streams(server, pins):
    with Client(server.origin, **pins.options) as client:
        pieces = [chunk.choices[0].delta.content for chunk in ask(client, stream=True)]
    assert "".join(pieces) == ANSWER
    assert len(pieces) == 6


def test_control_async(server, pins):
    async def talk():
        client = await asyncio.to_thread(AsyncClient, server.origin, **pins.options)
        async with client:
            assert isinstance(client, openai.AsyncOpenAI)
            assert client.attestation.verdict == "accepted"
            whole = await ask(client)
            stream = await ask(client, stream=True)
            return whole.choices[0].message.content, "".join([c.choices[0].delta.content async for c in stream])

    assert asyncio.run(talk()) == (ANSWER, ANSWER)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("attack", "change", "error", "says"),
    [
        ("the simulated policy left out", {"policy": None}, VerificationError, r"\[D1\]"),
        ("no publisher", {"publisher": None}, PolicyError, "R1"),
        ("no release", {"releases": ()}, PolicyError, "R4"),
        ("another TPM CA", {"policy": SimulatedPlatform(tpm_ca=TestCa("x").pem)}, VerificationError, r"\[K1\.1\]"),
        (
            "another publisher",
            {"publisher": Publisher(keys=(publisher_key("x").public_key(),))},
            VerificationError,
            r"\[R1\]",
        ),
        ("a release re-signed", {"releases": signed(release(), publisher_key("x"))}, VerificationError, r"\[R1\]"),
        ("retries", {"max_retries": 2}, PolicyError, "max_retries is 2"),
        ("another base URL", {"base_url": "https://api.openai.com/v1"}, PolicyError, "base_url is given"),
        ("another HTTP client", {"http_client": object()}, PolicyError, "http_client is given"),
        ("a WebSocket elsewhere", {"websocket_base_url": "wss://x"}, PolicyError, "websocket_base_url is given"),
    ],
)
def test_no_client_is_made_and_no_prompt_leaves(server, pins, kind, attack, change, error, says):
    with pytest.raises(error, match=says):
        kind(server.origin, **pins.options | change)
    assert server.prompts == []


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_plain_http_origin(server, pins, kind):
    with pytest.raises(PolicyError, match="C3: the origin"):
        kind(server.origin.replace("https", "http"), **pins.options)
    assert server.connections == 0


def test_a_booting_vm(server, pins):
    server.answer_with[ATTESTATION] = (503, {"Retry-After": "5"}, b"{}")
    with pytest.raises(FetchError) as caught:
        Client(server.origin, **pins.options)
    assert caught.value.retry_after == 5


def test_an_impostor_after_verification_gets_no_prompt_and_the_error_keeps_its_type(server, pins):
    client = Client(server.origin, **pins.options)
    show_other_key(server, ec_key("impostor"), tls_certificate(ec_key("impostor")))
    with client, pytest.raises(VerificationError, match=r"\[C3\.1\]"):
        ask(client)
    assert server.prompts == []


def test_the_report_follows_the_node_that_answers(server, pins):
    with Client(server.origin, **pins.options) as client:
        before = client.attestation.as_dict()["facts"]["tls_spki_sha256"]
        server.vm = SimulatedVm("restarted")
        show_other_key(server, server.vm.tls, server.vm.tls_certificate)
        assert ask(client).choices[0].message.content == ANSWER
        assert client.attestation.as_dict()["facts"]["tls_spki_sha256"] != before


def test_an_error_of_the_service_is_openais_and_is_not_tried_again(server, pins):
    server.answer_with["/v1/chat/completions"] = (503, {"Retry-After": "1"}, b"{}")
    with Client(server.origin, **pins.options) as client, pytest.raises(openai.InternalServerError):
        ask(client)
    assert len(server.prompts) == 1


def test_a_stream_that_breaks_off_is_not_asked_again(server, pins):
    server.cut_after = 2
    with Client(server.origin, **pins.options) as client:
        assert "".join(c.choices[0].delta.content for c in ask(client, stream=True)) == "The capital "
    assert (len(server.prompts), server.rounds()) == (1, 1)


def test_keys_and_settings_of_openais_service_stay_here(server, pins, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: header-secret")
    with Client(server.origin, **pins.options) as client:
        ask(client)
        ask(client.with_options(timeout=30))
    told = str(server.headers)
    assert "secret" not in told
    assert "sk-" not in told
    assert f"Bearer {NO_KEY}" in told


def test_an_api_key_of_the_service_is_sent(server, pins):
    with Client(server.origin, api_key="token", default_headers={"X-Mine": "yes"}, **pins.options) as client:
        ask(client)
    assert server.headers[-1]["authorization"] == "Bearer token"
    assert server.headers[-1]["x-mine"] == "yes"


def test_a_copy_shares_the_channel_and_the_verdict(server, pins):
    with Client(server.origin, api_key="token", **pins.options) as client:
        copy = client.with_options(timeout=5, default_headers={"X-Mine": "yes"})
        assert isinstance(copy, Client)
        assert copy.attestation == client.attestation
        assert ask(copy).choices[0].message.content == ANSWER
    assert server.rounds() == 1
    assert server.headers[-1]["authorization"] == "Bearer token"


@pytest.mark.parametrize(
    "change", [{"max_retries": 3}, {"base_url": "https://127.0.0.1:1/v1"}, {"http_client": openai.DefaultHttpxClient()}]
)
def test_a_copy_cannot_lead_elsewhere(server, pins, change):
    with Client(server.origin, **pins.options) as client, pytest.raises((PolicyError, VerificationError)):
        ask(client.with_options(**change))
    assert server.prompts == []


def test_a_base_url_that_is_set_later_leads_nowhere(server, impostor, pins):
    with Client(server.origin, **pins.options) as client:
        client.base_url = impostor.origin + "/v1"
        with pytest.raises(VerificationError, match=r"\[C3\]"):
            ask(client)
    assert impostor.connections == 0


def test_past_max_age_the_client_verifies_again(server, pins):
    with Client(server.origin, max_age=0.0001, **pins.options) as client:
        time.sleep(0.001)
        with pytest.raises(VerificationError, match=r"\[C7\]"):
            ask(client)  # so short an age is over before the request; the prompt stays here
    assert server.prompts == []
    assert server.rounds() == 2


def test_the_public_names_are_all_there():
    assert sorted(client_sdk.__all__) == list(client_sdk.__all__)
    for name in client_sdk.__all__:
        assert getattr(client_sdk, name).__module__.startswith("client_sdk.")
    assert set(dir(client_sdk)) == set(client_sdk.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = client_sdk.nothing


IN_THE_VM = "client_sdk client_sdk.errors client_sdk.encoding client_sdk.fields client_sdk.binding client_sdk.evidence"


def test_the_formats_need_the_standard_library_alone():
    """A VM holds six files of the client and no package of its dependencies."""
    script = (
        "import sys; import client_sdk.evidence\n"
        "ours = {name for name in sys.modules if name.startswith('client_sdk')}\n"
        "assert ours == set(sys.argv[1].split()), ours\n"
        "assert not {'cryptography', 'openai', 'httpx2', 'rich'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, IN_THE_VM], check=True, timeout=60)


def test_verifying_loads_no_http_library():
    script = (
        "import sys; from client_sdk import attest, Publisher, SimulatedPlatform\n"
        "assert not {'openai', 'httpx2', 'rich', 'anyio'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_websocket_is_refused_before_anything_leaves(server, pins, monkeypatch):
    """Neither a proxy nor a CA file of the environment gets a look at what the application wanted to say."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with Client(server.origin, **pins.options) as client:

        def no_network(*_, **__):
            raise AssertionError("something was about to be sent")

        monkeypatch.setattr(socket, "create_connection", no_network)
        monkeypatch.setattr(socket.socket, "connect", no_network)
        monkeypatch.setattr(socket, "getaddrinfo", no_network)
        with pytest.raises(InvalidURI), client.realtime.connect(model="m"):
            pass
        with pytest.raises(InvalidURI), client.responses.connect():
            pass


def test_a_misspelt_option_is_named(server, pins):
    with pytest.raises(TypeError, match="'release'"):
        Client(server.origin, release="x", **pins.options)


def test_one_key_instead_of_a_tuple_is_said_so(pins):
    with pytest.raises(EvidenceError, match="expected a tuple of keys"):
        Publisher(keys=str(pins.publisher))


def test_a_report_reads_as_a_sentence(server, pins):
    with Client(server.origin, **pins.options) as client:
        count = len(client.attestation.checks)
        assert str(client.attestation) == f"accepted, {count} of {count} checks hold"
