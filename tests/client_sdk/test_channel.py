"""The channel to one node: a context for its certificate, and when a verdict is made again (rules C3, C4, C7)."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpcore2
import httpx2
import pytest

from client_sdk.channel import attested_context
from client_sdk.client import AsyncAttestedHttpClient, AttestedHttpClient
from client_sdk.errors import FetchError, PolicyError, VerificationError
from client_sdk.fleet import CONNECTIONS, Fleet
from client_sdk.origin import Origin
from client_sdk.pinning import StaleVerdictError, boot_clock, pinned_context
from client_sdk.releases import open_releases
from client_sdk.rounds import attest, gather_from, judge
from tests.fakes.simulated_server import serving, show_other_key
from tests.fakes.simulated_vm import SimulatedVm, ec_key, tls_certificate

HEALTH = "/healthz"


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def fleet(server, pins, clock, **options) -> Fleet:
    def verified(peer):
        trusted, now = pins.options, datetime.now(UTC)
        opened = open_releases(trusted["releases"], trusted["publisher"], now=now)
        return judge(gather_from(peer), releases=opened, policy=trusted["policy"], now=now)

    return Fleet(Origin.parse(server.origin), verified, clock=clock, **{"max_age": 60.0, **options})


def handshake(context: ssl.SSLContext, server) -> None:
    with socket.create_connection(server.server_address, timeout=10) as raw:
        context.wrap_socket(raw, server_hostname="127.0.0.1").close()


def in_memory(context: ssl.SSLContext, server) -> None:
    """Do the handshake as asynchronous libraries do, over an ``SSLObject``."""

    async def connect():
        host, port = server.server_address
        try:
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="")
            writer.close()
            await writer.wait_closed()
        finally:
            await asyncio.sleep(0.05)  # asyncio closes a refused socket in a later turn of its loop

    asyncio.run(connect())


@pytest.mark.parametrize("connect", [handshake, in_memory])
def test_the_context_trusts_the_attested_certificate_alone(server, impostor, connect):
    context = pinned_context(server.vm.tls_certificate, deadline=time.monotonic() + 60)
    connect(context, server)
    with pytest.raises(StaleVerdictError, match=r"\[C3\]"):
        connect(context, impostor)


@pytest.mark.parametrize("connect", [handshake, in_memory])
def test_another_certificate_over_the_same_key_is_another_certificate(server, connect):
    context = pinned_context(server.vm.tls_certificate, deadline=time.monotonic() + 60)
    show_other_key(server, server.tls_key, tls_certificate(server.tls_key))
    with pytest.raises(StaleVerdictError, match=r"\[C3\]"):
        connect(context, server)


@pytest.mark.parametrize("connect", [handshake, in_memory])
def test_the_context_ends_with_the_verdict(server, connect, clock):
    context = pinned_context(server.vm.tls_certificate, deadline=1010.0, clock=clock)
    connect(context, server)
    clock.now = 1010.0
    with pytest.raises(StaleVerdictError, match=r"\[C7\]"):
        connect(context, server)


def test_the_context_speaks_nothing_below_tls_1_3(server):
    context = pinned_context(server.vm.tls_certificate, deadline=time.monotonic() + 60)
    server.minimum = server.maximum = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(context, server)
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_stock_library_runs_on_the_bare_context(server, pins):
    context = attested_context(attest(server.origin, **pins.options))
    with _open(server, context) as answer:
        assert answer.status == 200
    short = attested_context(attest(server.origin, **pins.options), max_age=5)
    short.clock = lambda: boot_clock() + 5
    with pytest.raises(urllib.error.URLError, match=r"\[C7\]"):
        _open(server, short)


@pytest.mark.parametrize("later", [3600, 10**6, -60])
def test_a_context_ages_from_the_verification_and_not_from_its_making(server, pins, later):
    """Else one verdict could be made into contexts for ever; one of the future has a clock that cannot be believed."""
    accepted = attest(server.origin, **pins.options)
    with pytest.raises(PolicyError, match="C7: the verdict is not older than its limit"):
        attested_context(accepted, now=accepted.evidence.verified_at + timedelta(seconds=later))
    half = attested_context(accepted, now=accepted.evidence.verified_at + timedelta(seconds=1800))
    assert half.deadline - boot_clock() == pytest.approx(1800, abs=5)


def test_a_context_for_evidence_that_no_connection_showed(server, pins):
    """Stored evidence may be anybody's: that somebody holds its key now was never seen."""
    accepted = attest(server.origin, **pins.options)
    stored = replace(accepted, evidence=accepted.evidence.without(("C3", "stored")))
    with pytest.raises(PolicyError, match="C3: the evidence is one that a connection brought"):
        attested_context(stored)


@pytest.mark.parametrize("max_age", [0, -1, float("inf"), float("nan")])
def test_an_age_limit_that_limits_nothing(server, pins, clock, max_age):
    with pytest.raises(PolicyError, match="C7"):
        fleet(server, pins, clock, max_age=max_age)
    with pytest.raises(PolicyError, match="C7"):
        attested_context(attest(server.origin, **pins.options), max_age=max_age)


def test_a_verdict_ages_while_the_machine_sleeps():
    assert boot_clock() == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=5)


def test_no_request_waits_in_a_pool_until_the_verdict_has_run_out(server, pins, clock):
    held = AttestedHttpClient(fleet(server, pins, clock))
    server.drip = 0.2
    with held as client, ThreadPoolExecutor(120) as pool:
        list(pool.map(lambda _: client.get(server.origin + HEALTH, timeout=httpx2.Timeout(30, pool=0.001)), range(120)))


def test_an_error_after_the_request_may_have_left_is_not_tried_again(server, pins, clock):
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        sent = []

        def broken(request):
            sent.append(request)
            raise httpx2.ReadError("the connection broke after the request was sent")

        client._transport._stock.handle_request = broken
        with pytest.raises(httpx2.ReadError):
            client.get(server.origin + HEALTH)
        assert len(sent) == 1


def test_a_library_that_ignores_the_backend_connects_to_nobody(server, pins, clock):
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        client._transport._stock._pool._network_backend = httpcore2.SyncBackend()
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            client.get(server.origin + HEALTH)
    assert [path for _, path, _ in server.requests if path == HEALTH] == []


def _open(server, context):
    return urllib.request.urlopen(server.origin + HEALTH, context=context, timeout=10)  # noqa: S310 - https it is


def test_one_verdict_serves_many_requests(server, pins, clock):
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        for _ in range(3):
            assert client.get(server.origin + HEALTH).status_code == 200
    assert server.rounds() == 1
    assert server.connections == 2, "one to attest, one that is kept"


def test_past_its_age_a_verdict_is_made_again_once(server, pins, clock):
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        client.get(server.origin + HEALTH)
        clock.now += 60.0
        client.get(server.origin + HEALTH)
        client.get(server.origin + HEALTH)
    assert server.rounds() == 2
    assert server.connections == 3, "the connection under the old verdict takes no new request"


def restarted(server) -> None:
    """Boot the VM again: the same image, other keys."""
    server.vm = SimulatedVm("restarted")
    show_other_key(server, server.vm.tls, server.vm.tls_certificate)


def test_after_a_restart_the_peer_is_verified_again_and_the_request_sent_once(server, pins, clock):
    current = fleet(server, pins, clock)
    with AttestedHttpClient(current) as client:
        before = current.latest.accepted.evidence.spki
        restarted(server)
        assert client.post(server.origin + "/v1/chat/completions", json={"stream": False}).status_code == 200
        assert current.latest.accepted.evidence.spki != before
    assert server.rounds() == 2
    assert len(server.prompts) == 1


def test_an_impostor_on_the_port_gets_no_prompt(server, pins, clock):
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        show_other_key(server, ec_key("impostor"), tls_certificate(ec_key("impostor")))
        with pytest.raises(VerificationError, match=r"\[C3\.1\]"):
            client.post(server.origin + "/v1/chat/completions", content=b"secret")
    assert server.rounds() == 2, "verified again exactly once"
    assert server.connections == 1 + CONNECTIONS
    assert server.prompts == []


def test_a_vm_with_another_image_after_the_restart_gets_no_prompt(server, pins, clock):
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        restarted(server)
        server.vm.phases = ("sysinit",)
        with pytest.raises(Exception, match="phases"):
            client.post(server.origin + "/v1/chat/completions", content=b"secret")
    assert server.prompts == []


def test_an_error_of_the_service_leads_to_no_second_verification(server, pins, clock):
    server.answer_with[HEALTH] = (503, {}, b"{}")
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        assert client.get(server.origin + HEALTH).status_code == 503
    assert server.rounds() == 1


def test_a_request_whose_answer_broke_off_is_not_sent_again(server, pins, clock):
    server.answer_with["/v1/chat/completions"] = (200, {"Transfer-Encoding": "chunked"}, b"zz\r\n")
    with AttestedHttpClient(fleet(server, pins, clock)) as client, pytest.raises(httpx2.TransportError):
        client.post(server.origin + "/v1/chat/completions", content=b"secret")
    assert (server.rounds(), len(server.prompts)) == (1, 1)


def test_a_service_that_went_away_is_an_error_and_no_verification(pins, clock):
    with serving(SimulatedVm()) as server:
        client = AttestedHttpClient(fleet(server, pins, clock))
        origin = server.origin
    with client, pytest.raises(httpx2.ConnectError):
        client.get(origin + HEALTH)


def test_a_failed_verification_is_tried_again_with_the_next_request(server, pins, clock):
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        clock.now += 60.0
        server.answer_with["/.well-known/attestation"] = (503, {"Retry-After": "1"}, b"{}")
        with pytest.raises(FetchError):
            client.get(server.origin + HEALTH)
        server.answer_with.clear()
        assert client.get(server.origin + HEALTH).status_code == 200


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "https://127.0.0.1:1/", "https://localhost:{port}/"])
def test_requests_to_another_origin_are_refused_before_they_are_sent(server, pins, clock, url):
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        count = server.connections
        with pytest.raises(VerificationError, match=r"\[C3\].*for the verified origin"):
            client.post(url.format(port=server.server_address[1]), content=b"secret")
        assert server.connections == count


def test_a_redirect_of_the_service_is_handed_to_the_caller(server, impostor, pins, clock):
    server.answer_with["/v1/models"] = (307, {"Location": impostor.origin + "/v1/models"}, b"")
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        assert client.get(server.origin + "/v1/models").status_code == 307
        with pytest.raises(VerificationError, match=r"\[C3\]"):
            client.get(server.origin + "/v1/models", follow_redirects=True)
    assert impostor.connections == 0


def test_the_environment_changes_nothing(server, impostor, pins, clock, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, impostor.origin)
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        assert client.get(server.origin + HEALTH).status_code == 200
    assert impostor.connections == 0


def test_an_answer_that_is_being_read_survives_a_new_verdict(server, pins, clock):
    with AttestedHttpClient(fleet(server, pins, clock)) as client:
        url = server.origin + "/v1/chat/completions"
        with client.stream("POST", url, json={"stream": True}) as answer:
            lines = answer.iter_lines()
            first = next(lines)
            clock.now += 60.0
            assert client.get(server.origin + HEALTH).status_code == 200
            assert "Paris" in first + "".join(lines)
        pool = client._transport._stock._pool
        assert len(pool.connections) == 1, "and then its connections are closed"


def test_many_threads_verify_once(server, pins, clock):
    client = AttestedHttpClient(fleet(server, pins, clock))
    client.get(server.origin + HEALTH)
    clock.now += 60.0
    statuses = []

    def ask():
        statuses.append(client.get(server.origin + HEALTH).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    client.close()
    assert statuses == [200] * 8
    assert server.rounds() == 2


def run_async(function):
    return anyio.run(function)


def test_async_one_verdict_serves_many_requests_and_is_made_again_past_its_age(server, pins, clock):
    current = fleet(server, pins, clock)

    async def talk():
        async with AsyncAttestedHttpClient(current) as client:
            for _ in range(2):
                assert (await client.get(server.origin + HEALTH)).status_code == 200
            assert server.rounds() == 1
            clock.now += 60.0
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(client.get, server.origin + HEALTH)

    run_async(talk)
    assert server.rounds() == 2


def test_async_after_a_restart_the_request_is_sent_once(server, pins, clock):
    current = fleet(server, pins, clock)
    restarted(server)

    async def talk():
        async with AsyncAttestedHttpClient(current) as client:
            return await client.post(server.origin + "/v1/chat/completions", json={"stream": False})

    assert run_async(talk).status_code == 200
    assert (server.rounds(), len(server.prompts)) == (2, 1)


def test_async_an_impostor_gets_no_prompt(server, pins, clock):
    current = fleet(server, pins, clock)
    show_other_key(server, ec_key("impostor"), tls_certificate(ec_key("impostor")))

    async def talk():
        async with AsyncAttestedHttpClient(current) as client:
            await client.post(server.origin + "/v1/chat/completions", content=b"secret")

    with pytest.raises(VerificationError, match=r"\[C3\.1\]"):
        run_async(talk)
    assert server.prompts == []


def test_async_other_origins_are_refused(server, pins, clock):
    current = fleet(server, pins, clock)

    async def talk():
        async with AsyncAttestedHttpClient(current) as client:
            await client.get("http://127.0.0.1:1/")

    with pytest.raises(VerificationError, match=r"\[C3\]"):
        run_async(talk)


def test_async_an_answer_that_is_being_read_survives_a_new_verdict(server, pins, clock):
    current = fleet(server, pins, clock)

    async def talk():
        async with AsyncAttestedHttpClient(current) as client:
            url = server.origin + "/v1/chat/completions"
            async with client.stream("POST", url, json={"stream": True}) as answer:
                lines = answer.aiter_lines()
                text = await anext(lines)
                clock.now += 60.0
                await client.get(server.origin + HEALTH)
                async for line in lines:
                    text += line
            return text, len(client._transport._stock._pool.connections)

    text, connections = run_async(talk)
    assert "Paris" in text
    assert connections == 1
