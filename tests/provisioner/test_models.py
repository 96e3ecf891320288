"""What an inventory says of models: read as it is meant, or refused with every fault at once."""

from __future__ import annotations

import pytest

from provisioner.errors import SpecError
from provisioner.models import MAX_MODELS, MAX_SLOTS, ModelSpec, read_models
from provisioner.units import engine_units, gateway_words, requests_at_once

PLAIN = {"name": "m", "engine": "llamacpp", "context": 2048, "slots": 1}
VLLM = PLAIN | {"name": "v", "engine": "vllm", "slots": 64}
EVERY = {
    "dtype": "bfloat16",
    "quantisation": "fp8",
    "tensor_parallel": 2,
    "gpu_percent": 45,
    "adapters": ["legal", "it"],
}
EVERY |= {"prefix_caching": True, "graphs": False, "async_scheduling": True, "media": 2, "tool_parser": "hermes"}


def faults(told):
    with pytest.raises(SpecError) as caught:
        read_models(told)
    return {fault.field: f"{fault.expected}, got {fault.got}" for fault in caught.value.faults}


def test_what_is_said_is_taken_and_the_rest_is_the_engines_default():
    plain, every, embed = read_models([PLAIN, VLLM | EVERY, PLAIN | {"name": "e", "task": "embed", "pooling": "last"}])
    assert plain == ModelSpec("m", "llamacpp", 2048, 1)
    assert (every.adapters, every.names) == (("legal", "it"), ("v", "legal", "it"))
    assert {key: getattr(every, key) for key in EVERY} == EVERY | {"adapters": ("legal", "it")}
    assert (embed.task, embed.pooling) == ("embed", "last")


@pytest.mark.parametrize("told", [[], None, "m", {"m": PLAIN}, 7, (PLAIN,)])
def test_what_is_no_list_of_models(told):
    assert faults(told) == {"engine_models": f"a list of at least one model, got {told!r}"}


@pytest.mark.parametrize("entry", ["m", None, ["m"], 5])
def test_an_entry_that_is_no_mapping(entry):
    assert faults([PLAIN, entry]) == {"engine_models[1]": f"a mapping that says what is served, got {entry!r}"}


@pytest.mark.parametrize("key", PLAIN)
def test_a_key_that_is_missing(key):
    told = {name: value for name, value in PLAIN.items() if name != key}
    ((field, said),) = faults([told]).items()
    assert field == (f"engine_models.m.{key}" if key != "name" else "engine_models[0].name")
    assert said.endswith(", got nothing")


WRONG = [
    *(
        ("name", value)
        for value in ("", "Upper", "../m", "a/b", ".hidden", "-m", "m --model x=/y", "m\n", "x" * 65, 5, None)
    ),
    *(("engine", value) for value in ("tgi", "", "vLLM", None, ["vllm"])),
    *(("context", value) for value in (255, 0, -1, (1 << 20) + 1, "2048", 2048.0, True, None)),
    *(("slots", value) for value in (0, -1, MAX_SLOTS + 1, "8", 8.0, True, None)),
    *(("task", value) for value in ("chat", "", "Embed", None, True)),
    *(("pooling", value) for value in ("rank", "LAST", None, 1)),
    *(("dtype", value) for value in ("fp8", "half", "", "bf16", None, 16)),
    *(("quantisation", value) for value in ("--trust-remote-code", "a b", "x" * 65, None, 8)),
    *(("quantisation", value) for value in ("fp9", "FP8", "gptq-marlin", "none", "int8", ["fp8"])),
    *(("quantisation", value) for value in ("fbgemm_fp8", "experts_int8", "cpu_awq", "gguf")),
    *(("tensor_parallel", value) for value in (0, -1, 33, "1", 1.0, True)),
    *(("gpu_percent", value) for value in (0, 101, "90", 90.0, True, None)),
    *(("adapters", value) for value in ("legal", ["a/b"], ["Upper"], [5], [""], {"a": 1}, None)),
    *(("prefix_caching", value) for value in ("true", 1, None)),
    *(("graphs", value) for value in ("no", 0)),
    *(("async_scheduling", value) for value in ("", [])),
    *(("media", value) for value in (-1, 65, "1", True, 1.5)),
    *(("tool_parser", value) for value in ("none", "Hermes", "/tmp/mine.py", None, True)),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_value_that_cannot_be_meant(key, value):
    ((field, said),) = faults([VLLM | {key: value}]).items()
    assert field == (f"engine_models.v.{key}" if key != "name" else "engine_models[0].name")
    assert said.endswith(f", got {value!r}")


def test_a_word_for_quantisation_that_vllm_does_not_know_is_told_beside_those_that_it_knows():
    said = faults([VLLM | {"quantisation": "fp9"}])["engine_models.v.quantisation"]
    assert said.startswith("awq, awq_marlin, bitsandbytes, ")
    assert said.endswith(", torchao, or nothing for what the model's own files say, got 'fp9'")


@pytest.mark.parametrize(
    "key", ["cpu_cache_gib", "trust_remote_code", "tensor-parallel", "quantization", "extra_args", 5]
)
def test_a_key_that_nothing_reads(key):
    assert faults([VLLM | {key: 1}])["engine_models.v"].endswith(f", got {key}")


@pytest.mark.parametrize("key", EVERY)
def test_an_option_of_vllms_is_nothing_to_llamacpp(key):
    assert "an option of vLLM's" in faults([PLAIN | {key: EVERY[key]}])[f"engine_models.m.{key}"]


@pytest.mark.parametrize("option", [{"media": 1}, {"tool_parser": "hermes"}])
def test_what_is_for_conversations_is_nothing_to_a_model_for_embeddings(option):
    (key,) = option
    assert "has no conversations" in faults([VLLM | {"task": "embed"} | option])[f"engine_models.v.{key}"]


def test_pooling_is_nothing_to_a_model_that_generates():
    assert "task: embed" in faults([PLAIN | {"pooling": "mean"}])["engine_models.m.pooling"]


@pytest.mark.parametrize(
    "told",
    [
        [PLAIN, PLAIN],
        [PLAIN, VLLM | {"adapters": ["m"]}],
        [VLLM | {"adapters": ["v"]}],
        [VLLM | {"adapters": ["a", "a"]}],
        [VLLM | {"adapters": ["a"], "gpu_percent": 45}, VLLM | {"name": "w", "adapters": ["a"], "gpu_percent": 45}],
        [PLAIN, PLAIN | {"slots": 0}],
    ],
    ids=["two models", "model, adapter", "its own adapter", "one twice", "adapters of two", "beside another fault"],
)
def test_a_name_that_two_have(told):
    assert "more than once" in faults(told)["engine_models"]


def test_more_slots_than_the_gateway_has_connections_for():
    assert read_models([PLAIN | {"slots": MAX_SLOTS - 64}, VLLM])
    assert faults([PLAIN | {"slots": MAX_SLOTS - 63}, VLLM])["engine_models"].endswith(
        f"connections, got {MAX_SLOTS + 1}"
    )


def test_more_models_than_there_are_accounts_for():
    many = [PLAIN | {"name": f"m{number}"} for number in range(MAX_MODELS)]
    assert len(read_models(many)) == MAX_MODELS
    assert "at most 60 models" in faults([*many, PLAIN])["engine_models"]


def test_more_than_the_whole_memory_of_the_gpus():
    assert read_models([VLLM | {"gpu_percent": 60}, VLLM | {"name": "w", "gpu_percent": 40}])
    assert "gpu_percent of at most 100" in faults([VLLM, VLLM | {"name": "w", "gpu_percent": 11}])["engine_models"]


def test_every_fault_is_told_at_once():
    told = [PLAIN | {"slots": 0, "dtype": "fp8", "typo": 1}, "m", VLLM | {"name": "m", "gpu_percent": "90"}]
    wanted = {"engine_models.m", "engine_models.m.slots", "engine_models.m.dtype", "engine_models[1]"}
    assert {*faults(told)} == wanted | {"engine_models.m.gpu_percent", "engine_models"}


def test_units_and_words_of_the_models():
    models = read_models([PLAIN, VLLM | {"adapters": ["it"], "media": 1, "tool_parser": "hermes"}])
    assert engine_units(models) == dict.fromkeys(
        ("vitrine-engine-llamacpp@m.service", "vitrine-engine-vllm@v.service"), "multi-user.target"
    )
    assert gateway_words(models) == (
        "--model m=llamacpp:2048:/run/vitrine/engine/m/engine.sock "
        "--model v=vllm,media,tools:2048:/run/vitrine/engine/v/engine.sock "
        "--model it=vllm,media,tools:2048:/run/vitrine/engine/v/engine.sock --requests 130"
    )
    assert "e=llamacpp,embed:2048:" in gateway_words(read_models([PLAIN | {"name": "e", "task": "embed"}]))


@pytest.mark.parametrize(("slots", "requests"), [(1, 64), (32, 64), (33, 66), (MAX_SLOTS, 2 * MAX_SLOTS)])
def test_twice_as_many_are_let_in_as_are_worked_on_and_a_few_at_least(slots, requests):
    assert requests_at_once(read_models([PLAIN | {"slots": slots}])) == requests
