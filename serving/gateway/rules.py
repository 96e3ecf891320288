"""What judging any request begins with: one reading of its JSON, known fields, the model, plain values in range."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from serving.errors import RequestError
from serving.gateway.body import read_object
from serving.gateway.features import Features
from serving.gateway.fields import IGNORED, SCHEMAS, Kind
from serving.gateway.limits import Limits
from serving.gateway.schemas import judge_schema

_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
}
Translate = Callable[[dict[str, Any]], dict[str, Any]]
TranslateEvents = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Rules:
    """What requests are judged by: the models by their public names, what the engine of each can do, and the bounds."""

    models: Mapping[str, Features]
    limits: Limits

    def of(self, fields: Mapping[str, Any]) -> Features:
        """Return what the engine can do whose model a judged request names."""
        return self.models[fields["model"]]


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A judged request: the model, the engine's path, the bytes for it, and how its answer becomes the caller's.

    ``answer`` translates a whole answer; ``events`` makes what translates the whole events of one stream. ``generates``
    says that the answer's time is that of its tokens. ``usage`` is whether the client asked for a stream's usage,
    ``answer_tokens`` how long the answers may be in all.
    """

    model: str
    path: str
    body: bytes
    stream: bool
    usage: bool = True
    answer_tokens: int = 0
    answer: Translate | None = None
    events: Callable[[], TranslateEvents] | None = None
    generates: bool = True


def judge(data: bytes, known: frozenset[str], plain: Mapping[str, Kind], rules: Rules) -> dict[str, Any]:
    """Read a request and judge all that routes have in common; return its fields without those that are dropped.

    Raises:
        RequestError: with OpenAI's code and the field's name.
    """
    fields = read_object(data, depth=rules.limits.json_depth)
    fields = {key: value for key, value in fields.items() if value is not None and key not in IGNORED}
    if fields.pop("store", False) is not False:
        raise RequestError("unsupported_value", "Nothing is stored here; leave out store.", param="store")
    refuse_unknown(fields, known, "")
    _judge_model(fields, rules.models)
    for key in SCHEMAS:
        if key in fields:
            judge_schema(fields[key], key, rules.limits)
    for key in plain.keys() & fields.keys():
        judge_plain(fields[key], plain[key], key)
    bounds = {"n": rules.limits.choices, "logprobs": rules.limits.logprobs, "top_logprobs": rules.limits.logprobs}
    bounds |= dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), rules.limits.max_tokens)
    for key in bounds.keys() & fields.keys():
        if fields[key] > bounds[key]:
            raise _above(key, bounds[key], "integer")
    return fields


def judge_plain(value: Any, kind: Kind, name: str) -> None:
    """Judge a plain value. To an engine, a number outside its range may mean "without end".

    Raises:
        RequestError: it has another type, or is out of range.
    """
    word = kind["type"]
    if not isinstance(value, _TYPES[word]) or (isinstance(value, bool) and word != "boolean"):
        raise RequestError("invalid_type", f"{name} must be of type {word}.", param=name)
    if value not in kind.get("enum", (value,)):
        raise RequestError("invalid_value", f"{name} must be one of {', '.join(kind['enum'])}.", param=name)
    scale = "integer" if word == "integer" else "decimal"
    if "minimum" in kind and value < kind["minimum"]:
        raise RequestError(f"{scale}_below_min_value", f"{name} must be at least {kind['minimum']}.", param=name)
    if "maximum" in kind and value > kind["maximum"]:
        raise _above(name, kind["maximum"], scale)


def refuse_unknown(fields: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Refuse a field that is not known, by its name.

    Raises:
        RequestError: ``unknown_parameter``; a name that is no plain word is not repeated.
    """
    unknown = sorted(fields.keys() - known)
    if unknown:
        name = where + unknown[0][:64] if unknown[0].isidentifier() else where + "?"
        raise RequestError("unknown_parameter", f"Unrecognized request argument supplied: {name}", param=name)


def read_part(value: Any, known: frozenset[str], where: str) -> dict[str, Any]:
    """Return an object within a request, when it has known fields alone.

    Raises:
        RequestError: otherwise.
    """
    if not isinstance(value, dict):
        raise RequestError("invalid_type", f"{where} must be an object.", param=where)
    refuse_unknown(value, known, f"{where}.")
    return value


def encode(fields: dict[str, Any]) -> bytes:
    """Write what the engine gets."""
    return json.dumps(fields, allow_nan=False).encode()


def model_not_found(models: Collection[str]) -> RequestError:
    """Make the refusal of a model that is not here."""
    text = f"The model does not exist; this server has {', '.join(models)}."
    return RequestError("model_not_found", text, status=404, param="model")


def _judge_model(fields: dict[str, Any], models: Collection[str]) -> None:
    if not isinstance(fields.get("model"), str):
        raise RequestError("missing_required_parameter", "You must provide a model parameter.", param="model")
    if fields["model"] not in models:
        raise model_not_found(models)


def _above(name: str, limit: float, scale: str) -> RequestError:
    return RequestError(f"{scale}_above_max_value", f"{name} must be at most {limit}.", param=name)
