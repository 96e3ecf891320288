"""What judging any request begins with: one reading of its JSON, known fields, the model, plain values in range."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from serving.errors import RequestError
from serving.gateway.body import read_object
from serving.gateway.features import Features
from serving.gateway.fields import IGNORED, MEDIA, SCHEMAS, Kind
from serving.gateway.limits import Limits
from serving.gateway.schemas import judge_schemas

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
    """What requests are judged by: the models by their public names, what each can do, its context, and the bounds."""

    models: Mapping[str, Features]
    contexts: Mapping[str, int]
    limits: Limits

    def of(self, fields: Mapping[str, Any]) -> Features:
        """Return what the model can do that a judged request names."""
        return self.models[fields["model"]]

    def require_short(self, fields: Mapping[str, Any], value: Any, name: str) -> None:
        """Refuse texts that cannot fit into a model's context: an engine reads all of them before it counts.

        Raises:
            RequestError: ``context_length_exceeded``.
        """
        context = self.contexts[fields["model"]]
        most = self.limits.token_bytes * context
        if sum(len(text.encode(errors="replace")) for text in _texts(value)) > most:
            text = f"{name} has more than {most} bytes; this model takes {context} tokens in all."
            raise RequestError("context_length_exceeded", text, param=name)

    def within(self, names: Collection[str]) -> Rules:
        """Return the rules for a caller who may use models of these names alone: of others he learns nothing."""
        if all(name in names for name in self.models):
            return self
        return replace(self, models={name: features for name, features in self.models.items() if name in names})


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

    def sent(self) -> EngineRequest:
        """Return it without its body, once the engine answers: nobody holds a prompt until a stream ends."""
        return replace(self, body=b"")


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
    judge_schemas({key: fields[key] for key in SCHEMAS if key in fields}, rules.limits)
    for key in plain.keys() & fields.keys():
        judge_plain(fields[key], plain[key], key)
    most = maxima(rules.limits)
    for key in most.keys() & fields.keys():
        if fields[key] > most[key]:
            raise _above(key, most[key], "integer")
    return fields


def maxima(limits: Limits) -> dict[str, int]:
    """Return what fields with a number may be at most; a field of that name that is a flag is below it anyway."""
    most = {"n": limits.choices, "logprobs": limits.logprobs, "top_logprobs": limits.logprobs}
    return most | dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), limits.max_tokens)


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


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value but media, which no tokenizer reads."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            if not (isinstance(value, dict) and value.get("type") in MEDIA):
                yield from _texts(part)


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
    """Make the refusal of a model that is not here, or not for this caller, who has these."""
    text = f"The model does not exist, or is not for you; you have {', '.join(models) or 'none here'}."
    return RequestError("model_not_found", text, status=404, param="model")


def _judge_model(fields: dict[str, Any], models: Collection[str]) -> None:
    if not isinstance(fields.get("model"), str):
        raise RequestError("missing_required_parameter", "You must provide a model parameter.", param="model")
    if fields["model"] not in models:
        raise model_not_found(models)


def _above(name: str, limit: float, scale: str) -> RequestError:
    return RequestError(f"{scale}_above_max_value", f"{name} must be at most {limit}.", param=name)
