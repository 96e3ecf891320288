"""What of a request reaches the engine."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from serving.errors import RequestError
from serving.gateway.features import FEATURES, features_of
from serving.gateway.limits import Limits
from serving.gateway.requests import chat_request, completion_request
from serving.gateway.rules import Rules

MODEL = "m"
VLLM = Rules({MODEL: features_of("vllm,media,tools")}, {MODEL: 2048}, Limits())
PLAIN = Rules({MODEL: FEATURES["vllm"]}, {MODEL: 2048}, Limits())
EMBEDS = Rules({MODEL: features_of("vllm,embed")}, {MODEL: 2048}, Limits())
LLAMACPP = Rules({MODEL: FEATURES["llamacpp"]}, {MODEL: 2048}, Limits())
USER = {"role": "user", "content": "hello"}
PNG = "data:image/png;base64,AAAA"
NAMED = {"type": "function", "function": {"name": "f"}}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def chat(rules=VLLM, **fields):
    body = {"model": MODEL, "messages": [USER], **fields}
    return chat_request(json.dumps(body).encode(), rules, "salt")


def called(arguments):
    return {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}


CALL = called("{}")


def completion(rules=VLLM, **fields):
    return completion_request(json.dumps({"model": MODEL, "prompt": "x", **fields}).encode(), rules, "salt")


def part(**fields):
    return chat(messages=[{"role": "user", "content": [fields]}])


def refused(call, *arguments, **fields):
    with pytest.raises(RequestError) as caught:
        call(*arguments, **fields)
    return caught.value


def test_what_openai_users_send_is_forwarded():
    fields = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 5,
        "stop": ["x"],
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
        "logit_bias": {"5": -100},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"$ref": "#/x"}}}],
        "response_format": {"type": "json_object"},
    }
    request = chat(LLAMACPP, **fields)
    assert json.loads(request.body) == {"model": MODEL, "messages": [USER], **fields}
    assert request.stream


def test_fields_that_say_who_asks_are_dropped():
    request = chat(
        LLAMACPP, user="u", metadata={}, safety_identifier="s", prompt_cache_key="k", service_tier="x", store=False
    )
    assert set(json.loads(request.body)) == {"model", "messages", "stream"}


def test_an_answer_of_the_assistant_can_be_sent_back_as_openais_client_dumps_it():
    message = {"role": "assistant", "content": "hi", "refusal": None, "annotations": [], "audio": None}
    sent = json.loads(chat(messages=[USER, message | {"function_call": None, "tool_calls": None}]).body)
    assert sent["messages"][1] == {"role": "assistant", "content": "hi"}


@pytest.mark.parametrize(
    "field",
    [
        *("cache_prompt", "id_slot", "grammar", "json_schema", "lora", "chat_template", "chat_template_kwargs"),
        *("n_predict", "return_progress", "response_fields", "samplers", "timings_per_token", "verbose", "__class__"),
        *("prompt_logprobs", "kv_transfer_params", "mm_processor_kwargs", "guided_regex", "cache_salt", "echo"),
    ],
)
def test_private_fields_of_engines_are_refused_by_name(field):
    error = refused(chat, **{field: 1})
    assert (error.status, error.code, error.param) == (400, "unknown_parameter", field)


def test_a_strange_field_name_is_not_repeated():
    assert "secret" not in str(refused(chat, **{"my secret \n": 1}))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"store": True}, "unsupported_value"),
        ({"store": "no"}, "unsupported_value"),
        ({"model": "gpt-4o"}, "model_not_found"),
        ({"model": None}, "missing_required_parameter"),
        ({"model": 5}, "missing_required_parameter"),
        ({"stream": "yes"}, "invalid_type"),
        ({"stream": 1}, "invalid_type"),
        ({"messages": []}, "invalid_type"),
        ({"messages": "hello"}, "invalid_type"),
        ({"messages": [{**USER, "content": "<|im_end|>" * 6554}]}, "context_length_exceeded"),
        (
            {"messages": [USER, *[{**USER, "content": [{"type": "text", "text": "x" * 33_000}]}] * 2]},
            "context_length_exceeded",
        ),
        ({"messages": None}, "invalid_type"),
        ({"messages": ["hello"]}, "invalid_type"),
        ({"messages": [{"role": "root", "content": "x"}]}, "invalid_value"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "invalid_value"),
        ({"messages": [{"role": "user", "content": 5}]}, "invalid_type"),
        ({"messages": [{**USER, "cache_control": {}}]}, "unknown_parameter"),
        ({"tools": ["x" * 70_000]}, "string_above_max_length"),
        ({"tools": []}, "invalid_type"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}] * 129}, "invalid_type"),
        ({"tools": [{"type": "web_search"}]}, "invalid_value"),
        ({"tools": [{"type": "function"}]}, "invalid_type"),
        ({"tools": [{"type": "function", "function": {"name": "two words"}}]}, "invalid_value"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]}, "invalid_type"),
        ({"tools": [{"type": "function", "function": {"name": "f", "url": "x"}}]}, "unknown_parameter"),
        ({"tool_choice": "always"}, "invalid_value"),
        ({"tool_choice": {"type": "function"}}, "invalid_type"),
        ({"tool_choice": {"type": "mcp", "function": {"name": "f"}}}, "invalid_value"),
        ({"response_format": "json"}, "invalid_value"),
        ({"response_format": {"type": "regex"}}, "invalid_value"),
        ({"response_format": {"type": "json_object", "schema": {}}}, "unknown_parameter"),
        ({"response_format": {"type": "json_schema"}}, "invalid_type"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": ""}}}, "invalid_value"),
        ({"temperature": "hot"}, "invalid_type"),
        ({"temperature": 2.1}, "decimal_above_max_value"),
        ({"temperature": True}, "invalid_type"),
        ({"top_p": -0.1}, "decimal_below_min_value"),
        ({"seed": 2**63}, "integer_above_max_value"),
        ({"seed": 1.5}, "invalid_type"),
        ({"n": 9}, "integer_above_max_value"),
        ({"max_tokens": 10**9}, "integer_above_max_value"),
        ({"logprobs": 5}, "invalid_type"),
        ({"top_logprobs": 21}, "integer_above_max_value"),
        ({"stop": ["x"] * 5}, "array_above_max_length"),
        ({"stop": "x" * 300}, "array_above_max_length"),
        ({"stop": [5]}, "invalid_type"),
        ({"stop": ""}, "array_above_max_length"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "invalid_value"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "unknown_parameter"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "invalid_type"),
        ({"messages": [{"role": "tool", "tool_call_id": {}, "content": "x"}]}, "invalid_type"),
        ({"messages": [{**USER, "name": 5}]}, "invalid_type"),
        ({"messages": [{"role": "assistant", "tool_calls": []}]}, "invalid_type"),
        ({"messages": [{"role": "assistant", "tool_calls": ["f"]}]}, "invalid_type"),
        ({"messages": [{"role": "assistant", "tool_calls": [{**CALL, "type": "mcp"}]}]}, "invalid_value"),
        ({"messages": [{"role": "assistant", "tool_calls": [called("no json")]}]}, "invalid_json"),
        ({"messages": [{"role": "assistant", "tool_calls": [called("[" * 9999)]}]}, "invalid_json"),
        ({"messages": [{"role": "assistant", "tool_calls": [called({})]}]}, "invalid_type"),
        ({"logit_bias": {"five": 1}}, "invalid_type"),
        ({"logit_bias": {"5": 101}}, "decimal_above_max_value"),
        ({"logit_bias": [5]}, "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "invalid_value"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "invalid_type"),
        ({"stream": True, "stream_options": {"continuous_usage_stats": True}}, "unknown_parameter"),
        ({"structured_outputs": {"grammar": "root ::= x"}}, "unknown_parameter"),
        ({"structured_outputs": {}}, "invalid_type"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "invalid_type"),
        ({"structured_outputs": {"choice": []}}, "invalid_type"),
        ({"structured_outputs": {"regex": 5}}, "invalid_type"),
        ({"structured_outputs": {"json": [None]}}, "invalid_type"),
        ({"response_format": {"schema": {"$ref": "https://elsewhere.invalid/s"}}}, "invalid_value"),
        ({"tools": [{"function": {"parameters": {"a": [{"$ref": "file:///etc/passwd"}]}}}]}, "invalid_value"),
    ],
)
def test_values_that_are_refused(fields, code):
    assert refused(chat, **fields).code == code


def test_text_and_data_urls_pass():
    part(type="text", text="hi")
    part(type="image_url", image_url={"url": PNG, "detail": "low"})
    part(type="input_audio", input_audio={"data": "AAAA", "format": "wav"})


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.invalid/x.png",
        "https://elsewhere.invalid/?prompt=secret",
        "HTTPS://elsewhere.invalid",
        "file:///etc/passwd",
        "ftp://x",
        "//elsewhere.invalid",
        " data:,x",
        "DATA:,x",
        "",
        5,
        None,
        ["data:,"],
    ],
)
def test_a_media_url_that_would_be_fetched_is_refused(url):
    error = refused(part, type="image_url", image_url={"url": url})
    assert error.code == "invalid_image_url"
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "image_url", "image_url": "https://elsewhere.invalid"},
        {"type": "image_url", "image_url": {"url": PNG, "fallback": "https://x"}},
        {"type": "image_url", "image_url": {"url": PNG}, "url": "https://x"},
        {"type": "video_url", "video_url": {"url": "https://x"}},
        {"type": "audio_url", "audio_url": {"url": "data:,x"}},
        {"type": "input_image", "image_url": "https://x"},
        {"type": "file", "file": {"file_id": "x"}},
        {"type": "input_audio", "input_audio": {"url": "https://x"}},
        {"type": "input_audio", "input_audio": "https://x"},
        {"type": "input_audio", "input_audio": {"format": "wav"}},
        {"type": "input_audio", "input_audio": {}},
        {"type": "input_audio", "input_audio": {"data": ["AAAA"], "format": "wav"}},
        {"type": "image_url", "image_url": {"url": PNG, "detail": {}}},
        {"type": "text"},
        {"type": "text", "text": {"url": "https://x"}},
        {"type": ["text"]},
        {"image_url": {"url": "https://x"}},
        {},
    ],
)
def test_parts_that_are_not_known_are_refused(fields):
    assert refused(part, **fields).status == 400


def test_a_part_that_is_no_object_is_refused():
    assert refused(chat, messages=[{"role": "user", "content": ["text"]}]).status == 400


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe{}",
        b'{"model":"m"',
        b'{"model":"m"} {}',
        b'{"model":"m","model":"m","messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x","content":[{"type":"image_url"}]}]}',
        b'{"model":"m","temperature":NaN}',
        b'{"model":"m","temperature":-Infinity}',
        b'{"model":"m","seed":' + b"9" * 5000 + b"}",
        b'{"model":"m","tools":' + b"[" * 100 + b"]" * 100 + b"}",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\\uDFFFx\\ud800"}]}',
        b'{"model":"m","\\ud800":1}',
    ],
    ids=range(19),
)
def test_a_body_with_no_reading_or_two_is_400(data):
    error = refused(chat_request, data, VLLM, "salt")
    assert (error.status, error.code) == (400, "invalid_json")


def test_an_error_never_repeats_the_body():
    error = refused(chat_request, b'{"model": "my secret prompt', VLLM, "salt")
    assert "secret" not in str(error)


@pytest.mark.parametrize("prompt", ["x", ["x", "y"], [1, 2, 3], [[1, 2], [3]]])
def test_a_completion_passes(prompt):
    body = json.dumps({"model": MODEL, "prompt": prompt}).encode()
    request = completion_request(body, VLLM, "salt")
    assert request.path == "/v1/completions"
    assert json.loads(request.body)["prompt"] == prompt


@pytest.mark.parametrize(
    "fields",
    [
        *({}, {"prompt": None}, {"prompt": 5}, {"prompt": {"a": 1}}, {"prompt": []}, {"prompt": [[]]}),
        *(
            {"prompt": [-1]},
            {"prompt": [2**31]},
            {"prompt": [1, "x"]},
            {"prompt": ["x", 1]},
            {"prompt": ["x", [1]]},
            {"prompt": [[1], "x"]},
            {"prompt": [True]},
            {"prompt": ["x"] * 257},
        ),
    ],
)
def test_a_completion_without_a_prompt_is_refused(fields):
    body = json.dumps({"model": MODEL, **fields}).encode()
    assert refused(completion_request, body, VLLM, "salt").param == "prompt"


@pytest.mark.parametrize("field", ["messages", "suffix", "best_of", "tools"])
def test_a_completion_with_a_field_of_another_route_is_refused(field):
    body = json.dumps({"model": MODEL, "prompt": "x", field: []}).encode()
    assert refused(completion_request, body, VLLM, "salt").code == "unknown_parameter"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "8"])
def test_a_count_that_an_engine_might_take_for_without_end(field, value):
    error = refused(chat, **{field: value})
    fault = "integer_below_min_value" if type(value) is int else "invalid_type"
    assert (error.code, error.param) == (fault, field)


@pytest.mark.parametrize(
    ("attack", "body"),
    [
        ("megabytes of small lists", b'{"messages":[' + b"[]," * 1_000_000 + b"[]]}"),
        ("megabytes of numbers", b'{"messages":[' + b"1," * 1_000_000 + b"1]}"),
        ("deep nesting", b'{"messages":' + b"[" * 100_000),
        ("a number that is infinite to some", b'{"temperature":1e999}'),
        ("a string that never ends", b'{"' + b'\\"' * 1_000_000),
    ],
)
def test_bodies_that_would_keep_the_gateway_busy_or_have_two_readings(attack, body):
    assert refused(chat_request, body, VLLM, "salt").code == "invalid_json"


def test_text_with_many_brackets_and_commas_is_text():
    code = "f([a, b], {c: d});\n" * 60_000
    long = Rules({MODEL: FEATURES["vllm"]}, {MODEL: 131_072}, Limits())
    assert json.loads(chat(long, messages=[{"role": "user", "content": code}]).body)["messages"][0]["content"] == code


@pytest.mark.parametrize(
    ("feature", "call"),
    [
        ("an echo that would be dropped", lambda: completion(LLAMACPP, echo=True)),
        ("logprobs in another format", lambda: completion(LLAMACPP, logprobs=1)),
        ("a named tool that would be no order", lambda: chat(LLAMACPP, tool_choice=NAMED)),
        ("an image that would be an error 500", lambda: chat(LLAMACPP, messages=IMAGE)),
        ("a regex that would be dropped", lambda: chat(LLAMACPP, structured_outputs={"regex": "a"})),
    ],
)
def test_what_the_engine_would_ignore_or_misread_is_refused(feature, call):
    error = refused(call)
    assert (error.status, error.code) == (400, "unsupported_parameter")
    assert "llamacpp" in error.message
    assert "operator" not in error.message, "nobody can turn it on"


@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}, {"tool_choice": "required"}, {"tool_choice": NAMED}])
def test_tools_that_vllm_would_refuse_by_its_flags_are_refused_by_what_the_operator_has_to_set(choice):
    error = refused(chat, PLAIN, tools=TOOLS, **choice)
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", "tools")
    assert "tool_parser" in error.message


def test_tools_that_may_not_be_called_need_no_parser():
    assert json.loads(chat(PLAIN, tools=TOOLS, tool_choice="none").body)["tools"] == TOOLS


@pytest.mark.parametrize("media", ["image_url", "input_audio"])
def test_media_of_a_model_for_which_the_inventory_allows_none_are_refused(media):
    part = {"image_url": {"url": PNG}} if media == "image_url" else {"input_audio": {"data": "AA", "format": "wav"}}
    error = refused(chat, PLAIN, messages=[{"role": "user", "content": [{"type": media, **part}]}])
    assert (error.code, error.param) == ("unsupported_parameter", f"messages[0].content[0].{media}")
    assert "media" in error.message


@pytest.mark.parametrize("call", [chat, completion])
def test_a_model_for_embeddings_generates_nothing(call):
    error = refused(call, EMBEDS)
    assert (error.status, error.code) == (400, "unsupported_operation")


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]


def test_what_an_engine_can_do_is_forwarded_to_it():
    assert json.loads(completion(echo=True, logprobs=1).body)["echo"]
    assert json.loads(chat(tool_choice=NAMED, structured_outputs={"regex": "a+"}).body)["tool_choice"] == NAMED
    assert json.loads(chat(LLAMACPP, tool_choice="required").body)["tool_choice"] == "required"


def test_the_salt_goes_to_an_engine_that_knows_it_and_to_no_other():
    assert json.loads(chat().body)["cache_salt"] == "salt"
    assert json.loads(completion().body)["cache_salt"] == "salt"
    assert "cache_salt" not in json.loads(chat(LLAMACPP).body)


@pytest.mark.parametrize("call", [chat, completion])
def test_a_callers_own_salt_is_refused(call):
    """Whoever could choose it would choose another's, and measure what that one has asked."""
    assert refused(call, cache_salt="mine").param == "cache_salt"


def identifiers(salt, *urls, rules=VLLM):
    """Return how the engine is told to call the images of one message."""
    parts = [{"type": "text", "text": "?"}, *({"type": "image_url", "image_url": {"url": url}} for url in urls)]
    body = json.dumps({"model": MODEL, "messages": [USER, {"role": "user", "content": parts}]}).encode()
    sent = json.loads(chat_request(body, rules, salt).body)["messages"][1]["content"]
    assert "uuid" not in sent[0]
    return [part.get("uuid") for part in sent[1:]]


def test_who_sends_anothers_image_cannot_be_answered_sooner_for_it():
    """An engine keeps what it has read and encoded of an image by what it is called."""
    mine, again, other = identifiers("mine", PNG, PNG, PNG + "AAAA")
    assert len(mine) == 64
    assert mine == again
    assert len({mine, other, *identifiers("another's", PNG)}) == 3


def test_a_sound_reaches_vllm_as_a_url_of_data():
    """Of a part with an identifier it would read input_audio as if it were empty."""
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": [sound]}]}).encode()
    ((sent,), (other,)) = (
        json.loads(chat_request(body, VLLM, salt).body)["messages"][0]["content"] for salt in ("mine", "another's")
    )
    identifier = sent.pop("uuid")
    assert sent == {"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,AAAA"}}
    assert identifier != other["uuid"]


def test_more_images_and_sounds_than_any_engine_takes_are_refused():
    most = Limits().media
    image = {"type": "image_url", "image_url": {"url": PNG}}
    assert chat(messages=[{"role": "user", "content": [image] * most}])
    too_many = [{"role": "user", "content": [image] * most}, {"role": "user", "content": [image]}]
    assert refused(chat, messages=too_many).code == "array_above_max_length"


def test_an_image_has_no_identifier_for_an_engine_that_knows_no_salt():
    rules = Rules({MODEL: replace(VLLM.models[MODEL], salted=False)}, {MODEL: 2048}, Limits())
    assert identifiers("salt", PNG, rules=rules) == [None]


def test_a_callers_own_identifier_of_an_image_is_refused():
    """He would name another's."""
    assert refused(part, type="image_url", image_url={"url": PNG}, uuid="1" * 64).code == "unknown_parameter"


def test_a_character_outside_the_first_plane_is_text_however_it_is_written():
    for written in (b'"\\ud83d\\ude00"', '"\U0001f600"'.encode()):
        request = chat_request(b'{"model":"m","messages":[{"role":"user","content":' + written + b"}]}", VLLM, "salt")
        assert json.loads(request.body)["messages"][0]["content"] == "\U0001f600"


def test_an_earlier_call_can_be_sent_back():
    assert json.loads(chat(messages=[USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]).body)


def test_an_integer_may_be_written_as_a_number():
    asked = json.loads(
        chat_request(b'{"model":"m","n":2.0,"seed":1e3,"messages":[{"role":"user","content":"x"}]}', VLLM, "s").body
    )
    assert (repr(asked["n"]), repr(asked["seed"])) == ("2", "1000")


def test_openais_own_obfuscation_is_accepted_and_not_the_engines_business():
    asked = chat(stream=True, stream_options={"include_obfuscation": True, "include_usage": True})
    assert json.loads(asked.body)["stream_options"] == {"include_usage": True}
