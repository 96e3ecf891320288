"""Reading a request's JSON so that it has one reading: the engine gets what was judged here, never the bytes that came.

A second key of the same name, or a number that only one of two parsers accepts, could show the gateway one request
and the engine another.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from serving.errors import RequestError

_NOT_JSON = "The body is not a JSON object."


def read_object(data: bytes, *, depth: int) -> dict[str, Any]:
    """Parse a JSON object: UTF-8, no duplicate keys, no NaN, nested at most ``depth`` deep.

    Raises:
        RequestError: otherwise; the message does not repeat the body.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # json's and UTF-8's errors are ValueErrors, and would quote the body
        raise RequestError("invalid_json", _NOT_JSON) from error
    if not isinstance(value, dict):
        raise RequestError("invalid_json", _NOT_JSON)
    _refuse_deep(value, depth)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RequestError("invalid_json", "A key appears twice in the body.")
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise RequestError("invalid_json", "NaN and Infinity are not JSON.")


def _refuse_deep(value: Any, depth: int) -> None:
    level = [value]
    for _ in range(depth):
        level = [item for parent in level for item in _children(parent)]
        if not level:
            return
    raise RequestError("invalid_json", f"The body is nested deeper than {depth} levels.")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
