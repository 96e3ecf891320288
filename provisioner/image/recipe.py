"""What an image was asked to be, besides its sources: the mode of the bake, and every role's variable that was set.

It lies beside the manifest as recipe.json. Nothing signs it and nothing has to: it is part of the bake's key, which the
bill of materials names, and that is named by the manifest. Whoever bakes another recipe gets another image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from client_sdk.encoding import canonical_json
from provisioner.errors import BakeError
from provisioner.image.packages import read_json

RECIPE = "recipe.json"
VERSION = 1
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """The mode, and the variables as JSON texts by name, without places on the machine that baked it."""

    mode: str
    values: Mapping[str, str]

    def to_json(self) -> bytes:
        """Serialise."""
        return canonical_json({"version": VERSION, "mode": self.mode, "values": dict(self.values)}) + b"\n"

    def variables(self) -> dict[str, Any]:
        """Return the variables as values."""
        return {name: json.loads(value) for name, value in self.values.items()}


def parse_recipe(data: bytes) -> Recipe:
    """Read a recipe.

    Raises:
        BakeError: it is malformed.
    """
    if len(data) > _LIMIT:
        raise BakeError(f"{RECIPE}: larger than {_LIMIT} bytes")
    told = read_json(data, RECIPE)
    if not isinstance(told, dict) or set(told) != {"version", "mode", "values"} or told["version"] != VERSION:
        raise BakeError(f"{RECIPE}: expected version {VERSION}, a mode and values")
    mode, values = told["mode"], told["values"]
    if not isinstance(mode, str) or not isinstance(values, dict):
        raise BakeError(f"{RECIPE}: expected a mode, and values by name")
    for name, value in values.items():
        if not isinstance(value, str) or not name.isidentifier():
            raise BakeError(f"{RECIPE}: {name!r} is no variable with a JSON text")
        read_json(value.encode(), f"{RECIPE}: {name}")
    return Recipe(mode, values)
