"""Attestation through the gateway: the real attester behind it, and attesters that misbehave."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from tpm2_pytss.types import TPMS_ATTEST

from client_sdk.binding import extra_data, merkle_root
from client_sdk.evidence import Evidence
from serving.attest.service import Attester, Rate
from tests.serving.attest.served import served
from tests.serving.gateway.running import LIMITS, gateway
from tests.serving.gateway.test_connections import connected

pytestmark = pytest.mark.asyncio
NONCE = "ab" * 32
PATH = "/.well-known/attestation"


@pytest.fixture
def attester(tpm, sealed, tmp_path):
    """The real attester on its socket."""
    (tmp_path / "g").mkdir()
    real = Attester(tpm, sealed, rate=Rate(burst=4, per_second=0.01), clock=time.monotonic)
    with served(tmp_path / "g/attester.sock", real):
        yield tmp_path / "g"


async def test_evidence_is_the_attesters_own_json(attester, sealed):
    async with gateway(attester) as running:
        answer = await running.ask("GET", f"{PATH}?nonce={NONCE}")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        found = Evidence.from_json(answer.body)
        assert found.to_json() == answer.body
        assert found.tls_certificate == sealed.evidence.tls_certificate


async def test_evidence_answers_while_the_engine_is_loading(attester):
    async with gateway(attester, ready=False) as running:
        assert (await running.ask("GET", f"{PATH}?nonce={NONCE}")).status == 200
        assert (await running.chat()).status == 503


def signed(evidence):
    return bytes(TPMS_ATTEST.unmarshal(evidence.quote.attest)[0].extraData)


def answers_to(nonce, place, sealed):
    return extra_data(merkle_root(nonce, place), place.tree_size, sealed.spki, b"")


async def test_clients_at_once_each_get_evidence_for_their_nonce(attester, sealed):
    async with gateway(attester) as running:
        asked = [f"{number:064x}" for number in range(30)]
        answers = await asyncio.gather(*(running.ask("GET", f"{PATH}?nonce={nonce}") for nonce in asked))
        assert {answer.status for answer in answers} == {200}
        for nonce, answer in zip(asked, answers, strict=True):
            found = Evidence.from_json(answer.body)
            assert found.to_json() == answer.body
            assert signed(found) == answers_to(bytes.fromhex(nonce), found.quote.place, sealed)


OTHER_QUERIES = [
    "",
    "?nonce=",
    "?nonce=" + "ab" * 31,
    "?nonce=" + "ab" * 33,
    "?nonce=" + "AB" * 32,
    "?nonce=" + "zz" * 32,
    f"?nonce={NONCE}&nonce={NONCE}",
    f"?nonce={NONCE}&spki=00",
    f"?x=1&nonce={NONCE}",
    f"?NONCE={NONCE}",
    f"?nonce={NONCE}%0a",
    f'?nonce={NONCE}"}}',
]


async def test_any_other_query_is_400(attester):
    async with gateway(attester) as running:
        for query in OTHER_QUERIES:
            answer = await running.ask("GET", PATH + query)
            assert (answer.status, answer.error["code"]) == (400, "bad_request"), query


async def test_any_other_method_is_405_and_costs_no_quote(patient):
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        answer = await patient.ask(method, f"{PATH}?nonce={NONCE}")
        assert answer.status == 405, method  # there is no attester: a quote would have been 503


async def test_a_wrong_credential_is_400_and_too_many_are_429(attester):
    async with gateway(attester) as running:
        body = {"credential_blob": "AAAA", "encrypted_secret": "AAAA"}
        for _ in range(4):
            answer = await running.ask("POST", PATH + "/activate", json=body)
            assert (answer.status, answer.error["code"]) == (400, "activation_refused")
        answer = await running.ask("POST", PATH + "/activate", json=body)
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 0
        assert (await running.ask("GET", f"{PATH}?nonce={NONCE}")).status == 200


OTHER_ACTIVATIONS = [
    b"",
    b"{}",
    b"[]",
    b'{"credential_blob":"AAAA"}',
    b'{"credential_blob":"AAAA","encrypted_secret":5}',
    b'{"credential_blob":"AAAA","encrypted_secret":"AAAA","op":"evidence"}',
    b'{"credential_blob":"AAAA","encrypted_secret":"AAAA","credential_blob":"BBBB"}',
    b'{"credential_blob":"\\n{}","encrypted_secret":"AAAA"}',
    b"not json",
]


async def test_any_other_activation_is_400(attester):
    async with gateway(attester) as running:
        for body in OTHER_ACTIVATIONS:
            assert (await running.ask("POST", PATH + "/activate", data=body)).status == 400, body


async def test_bodies_of_activations_take_nothing_from_those_who_have_a_token(tmp_path):
    """Anybody may send them: counted with the others, sixteen that dribble would keep every request out."""
    async with gateway(tmp_path, limits=replace(LIMITS, bodies_bytes=64 * 1024)) as running:
        held = [await running.raw() for _ in range(40)]
        for _, writer in held[:20]:
            writer.write(
                b"POST %b/activate HTTP/1.1\r\nhost: x\r\ncontent-length: 4096\r\n\r\n" % PATH.encode() + b"x" * 4095
            )
        for _, writer in held[20:]:
            writer.write(b"POST %b/activate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % PATH.encode())
            writer.write(b"10000\r\n" + b"x" * 65535)
        for reader, _ in held[20:]:
            assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
        assert (await running.chat()).status == 200
        for _, writer in held:
            writer.transport.abort()


@asynccontextmanager
async def fake_attester(folder, frame, quote, *, pause=0.0):
    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        try:
            line = await reader.readuntil(b"\n")
            await asyncio.sleep(pause)
            writer.write(frame if line == b'{"op": "evidence"}\n' else quote)
        finally:
            writer.close()

    async with await asyncio.start_unix_server(serve, str(folder / "attester.sock")) as server:
        yield
        server.close()
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)


@pytest_asyncio.fixture
async def patient(tmp_path):
    async with gateway(tmp_path, limits=replace(LIMITS, attester_seconds=0.5, attestations=2)) as running:
        yield running


async def test_without_an_attester_it_is_503_and_says_when_to_retry(patient):
    answer = await patient.ask("GET", f"{PATH}?nonce={NONCE}")
    assert (answer.status, answer.error["code"]) == (503, "attester_unavailable")
    assert int(answer.headers["retry-after"]) > 0


EMPTY = b'{"attest":"","index":0,"path":[],"signature":"","tree_size":1}'
FRAME = b'{"evidence":{"platform":"x","quote":' + EMPTY + b',"version":1}}\n'
QUOTE = b'{"attest":"AAAA","signature":"AAAA"}\n'
BAD_FRAMES = [
    b"",
    b'{"evidence":',
    b'{"evidence":{}}\n',
    b'{"evidence":{"quote":' + EMPTY + b',"quote":' + EMPTY + b"}}\n",
    QUOTE,
    b"nonsense\n",
    b"x" * 7_000_000,
]
BAD_QUOTES = [
    (b"", 503),
    (b'{"other":1}\n', 503),
    (b'{"attest":"AAAA"}\n', 503),
    (b'{"attest":"AAAA","signature":"\\u0041"}\n', 503),
    (b'{"attest":"AAAA","index":"","signature":"AAAA"}\n', 503),
    (b'{"error":5}\n', 503),
    (b'{"error":{"code":"odd","message":"m"}}\n', 503),
    (b'{"error":{"code":"bad_request","message":"m"}}\n', 400),
    (b'{"error":{"code":"busy","message":"m"}}\n', 429),
    (b'{"error":{"code":"unavailable","message":"m"}}\n', 503),
    (b"nonsense\n", 503),
    (b"x" * 7_000_000, 503),
]


async def test_an_attester_that_misbehaves_is_a_typed_error_and_nothing_of_it_stays(patient, tmp_path):
    for frame, quote, status in [(line, QUOTE, 503) for line in BAD_FRAMES] + [(FRAME, *bad) for bad in BAD_QUOTES]:
        async with fake_attester(tmp_path, frame, quote):
            answer = await patient.ask("GET", f"{PATH}?nonce={NONCE}")
            assert (answer.status, bool(answer.error["code"])) == (status, True), (frame[:50], quote[:50])
        (tmp_path / "attester.sock").unlink(missing_ok=True)
    async with fake_attester(tmp_path, FRAME, QUOTE):
        answer = await patient.ask("GET", f"{PATH}?nonce={NONCE}")
        assert (answer.status, answer.json["quote"]["attest"], answer.json["version"]) == (200, "AAAA", 1)


async def test_a_silent_attester_is_given_up_in_time_and_too_many_who_wait_are_sent_away(patient, tmp_path):
    async with fake_attester(tmp_path, b"", b"", pause=5):
        began = time.monotonic()
        asked = [asyncio.create_task(patient.ask("GET", f"{PATH}?nonce={NONCE}")) for _ in range(6)]
        answers = [await task for task in asked]
        assert time.monotonic() - began < 4  # the limit is 0.5
        assert {answer.status for answer in answers} == {503}
        assert {answer.error["code"] for answer in answers} == {"attester_unavailable", "attestation_overloaded"}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        assert (await patient.ask("GET", "/healthz")).json["status"] == "ok"


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def test_clients_that_read_nothing_do_not_fill_the_memory(tmp_path):
    large = FRAME.replace(b'"platform":"x"', b'"platform":"' + b"x" * 4_000_000 + b'"')
    async with gateway(tmp_path) as running, fake_attester(tmp_path, large, QUOTE):
        assert (await running.ask("GET", f"{PATH}?nonce={NONCE}")).status == 200
        before, greedy = resident(), []
        for _ in range(40):
            connecting = asyncio.open_connection(
                "127.0.0.1", running.port, ssl=running.context, server_hostname="", limit=1024
            )
            reader, writer = await connecting
            greedy.append(writer)
            writer.write(f"GET {PATH}?nonce={NONCE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.5)
        grown = resident() - before
        for writer in greedy:
            writer.transport.abort()
        await asyncio.sleep(0.5)
        assert grown < 80_000_000, grown  # both ends of the connections are in here; the answers are 160 MB


async def test_a_client_that_does_not_take_its_evidence_is_left_in_time(tmp_path):
    large = FRAME.replace(b'"platform":"x"', b'"platform":"' + b"x" * 5_900_000 + b'"')
    limits = replace(LIMITS, client_stall_seconds=0.3, farewell_seconds=0.3)
    async with gateway(tmp_path, limits=limits) as running, fake_attester(tmp_path, large, QUOTE):
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # most of it stays with the sender
            slow.connect(("127.0.0.1", running.port))
            _, writer = await asyncio.open_connection(sock=slow, ssl=running.context, server_hostname="", limit=1024)
            writer.write(f"GET {PATH}?nonce={NONCE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            async with asyncio.timeout(10):
                while connected(running):
                    await asyncio.sleep(0.05)
            writer.transport.abort()
        assert (await running.ask("GET", f"{PATH}?nonce={NONCE}")).status == 200


async def test_evidence_may_be_neither_cached_nor_stored(attester):
    async with gateway(attester) as running:
        answer = await running.ask("GET", f"{PATH}?nonce={NONCE}")
        assert answer.headers["cache-control"] == "no-store"
        assert json.loads(answer.body)["version"] == 1
