"""What each client is asked to do, in one language: a feature is a question, and a result is what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MODEL = "smollm2-135m-instruct"
QUESTION = "What is the capital of Japan?"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ANSWER = {"type": "object", "properties": {"n": {"enum": [7]}}, "required": ["n"], "additionalProperties": False}
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
ELSEWHERE = "https://elsewhere.invalid/x.png"

FEATURES = (
    "chat",
    "chat, streamed",
    "usage of a stream",
    "async chat",
    "async chat, streamed",
    "tools",
    "tools, streamed",
    "structured output",
    "completion",
    "response",
    "response, streamed",
    "embeddings",
    "models",
    "image as data",
    "image from elsewhere",
    "unknown field",
)


@dataclass(frozen=True, slots=True)
class Client:
    """A client library: its name with its version, and a function for each feature that it has."""

    name: str
    version: str
    features: dict[str, Callable[[], str]]


def asked_before(city, number):
    """A turn in which the assistant asked for a city's weather: a model this small calls only where it saw calls."""
    function = {"name": "get_weather", "arguments": '{"city": "' + city + '"}'}
    return [
        {"role": "user", "content": f"Weather in {city}?"},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": number, "function": function}]},
        {"role": "tool", "tool_call_id": number, "content": "sunny"},
        {"role": "assistant", "content": "Sunny."},
    ]


WANTS_A_CALL = [
    *asked_before("Rome", "c1"),
    *asked_before("Oslo", "c2"),
    {"role": "user", "content": "Weather in Paris?"},
]


def told(text):
    """The result of a question whose answer is known."""
    return "works" if text and "Tokyo" in text else f"another answer: {text!r}"


def called(name, arguments):
    return "works" if (name, arguments) == ("get_weather", {"city": "Paris"}) else f"another call: {name} {arguments}"
