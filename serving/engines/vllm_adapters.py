"""For which rank vLLM makes room: the least that it allows and that every adapter of the model has room in.

The rank stands in each adapter's own configuration, beside its tensors on the verified disk of models. The bake has
refused those that vLLM cannot serve (provisioner.image.adapters), so that here nothing else is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from serving.errors import EngineError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What ``--max-lora-rank`` of 0.19.1 may be; without it, it is 16, and an adapter of more is not loaded."""
MAX_CONFIG = 1 << 20


def room(folders: Iterable[Path]) -> int:
    """Return the rank to make room for; ``folders`` are those of the adapters.

    Raises:
        EngineError: an adapter does not say its rank, or has one that vLLM makes no room for.
    """
    largest = max(map(_rank, folders), default=0)
    enough = [rank for rank in RANKS if rank >= largest]
    if not enough:
        raise EngineError(f"an adapter has rank {largest}, vLLM has room for at most {RANKS[-1]}: bake without it")
    return enough[0]


def _rank(folder: Path) -> int:
    try:
        with (folder / "adapter_config.json").open("rb") as file:
            rank = json.loads(file.read(MAX_CONFIG))["r"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise EngineError(f"the adapter {folder.name} does not say its rank: bake with one that does") from error
    if type(rank) is not int or rank < 1:
        raise EngineError(f"the adapter {folder.name} has no rank of 1 or more: bake with one that has")
    return rank
