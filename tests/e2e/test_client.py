"""`Client` and `AsyncClient` on a real VM: OpenAI's own clients, on a connection that ends in the verified machine."""

from __future__ import annotations

import asyncio
import http.client
import ssl

import openai
import pytest

from client_sdk import AsyncClient, Client, Publisher, SimulatedPlatform

MODEL = "smollm2-135m-instruct"
QUESTION = [{"role": "user", "content": "Capital of France?"}]


def arguments(vm):
    return {
        "releases": vm.release,
        "publisher": Publisher(keys=(vm.publisher,)),
        "policy": SimulatedPlatform(tpm_ca=vm.tpm_ca),
        "timeout": 300,
    }


def unverified():
    """A peer that looks from outside and trusts nothing: what it sends is worth nothing."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_chat_streaming_and_completions(vm):
    with Client(vm.origin, **arguments(vm)) as client:
        assert isinstance(client, openai.OpenAI)
        assert {"Q1", "L7", "L11"} <= {check.id.split(".")[0] for check in client.attestation.checks}
        chunks = client.chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=2, temperature=0, stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        prompt = "The capital of France is"
        done = client.completions.create(model=MODEL, prompt=prompt, max_tokens=2, temperature=0)
        assert "Paris" in done.choices[0].text
        assert [model.id for model in client.models.list()] == [MODEL]


def test_async_streaming(vm):
    async def talk():
        async with AsyncClient(vm.origin, **arguments(vm)) as client:
            stream = await client.completions.create(
                model=MODEL, prompt="The", max_tokens=1, temperature=0, stream=True
            )
            return [chunk async for chunk in stream]

    assert asyncio.run(talk())


def test_an_unknown_model_is_an_openai_error(vm):
    with Client(vm.origin, **arguments(vm)) as client, pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-5", messages=QUESTION)


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/docs", "/openapi.json", "/v1/moderations", "/props", "/slots", "/v1/../metrics"]
)
def test_routes_outside_the_list_do_not_exist(vm, path):
    context = unverified()
    connection = http.client.HTTPSConnection("127.0.0.1", int(vm.origin.rsplit(":", 1)[1]), context=context, timeout=60)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


def test_tls_1_2_is_refused(vm):
    context = unverified()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    connection = http.client.HTTPSConnection("127.0.0.1", int(vm.origin.rsplit(":", 1)[1]), context=context, timeout=60)
    with pytest.raises(ssl.SSLError):
        connection.request("GET", "/healthz")


@pytest.mark.parametrize("nonce", ["", "00", "zz" * 32, "AA" * 32, "00" * 33])
def test_a_nonce_that_is_none_is_a_clear_error(vm, nonce):
    context = unverified()
    connection = http.client.HTTPSConnection("127.0.0.1", int(vm.origin.rsplit(":", 1)[1]), context=context, timeout=60)
    connection.request("GET", f"/.well-known/attestation?nonce={nonce}")
    assert connection.getresponse().status == 400
    connection.close()
