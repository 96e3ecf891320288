"""The list of models that this VM serves, as the image holds it: JSON, written by the role, read by each engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from serving.engines.interface import NAMES, Settings, Tuning
from serving.errors import EngineError

_OWN = {"name": str, "engine": str, "context": int, "slots": int}
_TUNING = {option.name: type(option.default) for option in fields(Tuning)}


@dataclass(frozen=True, slots=True)
class Places:
    """Where the models' folders and the engines' sockets are."""

    models: Path
    sockets: Path


def read_model(data: bytes, name: str, places: Places) -> tuple[str, Settings]:
    """Return which engine serves the model of that name, and what it is told.

    Raises:
        EngineError: the list is malformed, or the model is not in it.
    """
    try:
        entries = [entry for entry in json.loads(data) if entry["name"] == name]
    except (ValueError, TypeError, KeyError):
        raise EngineError("the list of models is malformed") from None
    if len(entries) != 1:
        raise EngineError(f"the list of models names {name} {len(entries)} times")
    told: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entries[0].items()
    }
    own: dict[str, Any] = {key: told.pop(key, None) for key in _OWN}
    _require(own, _OWN)
    _require(told, _TUNING)
    if own["engine"] not in NAMES:
        raise EngineError(f"there is no engine {own['engine']}")
    settings = Settings(
        model=places.models / name,
        name=name,
        socket=places.sockets / f"{name}.sock",
        context=own["context"],
        slots=own["slots"],
        tuning=Tuning(**told),
    )
    return own["engine"], settings


def _require(told: dict[str, Any], kinds: dict[str, type]) -> None:
    wrong = sorted(key for key, value in told.items() if type(value) is not kinds.get(key))
    if wrong:
        raise EngineError(f"the list of models has an unknown or malformed {', '.join(wrong)}")
