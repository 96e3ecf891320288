"""Many clients and one slow TPM: quotes are shared, nobody waits for the second next, and silence is waited for."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from client_sdk.evidence import Evidence
from serving.attest.service import Attester, Rate
from serving.attest.tpm import Tpm
from serving.gateway.limits import Limits
from serving.gateway.nonce_queue import NonceQueue
from tests.serving.attest.served import served
from tests.serving.gateway.running import LIMITS, gateway

pytestmark = pytest.mark.asyncio
PATH = "/.well-known/attestation"
PATIENT = replace(LIMITS, quote_pause_seconds=0.0)
# Where many come at once, on a machine that has other work too.
UNHURRIED = {"attester_seconds": 120.0, "handshake_seconds": 120.0, "header_seconds": 120.0}


@pytest.fixture
def tpm(wire):
    opened = Tpm(wire.tcti)
    yield opened
    opened.close()


@pytest.fixture
def folder(tpm, sealed, wire, tmp_path):
    """Where the gateway finds the real attester, whose TPM is on a wire."""
    (tmp_path / "g").mkdir()
    attester = Attester(tpm, sealed, rate=Rate(), clock=time.monotonic)
    attester.quote((bytes(32),))  # the first one of a TPM takes its time
    with served(tmp_path / "g/attester.sock", attester):
        yield tmp_path / "g"
        wire.answering.set()  # else it would wait for the TPM


@pytest.fixture
def joined(monkeypatch):
    """Who has joined the queue, one after the other."""
    seen, add = [], NonceQueue.add

    def noting(queue, waiter):
        add(queue, waiter)
        seen.append(waiter)

    monkeypatch.setattr(NonceQueue, "add", noting)
    return seen


def asked(running, count, first=0):
    return [asyncio.create_task(running.ask("GET", f"{PATH}?nonce={first + n:064x}")) for n in range(count)]


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def sizes(answers):
    return sorted(Evidence.from_json(answer.body).quote.place.tree_size for answer in answers)


@asynccontextmanager
async def from_address(running, address, connections):
    """Connect from an address of this host's own, with connections that live on."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0), limit=connections, ssl=running.context)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(number):
            async with session.get(f"{running.url}{PATH}?nonce={number:064x}") as answer:
                return answer.status, await answer.read()

        yield ask


@asynccontextmanager
async def two_callers(folder, limits):
    """Run a gateway that two hosts ask: one has many connections, the other has one."""
    async with (
        gateway(folder, limits=limits) as running,
        from_address(running, "127.0.0.2", 40) as flood,
        from_address(running, "127.0.0.3", 1) as other,
    ):
        yield flood, other


async def test_those_who_come_during_a_quote_share_the_next(folder, wire, joined):
    async with gateway(folder, limits=replace(PATIENT, **UNHURRIED)) as running:
        before = wire.quotes
        wire.answering.clear()
        first = asked(running, 1)
        await until(lambda: wire.quotes == before + 1)
        others = asked(running, 40, first=1)
        await until(lambda: len(joined) == 41)
        wire.answering.set()
        assert sizes(await asyncio.gather(*first)) == [1]
        assert sizes(await asyncio.gather(*others)) == [40] * 40
        assert wire.quotes == before + 2


async def test_quotes_begin_at_the_pace_that_is_set_and_the_first_at_once(folder, wire):
    async with gateway(folder, limits=replace(LIMITS, quote_pause_seconds=2.0)) as running:
        before = wire.quotes
        assert sizes(await asyncio.gather(*asked(running, 1))) == [1]
        assert wire.quotes == before + 1
        began = time.monotonic()
        later = [task for first in (1, 11, 21) for task in asked(running, 10, first=first)]
        answers = await asyncio.gather(*later)
        assert {answer.status for answer in answers} == {200}
        quotes = wire.quotes - before - 1
        assert quotes <= 4  # one, where all of them came within the pause
        assert time.monotonic() - began > 2.0 * (quotes - 1) + 0.5


async def test_a_caller_with_many_connections_does_not_keep_another_waiting(folder, wire):
    wire.seconds = 0.02
    async with two_callers(folder, PATIENT) as (flood, other):
        stop = False

        async def flooding(number):
            answered = 0
            while not stop:
                status, _ = await flood(number)
                answered += status == 200
            return answered

        tasks = [asyncio.create_task(flooding(number)) for number in range(40)]
        await asyncio.sleep(1)
        for number in range(5):
            before = wire.quotes
            status, _ = await other(number)
            # The quote that is under way, the next one, and another that began while the answer was on its way.
            assert (status, wire.quotes - before <= 4) == (200, True)
        stop = True
        assert min(await asyncio.gather(*tasks)) > 0  # and the flood is answered too


async def test_a_full_queue_sends_the_flood_away_and_lets_another_in(folder, wire):
    async with two_callers(folder, replace(PATIENT, attestations=8)) as (flood, other):
        wire.answering.clear()
        before = wire.quotes
        tasks = [asyncio.create_task(flood(number)) for number in range(1)]
        await until(lambda: wire.quotes == before + 1)
        tasks += [asyncio.create_task(flood(number)) for number in range(1, 20)]
        await until(lambda: sum(task.done() for task in tasks) == 11)
        late = asyncio.create_task(other(99))
        await until(lambda: sum(task.done() for task in tasks) == 12)
        wire.answering.set()
        assert (await late)[0] == 200
        statuses = [status for status, _ in await asyncio.gather(*tasks)]
        assert (statuses.count(200), statuses.count(503)) == (8, 12)


async def test_a_connection_waits_with_one_nonce_at_a_time(folder, wire):
    async with gateway(folder, limits=PATIENT) as running:
        wire.answering.clear()
        before = wire.quotes
        reader, writer = await running.raw()
        writer.write(b"".join(b"GET %b?nonce=%064x HTTP/1.1\r\nHost: x\r\n\r\n" % (PATH.encode(), n) for n in range(5)))
        assert not await asyncio.wait_for(reader.read(), 10)
        wire.answering.set()
        writer.close()
        assert {answer.status for answer in await asyncio.gather(*asked(running, 1))} == {200}
        assert wire.quotes <= before + 2


async def test_with_the_limits_that_are_shipped_a_flood_of_nonces_gets_the_clear_refusal(folder, wire):
    """A connection waits with one nonce: were there room for as many as for connections, nobody would be told why."""
    limits = replace(Limits(), **UNHURRIED)
    assert limits.attestations <= limits.connections // 2
    async with gateway(folder, limits=replace(limits, probe_pause_seconds=0.02)) as running:
        wire.answering.clear()
        connector = aiohttp.TCPConnector(limit=0, ssl=running.context)
        timeout = aiohttp.ClientTimeout(total=120)  # else a handshake has half a minute
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

            async def ask(number):
                async with session.get(f"{running.url}{PATH}?nonce={number:064x}") as answer:
                    return answer.status, answer.headers.get("retry-after"), await answer.read()

            before = wire.quotes
            tasks = [asyncio.create_task(ask(0))]
            await until(lambda: wire.quotes == before + 1)
            tasks += [asyncio.create_task(ask(number)) for number in range(1, limits.attestations + 20)]
            async with asyncio.timeout(100):
                done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            status, wait, body = done.pop().result()
            assert (status, int(wait) > 0, b"attestation_overloaded" in body) == (503, True, True)
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            wire.answering.set()


async def test_a_flood_of_activations_leaves_turns_and_the_bound_of_all_to_others(folder):
    """What the attester allows is for all together: a flood that used it up would have everybody else refused."""
    body = {"credential_blob": "AAAA", "encrypted_secret": "AAAA"}

    async def activate(session, running):
        async with session.post(f"{running.url}{PATH}/activate", json=body) as answer:
            return (await answer.json())["error"]["code"]

    async with gateway(folder, limits=LIMITS) as running:
        stop = False

        async def flooding(session):
            while not stop:
                await activate(session, running)

        places = [aiohttp.TCPConnector(local_addr=(f"127.0.0.{n}", 0), limit=0, ssl=running.context) for n in (2, 3)]
        async with (
            aiohttp.ClientSession(connector=places[0]) as flood,
            aiohttp.ClientSession(connector=places[1]) as one,
        ):
            tasks = [asyncio.create_task(flooding(flood)) for _ in range(60)]
            await asyncio.sleep(1.5)
            assert {await activate(one, running) for _ in range(8)} == {"activation_refused"}  # by the TPM, each
            stop = True
            await asyncio.wait(tasks)


@pytest_asyncio.fixture
async def impatient(folder):
    async with gateway(folder, limits=replace(PATIENT, attester_seconds=1.5)) as running:
        yield running


async def test_a_tpm_that_stops_answering_is_503_in_time_and_recovers_when_it_comes_back(impatient, wire):
    assert sizes(await asyncio.gather(*asked(impatient, 1))) == [1]
    wire.answering.clear()
    for _ in range(2):
        began = time.monotonic()
        answers = await asyncio.gather(*asked(impatient, 10))
        assert time.monotonic() - began < 8  # the limit is 1.5
        assert {(answer.status, answer.error["code"]) for answer in answers} == {(503, "attester_unavailable")}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        assert (await impatient.chat()).status == 200
    wire.answering.set()
    await asyncio.sleep(1)
    answers = await asyncio.gather(*asked(impatient, 10))
    assert {answer.status for answer in answers} == {200}


async def test_an_activation_waits_for_a_silent_tpm_no_longer_than_evidence_does(impatient, wire):
    wire.answering.clear()
    before = wire.quotes
    waiting = asked(impatient, 1)
    await until(lambda: wire.quotes > before)
    body = {"credential_blob": "AAAA", "encrypted_secret": "AAAA"}
    answers = await asyncio.gather(*(impatient.ask("POST", f"{PATH}/activate", json=body) for _ in range(5)))
    assert {(answer.status, answer.error["code"]) for answer in answers} == {(503, "attester_unavailable")}
    await asyncio.gather(*waiting)
    wire.answering.set()
    assert {answer.status for answer in await asyncio.gather(*asked(impatient, 1))} == {200}


async def test_a_client_that_left_costs_nobody_else_anything(folder, wire):
    async with gateway(folder, limits=PATIENT) as running:
        wire.answering.clear()
        before = wire.quotes
        first = asked(running, 1)
        await until(lambda: wire.quotes == before + 1)
        gone = asked(running, 10, first=1)
        await asyncio.sleep(0.5)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        wire.answering.set()
        assert sizes(await asyncio.gather(*first)) == [1]
        assert {answer.status for answer in await asyncio.gather(*asked(running, 5, first=20))} == {200}
