"""What one request is counted as, however it ends, and what a client sees of the usage."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from serving.errors import EngineError, RequestError
from serving.gateway.features import features_of
from serving.gateway.limits import Limits
from serving.gateway.metering import Meter
from serving.gateway.requests import chat_request, completion_request
from serving.gateway.rules import EngineRequest, Rules

RULES = Rules({"m": features_of("vllm,media,tools")}, {"m": 2048}, Limits())
BODY = b"x" * 400  # estimated as 101 tokens
USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
DONE = b"data: [DONE]\n\n"


class Purse:
    def __init__(self):
        self.held = []
        self.settled = []

    def hold(self, tokens):
        self.held.append(tokens)

    def settle(self, held, used):
        self.settled.append((held, used))


def event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def word(text, **more):
    return event({"choices": [{"index": 0, "delta": {"content": text}}], **more})


def count(stream, happens, *, usage=False):
    """Return what was counted, and what the client saw."""
    purse, seen = Purse(), []
    request = EngineRequest("m", "/v1/x", BODY, stream, usage=usage, answer_tokens=50)
    try:
        with Meter(purse, request) as meter:
            happens(meter, seen)
    except (RequestError, EngineError, TimeoutError, aiohttp.ClientError, OSError, asyncio.CancelledError):
        pass
    assert purse.held == [151]
    ((held, used),) = purse.settled
    assert held == 151
    return used, b"".join(seen)


def sends(*events, then=None):
    def happens(meter, seen):
        seen.extend(meter.events(part, part.count(b"\n\n")) for part in events)
        if then is not None:
            raise then

    return happens


def test_a_streams_usage_is_counted_and_not_shown_to_whoever_did_not_ask():
    words = word("a") + word("b")
    last = event({"choices": [], "usage": USAGE})
    assert count(True, sends(words, last + DONE)) == (25, words + DONE)
    assert count(True, sends(words + last + DONE)) == (25, words + DONE)
    assert count(True, sends(words, last + DONE), usage=True) == (25, words + last + DONE)


def test_usage_beside_the_last_word_is_taken_out_and_the_word_stays():
    used, seen = count(True, sends(word("a", usage=USAGE), DONE))
    assert used == 25
    assert seen == word("a") + DONE


def test_usage_in_every_event_counts_once():
    running = [word("a", usage={"prompt_tokens": 20, "completion_tokens": i}) for i in (1, 2, 3)]
    assert count(True, sends(*running, DONE))[0] == 23


def test_a_model_that_writes_usage_changes_no_count():
    text = '"usage": {"prompt_tokens": 0, "completion_tokens": 0}'
    said = word(text) + word('\\"usage": {')
    used, seen = count(True, sends(said, event({"choices": [], "usage": USAGE}) + DONE))
    assert (used, seen) == (25, said + DONE)


def test_a_stream_that_the_client_cuts_off_is_counted():
    used, _ = count(True, sends(word("a") * 30, then=asyncio.CancelledError()))
    assert used == 101 + 30


def test_a_stream_that_is_cut_off_before_its_first_word_is_counted():
    assert count(True, sends(then=asyncio.CancelledError()))[0] == 101


def test_a_stream_that_breaks_off_at_the_engine_is_counted():
    assert count(True, sends(word("a") * 30, then=EngineError("gone")))[0] == 101 + 30


def test_a_client_that_leaves_before_a_whole_answer_pays_what_was_held():
    assert count(False, sends(then=asyncio.CancelledError()))[0] == 151


NOT_THERE = aiohttp.ClientConnectorError(None, OSError())
CUT = [EngineError("too long"), TimeoutError(), aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError(), OSError()]


@pytest.mark.parametrize("error", [RequestError("x", "y"), RequestError("x", "y", status=503), NOT_THERE])
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_engine_refused_or_never_began_costs_nothing(error, stream):
    assert count(stream, sends(then=error))[0] == 0


@pytest.mark.parametrize(
    ("error", "used"),
    [(RequestError("x", "y"), 0), (NOT_THERE, 0), (RequestError("x", "y", status=502), 101), (EngineError("x"), 101)],
)
def test_what_is_told_in_a_stream_that_has_begun_costs_what_a_status_would(error, used):
    assert count(True, lambda meter, _: meter.failed(error))[0] == used


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_at_which_the_engine_fails_is_not_free(stream):
    assert count(stream, sends(then=RequestError("x", "y", status=502)))[0] == 101


@pytest.mark.parametrize("error", CUT)
def test_an_answer_that_is_too_long_too_late_or_kills_the_engine_is_not_free(error):
    assert count(False, sends(then=error))[0] == 151
    assert count(True, sends(then=error))[0] == 101


@pytest.mark.parametrize(
    ("answer", "used"),
    [
        ({"usage": USAGE}, 25),
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, 7),
        ({"response": {"usage": {"input_tokens": 3, "output_tokens": 4}}}, 7),
        ({"usage": {"prompt_tokens": 9}}, 9),
        ({"usage": {"prompt_tokens": -9, "completion_tokens": 2}}, 2),
        ({"usage": {"prompt_tokens": True, "completion_tokens": "7"}}, 0),
        ({"usage": None}, 101),
        ({"usage": [1]}, 101),
        ({}, 101),
    ],
)
def test_whatever_an_engine_says_is_a_number(answer, used):
    assert count(False, lambda meter, _: meter.whole(answer))[0] == used


@pytest.mark.parametrize(
    "nonsense", [b'data: {"usage": {"x"\n\n', b'data: ["usage", {"usage":{}}]\n\n', b'"usage":{\n\n']
)
def test_nonsense_in_a_stream_is_passed_on_and_counted_as_it_comes(nonsense):
    assert count(True, sends(nonsense + DONE)) == (101 + 2, nonsense + DONE)


def test_a_budget_that_does_not_cover_it_is_not_settled():
    purse = Purse()
    purse.hold = lambda _: (_ for _ in ()).throw(RequestError("insufficient_quota", "x", status=429))
    with pytest.raises(RequestError), Meter(purse, EngineRequest("m", "/v1/x", BODY, stream=True)):
        pass
    assert purse.settled == []


def asked(call=chat_request, **fields):
    where = {"messages": [{"role": "user", "content": "x"}]} if call is chat_request else {"prompt": "x"}
    return call(json.dumps({"model": "m", **where, **fields}).encode(), RULES, "salt")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, False), ({"stream_options": {}}, False), ({"stream_options": {"include_usage": True}}, True)],
)
def test_a_stream_always_ends_with_its_usage_and_the_gateway_knows_who_asked(options, wanted):
    request = asked(stream=True, **options)
    assert json.loads(request.body)["stream_options"] == {"include_usage": True}
    assert request.usage is wanted


@pytest.mark.parametrize("options", ["x", ["include_usage"], {"continuous_usage_stats": True}])
def test_options_of_a_stream_that_openai_does_not_know_are_refused(options):
    with pytest.raises(RequestError, match="stream_options"):
        asked(stream=True, stream_options=options)


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({}, 4096),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 7, "max_tokens": 9}, 9),
        ({"max_tokens": 7, "n": 3}, 21),
    ],
)
def test_the_most_that_an_answer_may_have(fields, most):
    assert asked(**fields).answer_tokens == most


@pytest.mark.parametrize(("prompt", "most"), [("x", 7), (["x", "y"], 14), ([[1], [2], [3]], 21), ([1, 2, 3], 7)])
def test_each_prompt_of_a_list_may_be_answered(prompt, most):
    assert asked(completion_request, prompt=prompt, max_tokens=7).answer_tokens == most
