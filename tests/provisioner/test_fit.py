"""Does it fit: known models against known GPUs, and files that say nothing sensible."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from provisioner.clouds.gpus import gpus_of
from provisioner.errors import BakeError, PlanError
from provisioner.fit import ALLOWANCE, Gpus, Wish, cache_bytes, check_fit, read_header, weight_bytes
from provisioner.image.weights import Weights
from provisioner.room import require_room

GIB = 1 << 30
H100 = Gpus(1, "H100", 81559 << 20)
# Published configurations: https://huggingface.co/meta-llama/Llama-3.1-8B, and the same of 70B.
LLAMA_8B = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
LLAMA_70B = LLAMA_8B | {"hidden_size": 8192, "num_attention_heads": 64, "num_hidden_layers": 80}
GCP = {"cloud": "gcp", "machine_type": "a3-highgpu-1g"}


def header(parameters, dtype="BF16"):
    return {"__metadata__": {"format": "pt"}, "w": {"dtype": dtype, "shape": [parameters], "data_offsets": [0, 0]}}


def test_a_model_of_8b_fits_an_h100_with_its_whole_context():
    fit = check_fit(Wish("m", 131072), LLAMA_8B, (header(8_030_000_000),), H100)
    assert fit.weights == 16_060_000_000
    assert fit.conversation == 131072 * 2 * 32 * 8 * 128 * 2 == 16 * GIB
    assert fit.conversations == 3


def test_a_model_of_70b_does_not_and_the_error_says_what_it_needs():
    with pytest.raises(PlanError) as caught:
        check_fit(Wish("big", 8192), LLAMA_70B, (header(35_000_000_000), header(35_600_000_000)), H100)
    said = str(caught.value)
    assert "big does not fit 1 x H100: each GPU needs 131.5 GiB for weights, 2.5 GiB for one conversation" in said
    assert "90 % of its memory is 71.7 GiB" in said


def test_quantised_weights_count_as_they_are_stored():
    assert weight_bytes(header(10, "F8_E4M3"), "float16") == 10
    assert weight_bytes(header(10, "F32"), "float16") == 20
    assert weight_bytes(header(10, "F32"), "auto") == 40
    assert weight_bytes(header(0, "I32"), "auto") == 0


def test_one_byte_less_and_it_does_not_fit():
    need = 1000 * 2 + ALLOWANCE + cache_bytes(LLAMA_8B, "auto", 1) * 512
    wish = Wish("m", 512, gpu_percent=100)
    assert check_fit(wish, LLAMA_8B, (header(1000),), Gpus(1, "x", need)).conversations == 1
    with pytest.raises(PlanError, match="does not fit"):
        check_fit(wish, LLAMA_8B, (header(1000),), Gpus(1, "x", need - 1))


def test_several_gpus_share_weights_and_heads():
    one, eight, sixteen = (cache_bytes(LLAMA_8B, "auto", n) for n in (1, 8, 16))
    assert (one // 8, one // 8) == (eight, sixteen), "a head is not divided"
    two = replace(H100, count=2)
    assert check_fit(Wish("m", 8192, tensor_parallel=2), LLAMA_70B, (header(70_600_000_000),), two).conversations > 0
    with pytest.raises(PlanError, match=r"tensor_parallel is 2, the machine has 1 GPU"):
        check_fit(Wish("m", 8192, tensor_parallel=2), LLAMA_8B, (header(1),), H100)


def test_other_shapes_of_configuration():
    bare = {key: value for key, value in LLAMA_8B.items() if key != "num_key_value_heads"}
    assert cache_bytes(bare, "auto", 1) == 4 * cache_bytes(LLAMA_8B, "auto", 1)
    assert cache_bytes({"text_config": LLAMA_8B}, "float32", 1) == 2 * cache_bytes(LLAMA_8B, "auto", 1)
    assert cache_bytes(LLAMA_8B | {"head_dim": 64}, "auto", 1) == cache_bytes(LLAMA_8B, "auto", 1) // 2
    latent = {"num_hidden_layers": 61, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "dtype": "bfloat16"}
    assert cache_bytes(latent, "auto", 8) == 61 * 576 * 2


@pytest.mark.parametrize("config", [{}, {"num_hidden_layers": 2}, LLAMA_8B | {"num_hidden_layers": None}])
def test_a_configuration_without_what_is_needed_is_refused(config):
    with pytest.raises(PlanError, match=r"config\.json lacks"):
        cache_bytes(config, "auto", 1)


def test_more_context_than_the_model_was_made_for_is_refused():
    with pytest.raises(PlanError, match="made for at most 131072"):
        check_fit(Wish("m", 131073), LLAMA_8B, (header(1),), H100)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(8),
        b"\xff" * 16,
        *(n.to_bytes(8, "little") + text for n, text in ((100, b"{}"), (2, b"[]"), (2, b"{x"))),
    ],
)
def test_a_file_that_is_no_safetensors_is_refused(data):
    with pytest.raises(PlanError, match="no safetensors file"):
        read_header(data)


@pytest.mark.parametrize("tensor", [{}, {"dtype": "F4", "shape": [1]}, {"dtype": "F16", "shape": ["x"]}, 7])
def test_a_tensor_that_is_not_described_is_refused(tensor):
    with pytest.raises(PlanError, match="the tensor w is not described"):
        weight_bytes({"w": tensor}, "auto")


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (GCP, "H100 (80 GB)"),
        ({"cloud": "azure", "size": "Standard_NCC40ads_H100_v5"}, "H100 NVL (94 GB)"),
        ({"cloud": "gcp", "machine_type": "c3-standard-4"}, None),
        ({"cloud": "azure", "size": "Standard_DC4as_v5"}, None),
        ({"cloud": "qemu"}, None),
        ({"cloud": "gcp", "machine_type": "no-such-type"}, None),
    ],
)
def test_the_gpus_of_a_machine(machine, name):
    found = gpus_of(machine)
    assert (found.name if found else None) == name


def stored(folder, config=LLAMA_8B, tensors=None):
    """A bake of one model whose files lie in a folder."""
    data = json.dumps(tensors or header(1000)).encode()
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    (folder / "model.safetensors").write_bytes(len(data).to_bytes(8, "little") + data + bytes(2000))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    weights = Weights("m", "vllm", "a/m", "1", tuple(files.items()), "folder", folder)
    entry = {"name": "m", "engine": "vllm", "context": 8192, "slots": 4}
    return SimpleNamespace(
        entry=entry, models=lambda: (entry,), weights=lambda: (weights,), sources=SimpleNamespace(cache=None, hub="")
    )


def test_a_bake_for_a_machine_says_what_has_room(tmp_path):
    said = []
    require_room(stored(tmp_path), GCP, progress=said.append)
    assert said == ["m: 0.0 GB of weights on each H100 (80 GB), room for 67 conversation(s) of 8192 tokens"]


def test_models_without_a_gpu_are_not_asked(tmp_path):
    bake = stored(tmp_path)
    bake.entry["cpu_cache_gib"] = 1
    require_room(bake, {"cloud": "qemu"}, progress=lambda _: None)
    bake.entry.update(cpu_cache_gib=0, engine="llamacpp")
    require_room(bake, {"cloud": "qemu"}, progress=lambda _: None)


@pytest.mark.parametrize(
    ("change", "machine", "said"),
    [
        ({}, {"cloud": "qemu"}, "vLLM wants a GPU, and this machine has none"),
        ({"gpu_percent": 101}, GCP, "together they want 101 %"),
        ({"gpu_percent": 5}, GCP, "does not fit"),
        ({"tensor_parallel": 2}, GCP, "tensor_parallel is 2"),
        ({"context": 200000}, GCP, "made for at most"),
    ],
)
def test_a_model_that_has_no_room_is_refused(tmp_path, change, machine, said):
    bake = stored(tmp_path)
    bake.entry.update(change)
    with pytest.raises(PlanError, match=said):
        require_room(bake, machine, progress=lambda _: None)


def test_files_that_are_not_what_they_are_called_are_refused(tmp_path):
    with pytest.raises(BakeError, match=r"config\.json is not JSON"):
        require_room(stored(tmp_path, config="{"), GCP, progress=lambda _: None)
    bake = stored(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "model.bin")
    weights = replace(bake.weights()[0], files=(("config.json", dict(bake.weights()[0].files)["config.json"]),))
    bake.weights = lambda: (weights,)
    with pytest.raises(PlanError, match="no file of it is one"):
        require_room(bake, GCP, progress=lambda _: None)
