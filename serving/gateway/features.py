"""What a model can do of OpenAI's interface. What it, or its engine, cannot is refused here, with OpenAI's error.

An engine that does not know a field mostly ignores it, and its answer then looks like one to what was asked. Found by
asking: llama.cpp (xllamacpp 2026.10.11549) drops ``echo``, takes a named ``tool_choice`` for ``auto``, answers
``logprobs`` of a completion in another format, and gives embeddings with all their ``dimensions``; media without a
projector is its error 500; so is, in half of the answers, a schema's ``pattern`` with ``.`` or ``[^…]``, since it lets
them end the string (``json_patterns``). vLLM, without a parser of calls, refuses tools by the names of its own flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from serving.errors import RequestError
from serving.task import EMBED, GENERATE


@dataclass(frozen=True, slots=True)
class Features:
    """What one model takes. ``task`` is what it is for (``serving.task``).

    ``salted``: it shares prefixes between requests with one ``cache_salt`` alone. ``keeps``: a connection to it may be
    used again. llama.cpp's server has a thread for each connection that is open, so that idle ones keep others out.
    ``json_patterns``: it takes a schema's pattern for one of the JSON that is written.
    """

    name: str
    echo: bool
    completion_logprobs: bool
    dimensions: bool
    tools: bool
    named_tool: bool
    media: bool
    structured_outputs: bool
    salted: bool
    keeps: bool
    json_patterns: bool
    task: str = GENERATE

    def require(self, feature: str, param: str) -> None:
        """Refuse a field that the engine would ignore, misread, or refuse in words that help nobody.

        Raises:
            RequestError: ``unsupported_parameter``; where its operator could turn it on, the message says by what.
        """
        if not getattr(self, feature):
            message = f"This model on this server's engine ({self.name}) does not support {param}."
            if option := _OPTIONS[self.name].get(feature):
                message += f" The server's operator can allow it, where the model is made for it: {option}."
            raise RequestError("unsupported_parameter", message, param=param)

    def require_task(self, task: str) -> None:
        """Refuse a route for what the model is not for.

        Raises:
            RequestError: ``unsupported_operation``.
        """
        if self.task != task:
            raise unsupported_route()


FEATURES = {
    "llamacpp": Features(
        name="llamacpp",
        echo=False,
        completion_logprobs=False,
        dimensions=False,
        tools=True,
        named_tool=False,
        media=False,
        structured_outputs=False,
        salted=False,
        keeps=False,
        json_patterns=True,
    ),
    "vllm": Features(
        name="vllm",
        echo=True,
        completion_logprobs=True,
        dimensions=True,
        tools=False,
        named_tool=True,
        media=False,
        structured_outputs=True,
        salted=True,
        keeps=True,
        json_patterns=False,
    ),
}
"""By engine, of a model that generates and for which nothing else was turned on."""
TRAITS: Mapping[str, Mapping[str, Any]] = {"embed": {"task": EMBED}, "media": {"media": True}, "tools": {"tools": True}}
"""What the inventory may turn on, as the command line says it."""
_OF_ENGINE = {"llamacpp": {"embed"}, "vllm": {*TRAITS}}
_OPTIONS: Mapping[str, Mapping[str, str]] = {"llamacpp": {}, "vllm": {"tools": "tool_parser", "media": "media"}}


def features_of(words: str) -> Features:
    """Read ``ENGINE[,TRAIT...]``, as the command line has it.

    Raises:
        ValueError: there is no such engine, or it has no such trait.
    """
    engine, *traits = words.split(",")
    if engine not in FEATURES or not _OF_ENGINE[engine].issuperset(traits):
        raise ValueError(words)
    features = FEATURES[engine]
    for trait in traits:
        features = replace(features, **TRAITS[trait])
    return features


def unsupported_route() -> RequestError:
    """Make the refusal of a route that is not for the model, or that its engine does not have."""
    return RequestError("unsupported_operation", "This model is not made for this route.")
