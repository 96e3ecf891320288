"""The models of a bake beside the GPUs of the machine that it is for: gathered here, judged in ``provisioner.fit``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioner.bake import Bake
from provisioner.clouds.gpus import gpus_of
from provisioner.errors import BakeError, PlanError
from provisioner.fit import MAX_HEADER, Gpus, check_fit, read_header
from provisioner.image.model_files import obtain_files
from provisioner.models import ModelSpec
from provisioner.progress import Progress


def require_room(bake: Bake, machine: Mapping[str, Any], *, progress: Progress) -> None:
    """Check every model that wants a GPU; models that are not here yet are fetched for it.

    Raises:
        SpecError: ``engine_models`` cannot be meant.
        PlanError: a model does not fit, or the machine has no GPU.
        BakeError: a model's files cannot be had.
    """
    wants = {model.name: model for model in bake.models() if model.engine == "vllm"}
    if not wants:
        return
    gpus = gpus_of(machine)
    if gpus is None:
        raise PlanError(f"{', '.join(wants)}: vLLM wants a GPU, and this machine has none")
    for weights in bake.weights():
        if weights.name in wants:
            files = obtain_files(weights, bake.sources.cache, hub=bake.sources.hub, progress=progress)
            progress(_told(wants[weights.name], files, gpus))


def _told(model: ModelSpec, files: Mapping[str, Path], gpus: Gpus) -> str:
    headers = tuple(_header(path) for name, path in files.items() if name.endswith(".safetensors"))
    if not headers:
        raise PlanError(f"{model.name}: vLLM loads safetensors, and no file of it is one")
    try:
        config = json.loads(files["config.json"].read_bytes())
    except ValueError as error:
        raise BakeError(f"{model.name}: config.json is not JSON") from error
    if not isinstance(config, dict):
        raise BakeError(f"{model.name}: config.json is no object")
    fit = check_fit(model, config, headers, gpus)
    return (
        f"{model.name}: {fit.weights / 1e9:.1f} GB of weights on each {gpus.name}, "
        f"room for {fit.conversations} conversation(s) of {model.context} tokens"
    )


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        start = file.read(8)
        return read_header(start + file.read(min(int.from_bytes(start, "little"), MAX_HEADER)))
