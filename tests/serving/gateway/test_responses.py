"""Responses: what becomes a chat, what is refused, and how a chat's answer is told."""

from __future__ import annotations

import json

import pytest

from serving.errors import EngineError, RequestError
from serving.gateway.features import FEATURES
from serving.gateway.limits import Limits
from serving.gateway.responses import response_request
from serving.gateway.rules import Rules

RULES = Rules({"m": FEATURES["vllm"]}, Limits())
TOOL = {"type": "function", "name": "f", "description": None, "parameters": {"type": "object"}, "strict": True}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}


def made(rules=RULES, **fields):
    return response_request(json.dumps({"model": "m", "input": "hi", **fields}).encode(), rules, "salt")


def chat(**fields):
    request = made(**fields)
    assert request.path == "/v1/chat/completions"
    return json.loads(request.body)


def test_a_text_is_a_chat_of_one_message_with_the_callers_salt():
    assert chat(instructions="Be brief.", max_output_tokens=5, temperature=0, store=False, user="u") == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_completion_tokens": 5,
        "temperature": 0,
        "stream": False,
        "cache_salt": "salt",
    }


def test_items_become_messages_and_calls_of_one_turn_one_message():
    said = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    said["content"] = [{"type": "output_text", "text": "Wait.", "annotations": [], "logprobs": []}]
    items = [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}, said, CALL, {**CALL, "call_id": "c2"}]
    call = {"type": "function", "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    assert chat(input=[*items, OUTPUT])["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Wait.", "tool_calls": [call, {**call, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]


def test_tools_choice_and_format_are_a_chats():
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    asked = chat(tools=[TOOL], tool_choice={"type": "function", "name": "f"}, text={"format": schema})
    function = {"name": "f", "parameters": {"type": "object"}, "strict": True}
    assert asked["tools"] == [{"type": "function", "function": function}]
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    named = {"name": "n", "schema": {"type": "object"}, "strict": True}
    assert asked["response_format"] == {"type": "json_schema", "json_schema": named}


def test_a_stream_is_asked_for_with_its_usage():
    assert chat(stream=True)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"store": True}, "unsupported_value"),
        ({"background": True}, "unsupported_value"),
        ({"previous_response_id": "resp_1"}, "unknown_parameter"),
        ({"conversation": "conv_1"}, "unknown_parameter"),
        ({"prompt": {"id": "pmpt_1"}}, "unknown_parameter"),
        ({"include": ["reasoning.encrypted_content"]}, "unknown_parameter"),
        ({"cache_salt": "mine"}, "unknown_parameter"),
        ({"enable_response_messages": True}, "unknown_parameter"),
        ({"truncation": "auto"}, "invalid_value"),
        ({"max_output_tokens": -1}, "integer_below_min_value"),
        ({"max_output_tokens": 10**9}, "integer_above_max_value"),
        ({"instructions": ["x"]}, "invalid_type"),
        ({"input": None}, "invalid_type"),
        ({"input": []}, "invalid_type"),
        ({"input": ["hi"]}, "invalid_value"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "invalid_value"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "invalid_value"),
        ({"input": [{"role": "tool", "content": "x"}]}, "invalid_value"),
        ({"input": [{"role": ["user"], "content": "x"}]}, "invalid_value"),
        ({"input": [{"role": "user", "content": 5}]}, "invalid_type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x"}]}]}, "invalid_value"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "invalid_type"),
        ({"input": [{"role": "user", "content": [{"type": ["input_text"]}]}]}, "invalid_value"),
        ({"input": [{"type": ["message"]}]}, "invalid_value"),
        ({"input": [{**CALL, "arguments": {}}]}, "invalid_type"),
        ({"input": [{**OUTPUT, "output": [{"type": "input_image"}]}]}, "invalid_type"),
        ({"tools": [{"type": "web_search"}]}, "invalid_value"),
        ({"tools": [{"type": "mcp", "server_url": "https://elsewhere.invalid"}]}, "unknown_parameter"),
        ({"tools": "f"}, "invalid_type"),
        ({"tools": {}}, "invalid_type"),
        ({"tool_choice": {"type": "hosted"}}, "invalid_value"),
        ({"text": {"verbosity": "low"}}, "unknown_parameter"),
        ({"text": {"format": {"type": "grammar"}}}, "invalid_value"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"$ref": "https://x"}}}}, "invalid_value"),
    ],
)
def test_what_needs_a_store_a_fetch_or_is_not_known_is_refused(fields, code):
    with pytest.raises(RequestError) as caught:
        made(**fields)
    assert caught.value.code == code


@pytest.mark.parametrize("url", ["https://elsewhere.invalid/x.png", "file:///etc/passwd", None, 5])
def test_an_image_that_would_be_fetched_is_refused(url):
    part = {"type": "input_image", "image_url": url, "detail": "low"}
    with pytest.raises(RequestError) as caught:
        made(input=[{"role": "user", "content": [part]}])
    assert caught.value.code == "invalid_image_url"


def test_an_engine_without_a_feature_is_not_asked_for_it_here_either():
    with pytest.raises(RequestError) as caught:
        made(Rules({"m": FEATURES["llamacpp"]}, Limits()), tools=[TOOL], tool_choice={"type": "function", "name": "f"})
    assert caught.value.code == "unsupported_parameter"


def answer(finish="stop", **message):
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    return {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": finish}], "usage": usage}


CALLED = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]


def test_a_whole_answer_is_a_response():
    found = made(temperature=0).answer(answer(content="hello"))
    assert (found["object"], found["status"], found["store"]) == ("response", "completed", False)
    assert found["temperature"] == 0
    assert [part["text"] for part in found["output"][0]["content"]] == ["hello"]
    assert (found["usage"]["input_tokens"], found["usage"]["total_tokens"]) == (3, 5)
    assert "input" not in found


def test_an_answer_that_was_cut_says_so():
    found = made().answer(answer("length", content="hel"))
    assert (found["status"], found["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_calls_are_items_of_their_own():
    (call,) = made().answer(answer("tool_calls", content=None, tool_calls=CALLED))["output"]
    assert (call["type"], call["call_id"], call["name"], call["arguments"]) == ("function_call", "c1", "f", '{"a": 1}')


@pytest.mark.parametrize(
    "nonsense", [{}, {"choices": []}, {"choices": [{}]}, {"choices": 5}, answer(tool_calls=[{"id": 1}])]
)
def test_an_engines_nonsense_is_no_response(nonsense):
    with pytest.raises(EngineError):
        made().answer(nonsense)


def chunk(finish=None, **delta):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


def told(*chunks):
    narrate = made(stream=True).events()
    events = b"".join(map(narrate, chunks)).decode().split("\n\n")
    assert events.pop() == ""
    found = []
    for event in events:
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def test_a_stream_of_text_is_told_in_openais_events():
    found = told(
        chunk(role="assistant", content=""), chunk(content="he"), chunk(content="llo") + chunk("stop"), USAGE, DONE
    )
    assert [event["type"].removeprefix("response.") for event in found] == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert "".join(event.get("delta", "") for event in found) == "hello"
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "hello"
    assert found[-1]["response"]["usage"]["output_tokens"] == 2
    assert found[-1]["response"]["id"] == found[0]["response"]["id"]


def test_a_stream_of_text_and_two_calls_numbers_its_items():
    opened = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": "{}"}}
    second = {"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "[]"}}
    calls = [chunk(tool_calls=[opened]), chunk(tool_calls=[more]), chunk(tool_calls=[second]), chunk("tool_calls")]
    found = told(chunk(content="Wait."), *calls, DONE)
    output = found[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "function_call"]
    assert [(item["call_id"], item["arguments"]) for item in output[1:]] == [("c1", "{}"), ("c2", "[]")]
    done = [event for event in found if event["type"] == "response.output_item.done"]
    assert [(event["output_index"], event["item"]) for event in done] == list(enumerate(output))


def test_a_stream_that_was_cut_ends_as_incomplete():
    assert told(chunk(content="he"), chunk("length"), DONE)[-1]["type"] == "response.incomplete"


def test_a_stream_without_a_word_is_one_empty_message():
    assert told(chunk("stop"), DONE)[-1]["response"]["output"][0]["content"][0]["text"] == ""


@pytest.mark.parametrize(
    "nonsense", [b"data: no json\n\n", b"data: {}\n\n", b"data: 5\n\n", b'data: {"error": {}}\n\n', b"data: [1]\n\n"]
)
def test_a_stream_of_nonsense_is_not_told(nonsense):
    with pytest.raises(EngineError):
        made(stream=True).events()(nonsense)
