"""Whether a model fits a machine's GPUs: arithmetic over what its own files say, before anything is made or rented.

It proves no more than that weights and the cache of one whole conversation have room beside an allowance; what the
engine needs besides depends on its version, and only a start shows it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.errors import PlanError

_GIB = 1 << 30
# CUDA's context, activations of one step, graphs. An allowance, not a measurement.
ALLOWANCE = 4 * _GIB
_MAX_HEADER = 100 << 20
# https://github.com/huggingface/safetensors, "Format": bytes of one element.
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_BYTES |= {"F8_E4M3": 1, "F8_E5M2": 1, "U64": 8, "U32": 4, "U16": 2}
_FLOATS = {"F64", "F32", "F16", "BF16"}
_DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2, "half": 2, "float": 4}


@dataclass(frozen=True, slots=True)
class Gpus:
    """What a kind of machine has: how many GPUs, of which name, each with so many bytes."""

    count: int
    name: str
    memory: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What the inventory asks of one model."""

    name: str
    context: int
    dtype: str = "auto"
    tensor_parallel: int = 1
    gpu_percent: int = 90


@dataclass(frozen=True, slots=True)
class Fit:
    """Bytes on each GPU: the weights, one conversation's cache, and how many whole conversations fit at once."""

    weights: int
    conversation: int
    conversations: int


def weight_bytes(header: Mapping[str, Any], dtype: str) -> int:
    """Sum up the tensors of one safetensors header, floating ones in the type that they are loaded as.

    Raises:
        PlanError: it is no such header.
    """
    total = 0
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        try:
            kind, elements = tensor["dtype"], math.prod(int(side) for side in tensor["shape"])
            size = _BYTES[kind]
        except (KeyError, TypeError, ValueError) as error:
            raise PlanError(f"the tensor {name} is not described as safetensors have it") from error
        if kind in _FLOATS and dtype != "auto":
            size = _DTYPES[dtype]
        total += elements * size
    return total


def read_header(data: bytes) -> dict[str, Any]:
    """Read the header at the beginning of a safetensors file: eight bytes of length, then JSON.

    Raises:
        PlanError: it is none, or longer than what is given.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(_MAX_HEADER, len(data) - 8):
        raise PlanError("this is no safetensors file: its header has no sensible length")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError as error:
        raise PlanError("this is no safetensors file: its header is not JSON") from error
    if not isinstance(header, dict):
        raise PlanError("this is no safetensors file: its header is no object")
    return header


def cache_bytes(config: Mapping[str, Any], dtype: str, tensor_parallel: int) -> int:
    """Say what one token of a conversation takes in the cache of each GPU.

    Raises:
        PlanError: the configuration lacks what this needs.
    """
    text = config.get("text_config", config)
    width = _DTYPES.get(_stored(config, text) if dtype == "auto" else dtype, 2)
    try:
        layers = text["num_hidden_layers"]
        if "kv_lora_rank" in text:  # multi-head latent attention: one compressed row for all heads, on every GPU
            return int(layers * (text["kv_lora_rank"] + text["qk_rope_head_dim"]) * width)
        heads = text.get("num_key_value_heads") or text["num_attention_heads"]
        head = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
        return int(2 * layers * max(1, math.ceil(heads / tensor_parallel)) * head * width)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise PlanError(f"config.json lacks what the size of the cache follows from: {error}") from error


def check_fit(wish: Wish, config: Mapping[str, Any], headers: tuple[Mapping[str, Any], ...], gpus: Gpus) -> Fit:
    """Check that the model runs on these GPUs with one whole conversation in its cache.

    Raises:
        PlanError: it does not; the message says what it needs, what there is, and what may be changed.
    """
    if wish.tensor_parallel > gpus.count:
        raise PlanError(f"{wish.name}: tensor_parallel is {wish.tensor_parallel}, the machine has {gpus.count} GPU(s)")
    limit = config.get("text_config", config).get("max_position_embeddings")
    if isinstance(limit, int) and wish.context > limit:
        raise PlanError(f"{wish.name}: context is {wish.context}, the model was made for at most {limit}")
    weights = math.ceil(sum(weight_bytes(header, wish.dtype) for header in headers) / wish.tensor_parallel)
    conversation = cache_bytes(config, wish.dtype, wish.tensor_parallel) * wish.context
    allowed = gpus.memory * wish.gpu_percent // 100
    left = allowed - weights - ALLOWANCE
    if left < conversation:
        raise PlanError(
            f"{wish.name} does not fit {gpus.count} x {gpus.name}: each GPU needs {_gib(weights)} for weights, "
            f"{_gib(conversation)} for one conversation of {wish.context} tokens and {_gib(ALLOWANCE)} besides; "
            f"{wish.gpu_percent} % of its memory is {_gib(allowed)}. Smaller: context, quantised weights, another "
            "model; larger: gpu_percent, the machine"
        )
    return Fit(weights, conversation, left // conversation)


def _stored(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    for place in (config, text):
        for key in ("dtype", "torch_dtype"):
            if isinstance(place.get(key), str):
                return str(place[key])
    return "bfloat16"


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
