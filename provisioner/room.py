"""The models of a bake beside the GPUs of the machine that it is for: gathered here, judged in ``provisioner.fit``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from provisioner.bake import Bake
from provisioner.clouds.gpus import gpus_of
from provisioner.errors import BakeError, PlanError
from provisioner.fit import Gpus, Wish, check_fit, read_header
from provisioner.image.hub import obtain_files
from provisioner.image.weights import Weights
from provisioner.progress import Progress

_MAX_HEADER = 100 << 20


def require_room(bake: Bake, machine: Mapping[str, Any], *, progress: Progress) -> None:
    """Check every model that wants a GPU; models that are not here yet are fetched for it.

    Raises:
        PlanError: a model does not fit, or the machine has no GPU.
        BakeError: a model's files cannot be had.
    """
    wants = {entry["name"]: entry for entry in bake.models() if entry["engine"] == "vllm"}
    wants = {name: entry for name, entry in wants.items() if not entry.get("cpu_cache_gib")}
    if not wants:
        return
    gpus = gpus_of(machine)
    if gpus is None:
        raise PlanError(f"{', '.join(wants)}: vLLM wants a GPU, and this machine has none")
    share = sum(entry.get("gpu_percent", 90) for entry in wants.values())
    if share > 100:
        raise PlanError(f"{', '.join(wants)}: together they want {share} % of each GPU's memory (gpu_percent)")
    for weights in bake.weights():
        if weights.name in wants:
            files = obtain_files(weights, bake.sources.cache, hub=bake.sources.hub, progress=progress)
            progress(_told(weights, files, wants[weights.name], gpus))


def _told(weights: Weights, files: Mapping[str, Path], entry: Mapping[str, Any], gpus: Gpus) -> str:
    wish = Wish(**{field.name: entry[field.name] for field in fields(Wish) if field.name in entry})
    headers = tuple(_header(path) for name, path in files.items() if name.endswith(".safetensors"))
    if not headers:
        raise PlanError(f"{weights.name}: vLLM loads safetensors, and no file of it is one")
    try:
        config = json.loads(files["config.json"].read_bytes())
    except ValueError as error:
        raise BakeError(f"{weights.name}: config.json is not JSON") from error
    fit = check_fit(wish, config, headers, gpus)
    return (
        f"{wish.name}: {fit.weights / 1e9:.1f} GB of weights on each {gpus.name}, "
        f"room for {fit.conversations} conversation(s) of {wish.context} tokens"
    )


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        start = file.read(8)
        return read_header(start + file.read(min(int.from_bytes(start, "little"), _MAX_HEADER)))
