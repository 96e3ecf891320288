"""LoRA adapters as vLLM serves them: what each one's own configuration says, read before anything is made of it.

A sealed VM whose engine does not take an adapter shows nothing but that it is not ready. Whether the tensors are what
the configuration says, and of this model, only a start shows.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from provisioner.errors import Fault, SpecError
from provisioner.image.files import read_limited
from provisioner.image.model_files import obtain_files
from provisioner.image.sources import Sources
from provisioner.image.weights import Weights, adapter_config
from provisioner.models import MAX_LORA_RANK, VLLM_RELEASE, ModelSpec
from provisioner.progress import Progress

# As the engine has it (serving.engines.vllm_adapters), which reads it again.
MAX_CONFIG = 1 << 20
_ADVICE = f" (vLLM {VLLM_RELEASE} serves no other): make the adapter so, or leave it out of engine_models"


@dataclass(frozen=True, slots=True)
class _Rule:
    """What one key may be; ``silence`` is what it means when it is not there."""

    expected: str
    allows: Callable[[Any], object]
    silence: Any = None


# When it starts, vLLM refuses what breaks one of the first six (vllm/lora/peft_helper.py), and the tensors that two
# more come with (vllm/lora/utils.py). The others it does not know, and would serve the adapter as if they were nothing.
_RULES: Mapping[str, _Rule] = {
    "r": _Rule(f"a rank from 1 to {MAX_LORA_RANK}", lambda value: type(value) is int and 1 <= value <= MAX_LORA_RANK),
    "lora_alpha": _Rule("a number", lambda value: type(value) in (int, float)),
    # It wants the key alone; PEFT writes null where an adapter is of single parameters.
    "target_modules": _Rule(
        "the modules that it changes", lambda value: value is None or isinstance(value, list | str), silence=False
    ),
    "bias": _Rule("none", lambda value: value == "none", silence="none"),
    "modules_to_save": _Rule("nothing", lambda value: not value),
    "use_dora": _Rule("false", lambda value: not value, silence=False),
    "lora_bias": _Rule("false", lambda value: not value, silence=False),
    "trainable_token_indices": _Rule("nothing", lambda value: not value),
    "alora_invocation_tokens": _Rule("nothing", lambda value: not value),
    "use_qalora": _Rule("false", lambda value: not value, silence=False),
    "layer_replication": _Rule("nothing", lambda value: not value),
    "rank_pattern": _Rule("nothing", lambda value: not value),
    "alpha_pattern": _Rule("nothing", lambda value: not value),
}


def require_adapters(
    models: tuple[ModelSpec, ...], weights: tuple[Weights, ...], sources: Sources, *, progress: Progress
) -> None:
    """Check every adapter that is served; of a model on the hub, these small files alone are fetched for it.

    Raises:
        SpecError: vLLM would not serve one; it lists every fault.
        BakeError: a file cannot be had, is another than the inventory says, or is larger than such a file ever is.
    """
    served = {model.name: tuple(map(adapter_config, model.adapters)) for model in models}
    faults: list[Fault] = []
    for model in weights:
        configs = served[model.name]
        small = replace(model, files=tuple(file for file in model.files if file[0] in configs))
        for path, file in obtain_files(small, sources.cache, hub=sources.hub, progress=progress).items():
            faults += _faults(f"{model.name}: {path}", read_limited(file, MAX_CONFIG))
    if faults:
        raise SpecError(tuple(faults))


def _faults(where: str, data: bytes) -> Iterator[Fault]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        yield Fault(where, f"a JSON object, as PEFT writes it{_ADVICE}", reprlib.repr(data))
        return
    for key, rule in _RULES.items():
        value = told.get(key, rule.silence)
        if not rule.allows(value):
            yield Fault(
                f"{where}.{key}", f"{rule.expected}{_ADVICE}", reprlib.repr(value) if key in told else "nothing"
            )
