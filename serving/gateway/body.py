"""Reading a request's JSON so that it has one reading: the engine gets what was judged here, never the bytes that came.

A second key of the same name, or a number that only one of two parsers accepts, could show the gateway one request
and the engine another.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from client_sdk.encoding import outside_strings
from serving.errors import RequestError

_NOT_JSON = "The body is not a JSON object."
MAX_VALUES = 100_000  # more than a vocabulary has tokens (logit_bias), and than a context has (a prompt of token ids)
_EXACT = 2**53  # up to here every integer is a float of its own
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BRACKET = re.compile(rb"[\[\]{}]")


def read_object(data: bytes, *, depth: int, values: int = MAX_VALUES) -> dict[str, Any]:
    """Parse a JSON object: UTF-8, no duplicate keys, finite numbers, at most ``depth`` deep, at most ``values`` parts.

    Depth and parts are counted on the text, before anything is built of it: a few megabytes of brackets would keep
    the one thread busy for seconds.

    Raises:
        RequestError: otherwise; the message does not repeat the body.
    """
    _bounded(outside_strings(data), depth, values)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:  # json's and UTF-8's errors are ValueErrors, and would quote the body
        raise RequestError("invalid_json", _NOT_JSON) from error
    if not isinstance(value, dict) or (_SURROGATE.search(data) and not _is_text(value)):
        raise RequestError("invalid_json", _NOT_JSON)
    return value


def _is_text(value: dict[str, Any]) -> bool:
    """Half of a surrogate pair is no character: parsers refuse it, replace it, or fail later."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _bounded(structure: bytes, depth: int, values: int) -> None:
    if sum(map(structure.count, (b",", b"[", b"{"))) > values:
        raise RequestError("invalid_json", f"The body has more than {values} parts.")
    level = 0
    for bracket in _BRACKET.findall(structure):
        level += 1 if bracket in b"[{" else -1
        if level > depth:
            raise RequestError("invalid_json", f"The body is nested deeper than {depth} levels.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RequestError("invalid_json", "A key appears twice in the body.")
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise RequestError("invalid_json", "NaN and Infinity are not JSON.")


def _finite(text: str) -> float:
    """Read a number; one that only some parsers call infinite has two readings. 8.0 is the integer 8."""
    value = float(text)
    if math.isinf(value):
        raise RequestError("invalid_json", "A number in the body is too large.")
    return int(value) if value.is_integer() and abs(value) < _EXACT else value
