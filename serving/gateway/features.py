"""What each engine can do of OpenAI's interface. What it cannot is refused here, with OpenAI's error.

An engine that does not know a field mostly ignores it, and its answer then looks like one to what was asked. Found by
asking: llama.cpp (xllamacpp 2026.10.11549) drops ``echo``, takes a named ``tool_choice`` for ``auto``, and answers
``logprobs`` of a completion in another format; media without a projector is its error 500.
"""

from __future__ import annotations

from dataclasses import dataclass

from serving.errors import RequestError


@dataclass(frozen=True, slots=True)
class Features:
    """What one engine takes.

    ``salted``: it shares prefixes between requests with one ``cache_salt`` alone. ``keeps``: a connection to it may be
    used again. llama.cpp's server has a thread for each connection that is open, so that idle ones keep others out.
    """

    name: str
    echo: bool
    completion_logprobs: bool
    named_tool: bool
    media: bool
    structured_outputs: bool
    salted: bool
    keeps: bool

    def require(self, feature: str, param: str) -> None:
        """Refuse a field that this engine would ignore or misread.

        Raises:
            RequestError: ``unsupported_parameter``.
        """
        if not getattr(self, feature):
            message = f"This server's engine ({self.name}) does not support {param}."
            raise RequestError("unsupported_parameter", message, param=param)


FEATURES = {
    "llamacpp": Features(
        name="llamacpp",
        echo=False,
        completion_logprobs=False,
        named_tool=False,
        media=False,
        structured_outputs=False,
        salted=False,
        keeps=False,
    ),
    # Media and embeddings depend on the model: vLLM itself says so when a model has none.
    "vllm": Features(
        name="vllm",
        echo=True,
        completion_logprobs=True,
        named_tool=True,
        media=True,
        structured_outputs=True,
        salted=True,
        keeps=True,
    ),
}


def unsupported_route() -> RequestError:
    """Make the refusal of a route that the engine or its model does not have."""
    return RequestError("unsupported_operation", "This server's model cannot do that.")
