"""``python -m tests.openapi``: write docs/openapi.json: routes, fields, plain values and bounds from the gateway.

The gateway serves no description of itself: what is not needed for an answer does not exist there. It judges what is no
plain value by functions, so messages, tools, formats and answers are described here a second time; of requests,
test_openapi_judged compares both. A field that the gateway knows and this file does not is an error.
"""

from __future__ import annotations

import json
from pathlib import Path

from serving.gateway import fields
from serving.gateway.limits import Limits
from serving.gateway.routes import METRICS, ROUTES
from serving.gateway.rules import maxima

PAGE = Path(__file__).resolve().parent.parent / "docs/openapi.json"
LIMITS = Limits()
TEXT, FLAG, OBJECT = {"type": "string"}, {"type": "boolean"}, {"type": "object"}
COUNT = {"type": "integer", "minimum": 0}
NAME = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}
TOKEN = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}


def ref(name):
    return {"$ref": f"#/components/schemas/{name}"}


def some(items, most=None, least=1):
    return {"type": "array", "items": items, "minItems": least} | ({"maxItems": most} if most else {})


def closed(required=(), **properties):
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


def or_null(schema):
    return {"anyOf": [schema, {"type": "null"}]}


def kind(word):
    return {"const": word}


TEXTS = {"anyOf": [TEXT, some(TEXT, LIMITS.inputs), some(TOKEN), some(some(TOKEN), LIMITS.inputs)]}
DATA_URL = {"type": "string", "pattern": "^data:"}
MODEL = {"type": "string", "description": "As GET /v1/models names it."}
ARGUMENTS = {"type": "string", "contentMediaType": "application/json"}
PATTERN = {"type": "string", "maxLength": LIMITS.pattern_bytes}
MANY = {"maxItems": LIMITS.inputs}
# A schema that engines compile: bounded, and without references to elsewhere.
SCHEMA = OBJECT
FUNCTION = closed(["name"], name=NAME, description=or_null(TEXT), parameters=or_null(SCHEMA), strict=or_null(FLAG))
JSON_SCHEMA = closed(["name"], name=NAME, description=or_null(TEXT), schema=or_null(SCHEMA), strict=or_null(FLAG))

PARTS = [
    closed(["type", "text"], type=kind("text"), text=TEXT),
    closed(["type", "refusal"], type=kind("refusal"), refusal=TEXT),
    closed(["type", "image_url"], type=kind("image_url"), image_url=closed(["url"], url=DATA_URL, detail=TEXT)),
    closed(
        ["type", "input_audio"],
        type=kind("input_audio"),
        input_audio=closed(["data", "format"], data=TEXT, format=TEXT),
    ),
]
CALL = closed(
    ["id", "type", "function"],
    id=TEXT,
    type=kind("function"),
    function=closed(["name", "arguments"], name=NAME, arguments=ARGUMENTS),
)
MESSAGE = closed(
    ["role"],
    role={"enum": sorted(fields.ROLES)},
    content=or_null({"anyOf": [TEXT, some({"oneOf": PARTS}, least=0)]}),
    name=or_null(TEXT),
    refusal=or_null(TEXT),
    tool_call_id=or_null(TEXT),
    tool_calls=or_null(some(CALL)),
    **{key: {"description": "Dropped."} for key in sorted(fields.MESSAGE_IGNORED)},
)
OF_CHAT = {
    "logit_bias": {
        "type": "object",
        "propertyNames": {"pattern": "^[0-9]{1,9}$"},
        "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
    },
    "messages": some(ref("Message")),
    "response_format": {
        "oneOf": [
            closed(["type"], type=kind("text")),
            closed(["type"], type=kind("json_object")),
            closed(["type", "json_schema"], type=kind("json_schema"), json_schema=JSON_SCHEMA),
        ]
    },
    "stop": {
        "anyOf": [
            {"type": "string", "minLength": 1, "maxLength": LIMITS.stop_length},
            some({"type": "string", "minLength": 1, "maxLength": LIMITS.stop_length}, LIMITS.stops, least=0),
        ]
    },
    "stream_options": {**closed(include_obfuscation=FLAG, include_usage=FLAG), "description": "With stream alone."},
    "structured_outputs": {
        "oneOf": [
            closed(["choice"], choice=some(TEXT)),
            closed(["json"], json=SCHEMA),
            closed(["regex"], regex=PATTERN),
        ],
        "description": f"vLLM alone. A pattern has {LIMITS.pattern_pieces} pieces at most.",
    },
    "tool_choice": {
        "oneOf": [
            {"enum": ["auto", "none", "required"]},
            {
                **closed(["type", "function"], type=kind("function"), function=closed(["name"], name=NAME)),
                "description": "vLLM alone.",
            },
        ]
    },
    "tools": some(closed(["type", "function"], type=kind("function"), function=FUNCTION), LIMITS.tools),
}
RESPONSE_PARTS = [
    closed(["type", "text"], type={"enum": ["input_text", "output_text"]}, text=TEXT, annotations={}, logprobs={}),
    closed(["type", "image_url"], type=kind("input_image"), image_url=DATA_URL, detail={}),
]
FROM_AN_ANSWER = {key: {"description": "Dropped."} for key in ("id", "status")}
ITEMS = [
    closed(
        ["role", "content"],
        type=kind("message"),
        role={"enum": sorted(fields.ROLES - {"tool"})},
        content={"anyOf": [TEXT, some({"oneOf": RESPONSE_PARTS}, least=0)]},
        **FROM_AN_ANSWER,
    ),
    closed(
        ["type", "call_id", "name", "arguments"],
        type=kind("function_call"),
        call_id=TEXT,
        name=NAME,
        arguments=ARGUMENTS,
        **FROM_AN_ANSWER,
    ),
    closed(
        ["type", "call_id", "output"], type=kind("function_call_output"), call_id=TEXT, output=TEXT, **FROM_AN_ANSWER
    ),
]
OF_RESPONSES = {
    "input": {"anyOf": [TEXT, some({"oneOf": ITEMS})]},
    "text": closed(
        format={
            "oneOf": [
                closed(["type"], type=kind("text")),
                closed(["type"], type=kind("json_object")),
                closed(["type", "name"], type=kind("json_schema"), **JSON_SCHEMA["properties"]),
            ]
        }
    ),
    "tool_choice": {
        "oneOf": [
            {"enum": ["auto", "none", "required"]},
            {**closed(["type", "name"], type=kind("function"), name=NAME), "description": "vLLM alone."},
        ]
    },
    "tools": some(closed(["type", "name"], type=kind("function"), **FUNCTION["properties"]), LIMITS.tools, least=0),
}
# Per route: what it is, its fields, which of them are plain, schemas of the others, the required ones, the answer.
REQUESTS = {
    "chat": ("Chat", fields.CHAT, fields.CHAT_PLAIN, OF_CHAT, ["messages"], "Chat"),
    "completion": (
        "Completion",
        fields.COMPLETION,
        fields.COMPLETION_PLAIN,
        {**OF_CHAT, "prompt": TEXTS},
        ["prompt"],
        "Completion",
    ),
    "response": (
        "Response; nothing is stored",
        fields.RESPONSE,
        fields.RESPONSE_PLAIN,
        OF_RESPONSES,
        ["input"],
        "Response",
    ),
    "embedding": (
        "Embeddings, where the model has them",
        fields.EMBEDDING,
        fields.EMBEDDING_PLAIN,
        {"input": {**TEXTS, "description": f"Over {LIMITS.inputs_as_numbers} with encoding_format base64 alone."}},
        ["input"],
        "Embeddings",
    ),
    "tokenize": ("The token numbers of a text", fields.TOKENIZE, fields.TOKENIZE_PLAIN, {}, ["prompt"], "Tokens"),
    "detokenize": (
        "The text of token numbers",
        fields.DETOKENIZE,
        {},
        {"tokens": some(TOKEN, least=0)},
        ["tokens"],
        "Text",
    ),
}
USAGE = or_null(OBJECT)
ANSWERS = {
    "Chat": {**OBJECT, "required": ["choices"], "properties": {"choices": some(OBJECT, least=0), "usage": USAGE}},
    "Completion": {**OBJECT, "required": ["choices"], "properties": {"choices": some(OBJECT, least=0), "usage": USAGE}},
    "Response": {
        **OBJECT,
        "required": ["id", "object", "output", "status"],
        "properties": {"object": kind("response"), "store": kind(False), "output": some(OBJECT, least=0)},
    },
    "Embeddings": {**OBJECT, "required": ["data"], "properties": {"data": some(OBJECT, least=0)}},
    "Tokens": closed(["object", "count", "tokens"], object=kind("list"), count=COUNT, tokens=some(TOKEN, least=0)),
    "Text": closed(["object", "prompt"], object=kind("text"), prompt=TEXT),
    "Model": closed(
        ["id", "object", "created", "owned_by"], id=TEXT, object=kind("model"), created=COUNT, owned_by=TEXT
    ),
    "Models": closed(["object", "data"], object=kind("list"), data=some(ref("Model"), least=0)),
    "Health": closed(["status", "engine"], status=kind("ok"), engine={"enum": ["loading", "ready"]}),
    "Error": closed(
        ["error"],
        error=closed(["message", "type", "param", "code"], message=TEXT, type=TEXT, param=or_null(TEXT), code=TEXT),
    ),
}
GETS = {
    "health": ("Whether the gateway lives and every engine has answered", "Health"),
    "models": ("The models that the caller may use", "Models"),
    "model": ("The model of that name", "Model"),
    "evidence": ("Evidence for a nonce (docs/protocol.md)", None),
    "metrics": ("Coarse figures, where the inventory turns them on (docs/metrics.md)", None),
}
ACTIVATION = closed(["credential_blob", "encrypted_secret"], credential_blob=TEXT, encrypted_secret=TEXT)
PARAMETERS = {
    "model": [{"name": "name", "in": "path", "required": True, "schema": TEXT}],
    "evidence": [
        {"name": "nonce", "in": "query", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}
    ],
}
MAXIMA = maxima(LIMITS)


def request_schema(handler):
    """Describe a body: every field of the allow-list, those that are dropped, and ``store``."""
    _, known, plain, others, required, _ = REQUESTS[handler]
    given = {}
    for name in sorted(known):
        schema = plain[name] if name in plain else MODEL if name == "model" else others[name]
        if name in MAXIMA and schema.get("type") == "integer":
            schema = {**schema, "maximum": MAXIMA[name]}
        if name == "background":
            schema = kind(False)
        given[name] = or_null(schema) if name not in {*required, "model"} else schema
    given |= {name: {"description": "Accepted and dropped."} for name in sorted(fields.IGNORED)}
    return closed(["model", *required], **given, store=or_null(kind(False)))


def content(schema, media="application/json"):
    return {media: {"schema": schema}}


def operation(route):
    refused = {"description": "An error in OpenAI's form", "content": content(ref("Error"))}
    if route.handler in REQUESTS:
        summary, *_, answer = REQUESTS[route.handler]
        body = content(ref(f"{route.handler.capitalize()}Request"))
        answers = content(ref(answer))
        if "stream" in REQUESTS[route.handler][1]:
            answers |= content(OBJECT, "text/event-stream")
    elif route.handler == "activate":
        summary, body, answers = "The second round of attestation", content(ACTIVATION), content(OBJECT)
    else:
        summary, answer = GETS[route.handler]
        body, answers = None, content(ref(answer) if answer else OBJECT)
        if route.handler == "metrics":
            answers = content(TEXT, "text/plain")
    found = {"operationId": route.handler, "summary": summary}
    if route.handler in PARAMETERS:
        found["parameters"] = PARAMETERS[route.handler]
    if body:
        found["requestBody"] = {"required": True, "content": body}
    return found | {"responses": {"200": {"description": "The answer", "content": answers}, "default": refused}}


def describe():
    schemas = {f"{name.capitalize()}Request": request_schema(name) for name in REQUESTS}
    paths = {}
    for route in (*ROUTES, METRICS):
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The HTTP interface of the VM",
            "version": "1",
            "description": "What is not here does not exist. Bounds that no schema can say are in docs/http.md. "
            "Routes of /v1/ want a token as `Authorization: Bearer`, unless the image says `gateway_access: open` "
            "(docs/access.md).",
        },
        "paths": paths,
        "components": {"schemas": {**schemas, "Message": MESSAGE, **ANSWERS}},
    }


def text():
    return json.dumps(describe(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
