"""The door of the running gateway: who passes, before what, and what is counted meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import aiohttp
import pytest

from serving.access.clock import Clock
from serving.access.settings import create_access
from serving.gateway.app import Parts, create_app
from serving.gateway.metrics import Metrics
from serving.gateway.relay import Way
from serving.gateway.rules import Rules
from serving.gateway.salt import Salts
from serving.gateway.shaping import Shape
from tests.serving.access.issuing import KEY, OTHER, by_tokens, claims, token
from tests.serving.gateway.fake_engine import TOKENS
from tests.serving.gateway.running import LIMITS, MODEL, gateway
from tests.serving.gateway.test_answers import events

pytestmark = pytest.mark.asyncio
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Where is Paris?"}]}
TOO_EARLY = token(issued_at=4_000_000_000, expires_at=4_000_000_001)
OTHERS = ("/healthz", "/metrics", "/.well-known/attestation", "/.well-known/attestation/activate")


def fresh(key=KEY, **changes):
    """A token of this very minute: the gateway looks at a real clock."""
    now = int(time.time())
    return token(key, **{"issued_at": now, "expires_at": now + 600, **changes})


def guarded(folder, **options):
    settings = {name: options.pop(name) for name in ("built", "after", "keys") if name in options}
    return gateway(folder, access=by_tokens(folder, **({"built": 1_600_000_000} | settings)), **options)


def with_token(text):
    return {"headers": {"authorization": f"Bearer {text}"}}


async def chat(running, text, **fields):
    return await running.ask("POST", "/v1/chat/completions", json={**CHAT, **fields}, **with_token(text))


async def test_the_control_is_answered_with_its_token(tmp_path):
    async with guarded(tmp_path) as running:
        assert (await chat(running, fresh())).status == 200
        assert (await running.ask("GET", "/v1/models", **with_token(fresh()))).json["data"][0]["id"] == MODEL


def routes(folder):
    access = create_access(by_tokens(folder), models=frozenset({MODEL}), callers=10)
    parts = Parts({}, Way(LIMITS, None, Metrics()), None, access, Rules({}, {}, LIMITS), Salts(), metrics=True)
    return create_app(parts).routes


async def test_every_route_that_answers_needs_a_token_and_no_other_does(tmp_path):
    """Of the application itself, so that a route which is added and has no door fails here."""
    found = {(route.endpoint.method, route.path) for route in routes(tmp_path)}
    assert {path for _, path in found if not path.startswith("/v1/")} == set(OTHERS)
    assert len([path for _, path in found if path.startswith("/v1/")]) >= 8
    async with guarded(tmp_path, metrics=True) as running:
        for method, path in found:
            answer = await running.ask(method, path.replace("{name}", MODEL), data=b"{}" if method == "POST" else None)
            assert (answer.status == 401) is path.startswith("/v1/"), path


@pytest.mark.parametrize(
    ("given", "code", "challenge"),
    [
        ({}, "missing_api_key", "Bearer"),
        (with_token("none"), "invalid_api_key", 'Bearer error="invalid_token"'),
        (with_token(fresh(key=OTHER)), "invalid_api_key", 'Bearer error="invalid_token"'),
        (with_token(TOO_EARLY), "token_not_yet_valid", 'Bearer error="invalid_token"'),
        (with_token(fresh(issued_at=9, expires_at=99)), "token_expired", 'Bearer error="invalid_token"'),
    ],
)  # fmt: skip
async def test_a_refusal_is_openais_and_says_how_to_come_in(tmp_path, given, code, challenge):
    async with guarded(tmp_path) as running:
        answer = await running.ask("POST", "/v1/chat/completions", json=CHAT, **given)
        assert (answer.status, answer.error["code"], answer.error["type"]) == (401, code, "invalid_request_error")
        assert answer.headers["www-authenticate"] == challenge
        assert running.engine.seen.requests[1:] == [], "nothing but the probe reached the engine"


async def test_two_tokens_in_one_request_are_refused(tmp_path):
    async with guarded(tmp_path) as running:
        reader, writer = await running.raw()
        line = f"authorization: Bearer {fresh()}\r\n".encode()
        writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + line + line + b"\r\n")
        assert b" 401 " in await reader.readline()
        writer.close()


async def test_whoever_is_refused_is_refused_before_the_body(tmp_path):
    async with guarded(tmp_path) as running:
        reader, writer = await running.raw()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{")
        async with asyncio.timeout(10):
            assert b" 401 " in await reader.readline()
        writer.close()


async def test_a_token_learns_of_no_model_but_its_own(tmp_path):
    """One that is here for others, and one that is not here at all, are the same to it."""
    async with guarded(tmp_path, models={MODEL: tmp_path / "engine.sock", "mine": tmp_path / "engine.sock"}) as running:
        text, found = fresh(models=("mine",)), []
        for name in (MODEL, "x" * len(MODEL)):
            found.append((await chat(running, text, model=name)).body)
            found.append((await running.ask("GET", f"/v1/models/{name}", **with_token(text))).body)
            for path, more in (("/v1/embeddings", {"input": "x"}), ("/v1/tokenize", {"prompt": "x"})):
                found.append((await running.ask("POST", path, json={"model": name, **more}, **with_token(text))).body)
        assert len(set(found)) == 1
        assert MODEL.encode() not in found[0]
        assert json.loads(found[0])["error"]["code"] == "model_not_found"
        listed = (await running.ask("GET", "/v1/models", **with_token(text))).json["data"]
        assert [model["id"] for model in listed] == ["mine"]
        assert (await chat(running, text, model="mine")).status == 200


async def test_one_token_leaves_slots_to_others_however_slowly_it_reads(tmp_path):
    async with guarded(tmp_path, limits=replace(LIMITS, requests=8)) as running:
        running.engine.fault.kind = "silence"
        greedy = fresh(rate=1000, tokens=10**6)
        taken = [asyncio.create_task(chat(running, greedy)) for _ in range(20)]
        while sum(task.done() for task in taken) < 15:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        refused = [task.result() for task in taken if task.done()]
        assert {(answer.status, answer.error["code"]) for answer in refused} == {(429, "rate_limit_exceeded")}
        assert len(refused) == 15
        running.engine.fault.kind = "answer"
        other = fresh(subject="t" * 22, token_id="t" * 22)
        assert (await chat(running, other)).status == 200
        renewed = fresh(token_id="u" * 22)
        assert (await chat(running, renewed)).status == 429, "a subject is one caller, whichever token it has"
        for task in taken:
            task.cancel()
        await asyncio.wait(taken)


async def test_one_token_leaves_room_for_the_bodies_of_others(tmp_path):
    async with guarded(tmp_path, limits=replace(LIMITS, bodies_bytes=1_000_000)) as running:
        text, held = fresh(rate=1000), []
        for _ in range(10):
            reader, writer = await running.raw()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n" % text.encode()
            writer.write(head + b"content-length: 200000\r\n\r\n" + b"x" * 199_999)
            held.append((reader, writer))
        await asyncio.sleep(0.5)
        assert (await chat(running, fresh(subject="t" * 22, token_id="t" * 22))).status == 200
        for _, writer in held:
            writer.transport.abort()


async def test_a_clock_before_the_image_was_made_is_said(tmp_path):
    async with guarded(tmp_path, built=4_000_000_000) as running:
        answer = await chat(running, fresh())
        assert (answer.status, answer.error["code"]) == (503, "clock_wrong")


async def test_a_clock_that_is_set_back_makes_no_expired_token_valid_again(tmp_path, monkeypatch):
    hands = {"wall": time.time(), "steady": 0.0}
    clock = Clock(lambda: hands["wall"], lambda: hands["steady"])
    monkeypatch.setattr("serving.gateway.app.Clock", lambda: clock)
    async with guarded(tmp_path) as running:
        short, long = fresh(expires_at=int(hands["wall"]) + 60), fresh(token_id="b" * 22)
        assert (await chat(running, short)).status == 200
        hands["wall"] += 100
        assert (await chat(running, short)).error["code"] == "token_expired"
        hands["wall"] -= 1000
        assert (await chat(running, short)).error["code"] == "token_expired"
        assert (await chat(running, long)).status == 200, "and nobody else loses by it"


async def test_a_release_takes_no_tokens_from_before_its_instant(tmp_path):
    async with guarded(tmp_path, after="2020-01-01T00:00:00Z", built=0) as running:
        assert (await chat(running, fresh())).status == 200
        old = fresh(issued_at=int(time.time()) - 86_400)
        assert (await chat(running, old)).status == 200
    other = tmp_path / "other"
    other.mkdir()
    instant = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    async with guarded(other, after=instant) as running:
        assert (await chat(running, old)).error["code"] == "token_revoked"
        assert (await chat(running, fresh())).status == 200


async def test_of_many_requests_at_once_as_many_pass_as_the_rate_allows(tmp_path):
    async with guarded(tmp_path) as running:
        tokens = [fresh(rate=5, token_id=letter * 22) for letter in "ab"]
        answers = await asyncio.gather(*[chat(running, tokens[i % 2]) for i in range(20)])
        assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 15
        refused = [answer for answer in answers if answer.status == 429]
        assert {answer.error["type"] for answer in refused} == {"rate_limit_error"}
        assert all(1 <= int(answer.headers["retry-after"]) <= 12 for answer in refused)
        assert (await chat(running, fresh(rate=5, subject="t" * 22))).status == 200


async def test_requests_at_once_cannot_spend_a_budget_twice(tmp_path):
    async with guarded(tmp_path) as running:
        running.engine.flowing.clear()
        text = fresh(rate=1000, tokens=100)  # each may use some 60, and uses 12
        asked = [asyncio.create_task(chat(running, text, max_tokens=20, stream=True)) for _ in range(10)]
        async with asyncio.timeout(60):
            while sum(task.done() for task in asked) < 9:
                await asyncio.sleep(0.01)
        running.engine.flowing.set()
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status for answer in answers) == [200] + [429] * 9
        assert {a.error["code"] for a in answers if a.status == 429} == {"rate_limit_exceeded"}
        passed = 1
        while (answer := await chat(running, text, max_tokens=20)).status == 200:
            passed += 1
        assert (answer.error["code"], answer.error["type"]) == ("insufficient_quota", "insufficient_quota")
        assert 500 < int(answer.headers["retry-after"]) <= 600
        assert 2 <= passed <= 5


@pytest.mark.parametrize("stream", [False, True])
async def test_the_engines_own_count_is_what_is_counted(tmp_path, stream):
    async with guarded(tmp_path) as running:
        running.engine.prompt_tokens = 500
        text = fresh(rate=1000, tokens=1000)
        statuses = [(await chat(running, text, max_tokens=5, stream=stream)).status for _ in range(3)]
        assert statuses == [200, 200, 429], "505 each; by their size they would have been fifty"


async def test_a_client_that_cuts_its_streams_off_uses_its_budget_up(tmp_path):
    async with guarded(tmp_path) as running:
        running.engine.fault.kind, running.engine.token_pause = "long_stream", 0.002
        text, statuses = fresh(rate=1000, tokens=400), []
        for _ in range(30):
            async with aiohttp.ClientSession() as session:
                body = {**CHAT, "stream": True, "max_tokens": 100}
                url = f"{running.url}/v1/chat/completions"
                async with session.post(url, json=body, ssl=running.context, **with_token(text)) as answer:
                    statuses.append(answer.status)
                    if answer.status == 200:
                        await answer.content.readuntil(b"Paris")
                        answer.close()
            async with asyncio.timeout(60):
                while running.engine.seen.streaming:
                    await asyncio.sleep(0.01)
            if statuses[-1] == 429:
                break
        assert statuses[0] == 200
        assert statuses[-1] == 429


@pytest.mark.parametrize("fault", ["refuse", "loading"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_engine_did_not_do_costs_nothing(tmp_path, fault, stream):
    async with guarded(tmp_path) as running:
        text = fresh(rate=1000, tokens=100)
        running.engine.fault.kind = fault
        for _ in range(10):
            assert (await chat(running, text, max_tokens=20, stream=stream)).status in {400, 503}
        running.engine.fault.kind = "answer"
        await running.until_ready()
        assert (await chat(running, text, max_tokens=20, stream=stream)).status == 200


@pytest.mark.parametrize("fault", ["broken", "endless_answer", "endless_event"])
@pytest.mark.parametrize("stream", [False, True])
async def test_work_that_a_caller_has_the_engine_do_in_vain_is_not_free(tmp_path, fault, stream):
    async with guarded(tmp_path) as running:
        text = fresh(rate=1000, tokens=150)
        running.engine.fault.kind = fault
        statuses = [(await chat(running, text, max_tokens=20, stream=stream)).status for _ in range(8)]
        assert statuses[0] == 502
        assert statuses[-1] == 429


async def test_busy_slots_hold_nothing_of_a_budget(tmp_path):
    async with guarded(tmp_path, limits=replace(LIMITS, requests=1)) as running:
        running.engine.flowing.clear()
        mine, theirs = fresh(rate=1000, tokens=100), fresh(subject="t" * 22, token_id="t" * 22)
        slow = asyncio.create_task(chat(running, theirs, stream=True))
        while not running.engine.seen.streaming:
            await asyncio.sleep(0.01)
        refused = [await chat(running, mine, max_tokens=20) for _ in range(10)]
        assert {(answer.status, answer.error["code"]) for answer in refused} == {(429, "rate_limit_exceeded")}
        running.engine.flowing.set()
        assert (await slow).status == 200
        assert (await chat(running, mine, max_tokens=20)).status == 200


@pytest.mark.parametrize("asks", [False, True])
async def test_a_streams_usage_is_shown_to_whoever_asked_for_it(tmp_path, asks):
    async with guarded(tmp_path) as running:
        options = {"stream_options": {"include_usage": True}} if asks else {}
        answer = await chat(running, fresh(), stream=True, **options)
        *parts, last = events(answer.body)
        assert last == "[DONE]"
        assert ["usage" in json.loads(part) for part in parts] == [False] * len(TOKENS) + [True] * asks
        assert running.engine.seen.requests[-1][1]["stream_options"] == {"include_usage": True}


async def test_the_engine_learns_nothing_of_the_token(tmp_path):
    async with guarded(tmp_path) as running:
        text = fresh()
        await chat(running, text)
        _, body, head = running.engine.seen.requests[-1]
        assert b"authorization" not in head.lower()
        assert text not in json.dumps(body)
        assert claims().subject not in json.dumps(body)


async def test_prompts_of_two_subjects_never_share_a_prefix_and_renewals_keep_it(tmp_path):
    async with guarded(tmp_path, kind="vllm") as running:
        mine, renewed = fresh(token_id="a" * 22), fresh(token_id="b" * 22)
        for text in (mine, renewed, fresh(subject="t" * 22, token_id="c" * 22)):
            assert (await chat(running, text)).status == 200
        first, second, other = (body["cache_salt"] for _, body, _ in running.engine.seen.requests[-3:])
        assert first == second
        assert other != first
        assert (await chat(running, mine, cache_salt=other)).error["code"] == "unknown_parameter"


async def test_where_access_is_open_no_two_requests_share_a_prefix(tmp_path):
    async with gateway(tmp_path, kind="vllm") as running:
        for _ in range(2):
            assert (await running.chat()).status == 200
        salts = [body["cache_salt"] for _, body, _ in running.engine.seen.requests[-2:]]
        assert len({*salts}) == 2


async def test_a_refusal_at_the_door_has_the_shape_of_every_other(tmp_path):
    async with guarded(tmp_path, shaping=True) as running:
        refused, answered = await chat(running, "none"), await chat(running, fresh())
        assert (refused.status, answered.status) == (401, 200)
        assert len(refused.body) == len(answered.body) == Shape().smallest


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_padded_is_counted_by_the_engines_own_count(tmp_path, stream):
    async with guarded(tmp_path, shaping=True) as running:
        running.engine.prompt_tokens = 500
        text = fresh(rate=1000, tokens=1000)
        answers = [await chat(running, text, max_tokens=5, stream=stream) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert not stream or b"usage" not in answers[0].body


async def test_two_issuers_are_taken_while_keys_are_changed(tmp_path):
    async with guarded(tmp_path, keys=(KEY, OTHER)) as running:
        assert [(await chat(running, fresh(key))).status for key in (KEY, OTHER)] == [200, 200]


async def test_open_access_asks_for_no_token_and_takes_whatever_is_sent(tmp_path):
    async with gateway(tmp_path) as running:
        assert (await running.chat()).status == 200
        assert (await chat(running, "none")).status == 200
