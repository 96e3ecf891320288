"""Seeds from real evidence: the folder that ``VITRINE_EVIDENCE`` names, read when a harness starts, never committed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

MAX_SEED = 64 * 1024


def real_inputs() -> dict[str, set[bytes]]:
    """Return the inputs of real cases by family and role, for example ``tdx quote``; nothing without a folder."""
    folder = os.environ.get("VITRINE_EVIDENCE", "")
    found: dict[str, set[bytes]] = {}
    if folder:
        for case in json.loads((Path(folder) / "CASES.json").read_text()):
            for role, told in case["inputs"].items():
                kept = found.setdefault(f"{case['family']} {role}", set())
                kept.update(data for data in _files(Path(folder), told) if len(data) <= MAX_SEED)
    return found


def _files(folder: Path, told: object) -> Iterator[bytes]:
    """Yield the files that a case names: one, or a list."""
    for path in told if isinstance(told, list) else [told]:
        if isinstance(path, str) and (folder / path).is_file():
            yield (folder / path).read_bytes()
