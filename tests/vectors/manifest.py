"""The vectors as they lie in this folder: a manifest, and every byte string of it once, under its SHA-256."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from client_sdk.conformance.__main__ import STAGES
from client_sdk.conformance.request import Stage

FOLDER = Path(__file__).parent
FORMAT = "vitrine-vectors/1"
BLOB = "blob"


@dataclass(frozen=True, slots=True)
class Vector:
    """One entry of the manifest. A control has no rules and no control."""

    id: str
    stage: str
    what: str
    rules: tuple[str, ...]
    control: str
    exit: int
    alone: bool
    fields: Any

    @property
    def request(self) -> Any:
        """Return the request with its blobs in their places."""
        return filled(self.fields)

    @property
    def data(self) -> bytes:
        """Return what the stage reads from standard input."""
        return json.dumps(self.request).encode()


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        return blob(value[BLOB]) if value.keys() == {BLOB} else {name: filled(item) for name, item in value.items()}
    return [filled(item) for item in value] if isinstance(value, list) else value


@cache
def blob(digest: str) -> str:
    data = (FOLDER / "blobs" / digest).read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest, f"the blob {digest} was changed"
    return base64.b64encode(data).decode()


@cache
def stage(name: str) -> Stage:
    module, function = STAGES[name]
    return getattr(importlib.import_module(f"client_sdk.conformance.{module}"), function)


@cache
def vectors(folder: Path = FOLDER) -> tuple[Vector, ...]:
    """Read the manifest: controls and vectors, in its order."""
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == FORMAT
    found = [
        Vector(
            id=one["id"],
            stage=one["stage"],
            what=one["what"],
            rules=tuple(one.get("rules", ())),
            control=one.get("control", ""),
            exit=one["exit"],
            alone=one.get("alone", False),
            fields=one["request"],
        )
        for one in (*manifest["controls"], *manifest["vectors"])
    ]
    return tuple(found)
