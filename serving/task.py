"""What a model is for, and the smallest question that shows that it does it; asked by engines and by the gateway.

An answer proves that weights are loaded and one step was computed. It does not prove that the answer is a good one.
"""

from __future__ import annotations

import math
from typing import Any

from serving.errors import EngineError

GENERATE, EMBED = TASKS = ("generate", "embed")
_QUESTIONS = {
    GENERATE: ("/v1/completions", b'{"prompt":"Hi","max_tokens":1,"temperature":0,"stream":false}'),
    EMBED: ("/v1/embeddings", b'{"input":"Hi","encoding_format":"float"}'),
}
_MAX_TOKENS = 2  # of one that was asked for: some engines count the one that ends the answer


def probe(task: str) -> tuple[str, bytes]:
    """Return the question's path and body."""
    return _QUESTIONS[task]


def require_answer(task: str, value: Any) -> None:
    """Require a token, or an embedding of finite numbers that are not all zero.

    Raises:
        EngineError: the answer has neither; the message holds nothing of it.
    """
    try:
        real = _has_embedding(value) if task == EMBED else _has_token(value)
    except (LookupError, TypeError):
        real = False
    if not real:
        raise EngineError("the probe was not answered with a token or an embedding")


def _has_token(value: Any) -> bool:
    tokens = value["usage"]["completion_tokens"]
    return bool(value["choices"]) and type(tokens) is int and 1 <= tokens <= _MAX_TOKENS


def _has_embedding(value: Any) -> bool:
    numbers = value["data"][0]["embedding"]
    finite = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
    return finite and any(numbers)
