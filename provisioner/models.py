"""``engine_models``, read once: what the inventory says of each model that is served, or every fault of it at once.

It proves that an engine can be told all of it. Whether files and GPUs fit is ``provisioner.image.weights`` and
``provisioner.fit``; whether the engine then loads the model, only a start shows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from client_sdk.evidence import MAX_GPUS
from provisioner.errors import Fault, SpecError

ENGINES = ("llamacpp", "vllm")
TASKS = ("generate", "embed")
DTYPES = ("auto", "bfloat16", "float16", "float32")
POOLINGS = ("cls", "last", "mean")
# Connections that the gateway has at most (serving.gateway.limits): each request that it lets through holds one. It
# lets in twice as many as are worked on, so that there is always one to go on with, and as many as this at least.
GATEWAY_CONNECTIONS, LEAST_REQUESTS = 1024, 64
MAX_SLOTS = GATEWAY_CONNECTIONS // 2
# roles/engine makes an account for each, numbered 820 to 879.
MAX_MODELS = 60
# What follows is named as the release names it that requirements/vllm-gpu.lock pins: with another name vLLM does not
# start.
VLLM_RELEASE = "0.19.1"
# Without those that it refuses as deprecated, that are for a CPU, or that are for a GGUF file.
QUANTISATIONS = (
    *("awq", "awq_marlin", "bitsandbytes", "compressed-tensors", "fp8", "gptq", "gptq_marlin", "inc", "modelopt"),
    *("modelopt_fp4", "modelopt_mixed", "modelopt_mxfp8", "moe_wna16", "mxfp4", "mxfp8", "quark", "torchao"),
)
# The largest rank of a LoRA adapter that it makes room for.
MAX_LORA_RANK = 512
TOOL_PARSERS = (
    *(
        "deepseek_v3",
        "deepseek_v31",
        "deepseek_v32",
        "ernie45",
        "functiongemma",
        "gemma4",
        "gigachat3",
        "glm45",
        "glm47",
    ),
    *("granite", "granite-20b-fc", "granite4", "hermes", "hunyuan_a13b", "internlm", "jamba", "kimi_k2", "llama3_json"),
    *("llama4_json", "llama4_pythonic", "longcat", "minimax", "minimax_m2", "mistral", "olmo3", "openai"),
    *("phi4_mini_json", "pythonic", "qwen3_coder", "qwen3_xml", "seed_oss", "step3", "step3p5", "xlam"),
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NAMED = "1 to 64 lower-case letters, digits, '.', '_' or '-', not one of the last three first"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the inventory asks of one model. What has a default is the engine's (serving.engines.interface)."""

    name: str
    engine: str
    context: int
    slots: int
    task: str = "generate"
    pooling: str = ""
    dtype: str = "auto"
    quantisation: str = ""
    tensor_parallel: int = 1
    gpu_percent: int = 90
    adapters: tuple[str, ...] = ()
    prefix_caching: bool = False
    graphs: bool = True
    async_scheduling: bool = False
    media: int = 0
    tool_parser: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which clients ask for it: an adapter is a model of its own to them."""
        return (self.name, *self.adapters)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What one key may be: exactly this type, and one of these values."""

    kind: type
    expected: str
    allows: Callable[[Any], object]


def _one_of(*words: str, empty: str = "") -> _Rule:
    allowed = (*words, "") if empty else words
    return _Rule(str, ", ".join(words) + empty, lambda value: value in allowed)


def _number(least: int, most: int) -> _Rule:
    return _Rule(int, f"a number from {least} to {most}", lambda value: least <= value <= most)


_FLAG = _Rule(bool, "true or false", lambda _: True)
_RULES: Mapping[str, _Rule] = {
    "name": _Rule(str, _NAMED, _NAME.fullmatch),
    "engine": _one_of(*ENGINES),
    "context": _number(256, 1 << 20),
    "slots": _number(1, MAX_SLOTS),
    "task": _one_of(*TASKS),
    "pooling": _one_of(*POOLINGS, empty=", or nothing for what the model says"),
    "dtype": _one_of(*DTYPES),
    "quantisation": _one_of(*QUANTISATIONS, empty=", or nothing for what the model's own files say"),
    "tensor_parallel": _number(1, MAX_GPUS),
    "gpu_percent": _number(1, 100),
    "adapters": _Rule(list, f"a list of names: {_NAMED}", lambda value: all(map(_is_name, value))),
    "prefix_caching": _FLAG,
    "graphs": _FLAG,
    "async_scheduling": _FLAG,
    "media": _number(0, 64),
    "tool_parser": _one_of(*TOOL_PARSERS, empty=", or nothing where no tools are called"),
}
_NEEDED = ("name", "engine", "context", "slots")
_DEFAULTS = {field.name: field.default for field in fields(ModelSpec) if field.name not in _NEEDED}
_BOTH = {"task", "pooling"}
_OF_CONVERSATIONS = ("tool_parser", "media")


def read_models(told: Any) -> tuple[ModelSpec, ...]:
    """Read ``engine_models``.

    Raises:
        SpecError: it lists every fault.
    """
    if not isinstance(told, list) or not told:
        raise SpecError((Fault("engine_models", "a list of at least one model", repr(told)),))
    faults: list[Fault] = []
    found: list[ModelSpec] = []
    for number, entry in enumerate(told):
        wrong = tuple(_entry(number, entry))
        faults += wrong
        if not wrong:
            found.append(_model(entry))
    faults += [fault for model in found for fault in _contradictions(model)]
    if len(told) > MAX_MODELS:
        faults.append(Fault("engine_models", f"at most {MAX_MODELS} models: each has an account", str(len(told))))
    faults += _together(told, found)
    if faults:
        raise SpecError(tuple(faults))
    return tuple(found)


def _model(entry: Mapping[str, Any]) -> ModelSpec:
    told: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in entry.items()}
    return ModelSpec(**told)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _entry(number: int, entry: Any) -> Iterator[Fault]:
    """Yield what is wrong with one entry's keys, each by itself."""
    where = f"engine_models[{number}]"
    if not isinstance(entry, dict):
        yield Fault(where, "a mapping that says what is served", repr(entry))
        return
    if _is_name(entry.get("name")):
        where = f"engine_models.{entry['name']}"
    if unknown := sorted(map(str, entry.keys() - _RULES.keys())):
        yield Fault(where, f"keys among {', '.join(_RULES)}", ", ".join(unknown))
    for key, rule in _RULES.items():
        if key not in entry:
            if key in _NEEDED:
                yield Fault(f"{where}.{key}", rule.expected, "nothing")
        elif type(entry[key]) is not rule.kind or not rule.allows(entry[key]):
            yield Fault(f"{where}.{key}", rule.expected, repr(entry[key]))


def _contradictions(model: ModelSpec) -> Iterator[Fault]:
    """Yield options that are nothing to this engine, or to a model for this task."""
    said = {key: getattr(model, key) for key, default in _DEFAULTS.items() if getattr(model, key) != default}
    for key, value in said.items():
        where = f"engine_models.{model.name}.{key}"
        if model.engine != "vllm" and key not in _BOTH:
            yield Fault(where, "nothing: it is an option of vLLM's", repr(value))
        elif model.task == "embed" and key in _OF_CONVERSATIONS:
            yield Fault(where, "nothing: a model for embeddings has no conversations", repr(value))
        elif model.task != "embed" and key == "pooling":
            yield Fault(where, "nothing: it is for task: embed", repr(value))


def _together(told: list[Any], found: list[ModelSpec]) -> Iterator[Fault]:
    """Yield what is wrong with the models beside each other."""
    entries = [entry for entry in told if isinstance(entry, dict)]
    names = [entry.get("name") for entry in entries]
    for entry in entries:
        names += entry["adapters"] if isinstance(entry.get("adapters"), list) else []
    twice = sorted(str(name) for name, times in Counter(filter(_is_name, names)).items() if times > 1)
    if twice:
        yield Fault("engine_models", "different names of models and adapters", f"{', '.join(twice)} more than once")
    slots = sum(model.slots for model in found)
    if slots > MAX_SLOTS:
        yield Fault("engine_models", f"slots of at most {MAX_SLOTS} in all: the gateway's connections", str(slots))
    share = sum(model.gpu_percent for model in found if model.engine == "vllm")
    if share > 100:
        yield Fault("engine_models", "gpu_percent of at most 100 in all: models share each GPU", str(share))
