"""What an adapter says of itself: served as it is meant, or refused before an image is made that never gets ready."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from provisioner.errors import BakeError, SpecError
from provisioner.image import adapters as module
from provisioner.image.adapters import MAX_CONFIG, require_adapters
from provisioner.image.model import model_card
from provisioner.image.model_files import obtain_files
from provisioner.image.sources import Sources
from provisioner.image.weights import adapter_config, read_weights
from provisioner.models import MAX_LORA_RANK, read_models

GOOD = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], "bias": "none"}
GOOD |= {"modules_to_save": None, "use_dora": False, "rank_pattern": {}, "alpha_pattern": {}, "use_rslora": True}
LEAST = {key: GOOD[key] for key in ("r", "lora_alpha", "target_modules")}
LEGAL = adapter_config("legal")


@pytest.fixture
def judged(tmp_path):
    """Judge a model in a folder with these adapters, each by the bytes or the value of its configuration."""

    def judge(**adapters):
        folder = tmp_path / "own"
        for name, told in adapters.items():
            path = folder / adapter_config(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(told if isinstance(told, bytes) else json.dumps(told).encode())
            path.with_name("adapter_model.safetensors").write_bytes(b"tensors")
        (folder / "config.json").write_bytes(b"{}")
        require(folder, adapters, tmp_path / "cache")

    return judge


def require(folder, served, cache):
    """Judge what is served of the files that lie in a folder."""
    models = read_models([{"name": "own", "engine": "vllm", "context": 2048, "slots": 1, "adapters": [*served]}])
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    files = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
    entry = {"name": "own", "repository": "owner/own", "revision": "1", "folder": str(folder), "files": files}
    require_adapters(models, read_weights(models, [entry], model_card()), Sources(cache), progress=lambda _: None)


def faults(judged, **adapters):
    with pytest.raises(SpecError) as caught:
        judged(**adapters)
    return {fault.field: (fault.expected, fault.got) for fault in caught.value.faults}


@pytest.mark.parametrize(
    "told",
    [
        *(GOOD, LEAST, GOOD | {"r": 1}, GOOD | {"r": 17}, GOOD | {"r": MAX_LORA_RANK}, GOOD | {"lora_alpha": 0.5}),
        *(GOOD | {"target_modules": value} for value in ("all-linear", None, [])),
        *(GOOD | {"modules_to_save": []}, GOOD | {"target_parameters": ["w"], "r": 300}),
    ],
)
def test_what_vllm_serves_is_taken(judged, told):
    judged(legal=told)


WRONG = [
    *(("r", value, "a rank from 1 to 512") for value in (0, -8, MAX_LORA_RANK + 1, 8.0, "8", True, None, [8])),
    *(("lora_alpha", value, "a number") for value in ("16", None, True, [])),
    *(("target_modules", value, "the modules that it changes") for value in (False, 5, {})),
    *(("bias", value, "none") for value in ("all", "lora_only", None, False)),
    *(("modules_to_save", value, "nothing") for value in (["lm_head"], "lm_head")),
    *(("use_dora", value, "false") for value in (True, 1)),
    ("lora_bias", True, "false"),
    ("trainable_token_indices", [5], "nothing"),
    ("alora_invocation_tokens", [1, 2], "nothing"),
    ("use_qalora", True, "false"),
    ("layer_replication", [[0, 4], [2, 5]], "nothing"),
    ("rank_pattern", {"q_proj": 32}, "nothing"),
    ("alpha_pattern", {"q_proj": 32}, "nothing"),
]


@pytest.mark.parametrize(("key", "value", "expected"), WRONG)
def test_an_adapter_that_vllm_would_not_start_with_or_would_apply_wrongly(judged, key, value, expected):
    ((field, said),) = faults(judged, legal=GOOD | {key: value}).items()
    assert field == f"own: {LEGAL}.{key}"
    assert said == (
        f"{expected} (vLLM 0.19.1 serves no other): make the adapter so, or leave it out of engine_models",
        repr(value),
    )


@pytest.mark.parametrize("key", LEAST)
def test_a_key_that_vllm_does_not_start_without(judged, key):
    ((field, (_, got)),) = faults(judged, legal={name: value for name, value in GOOD.items() if name != key}).items()
    assert (field, got) == (f"own: {LEGAL}.{key}", "nothing")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"8", b"\xff\xfe", b"[" * 200_000, b'{"r": 8' + b"0" * 5000 + b"}"]
)
def test_a_configuration_that_is_no_object_of_json(judged, data):
    ((field, (expected, got)),) = faults(judged, legal=data).items()
    assert (field, len(got) < 60) == (f"own: {LEGAL}", True)
    assert expected.startswith("a JSON object, as PEFT writes it")


def test_a_value_without_an_end_is_not_told_in_full(judged):
    ((_, (_, got)),) = faults(judged, legal=GOOD | {"r": "8" * 100_000}).items()
    assert len(got) < 60


def test_a_configuration_without_an_end_is_not_read(judged):
    room = MAX_CONFIG - len(json.dumps(GOOD))
    judged(legal=json.dumps(GOOD).encode() + b" " * room)
    with pytest.raises(BakeError, match=f"more than {MAX_CONFIG} bytes"):
        judged(legal=json.dumps(GOOD).encode() + b" " * (room + 1))


def test_every_fault_of_every_adapter_is_told_at_once(judged):
    found = faults(judged, legal=GOOD | {"r": 0, "use_dora": True}, it=b"", fine=GOOD)
    it = adapter_config("it")
    assert {*found} == {f"own: {LEGAL}.r", f"own: {LEGAL}.use_dora", f"own: {it}"}


def test_an_adapter_that_is_not_served_is_not_judged(judged, tmp_path):
    judged(legal=GOOD, other=GOOD)
    (tmp_path / "own" / adapter_config("other")).write_bytes(b"")
    require(tmp_path / "own", ["legal"], tmp_path / "cache")
    with pytest.raises(SpecError, match="own: adapters/other"):
        require(tmp_path / "own", ["legal", "other"], tmp_path / "cache")


@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, lambda _: None], ids=["a folder", "a pipe", "nothing"])
def test_what_is_no_regular_file_is_refused_unread(judged, tmp_path, monkeypatch, put):
    judged(legal=GOOD)
    path = tmp_path / "own" / LEGAL

    def meanwhile(*arguments, **named):
        path.unlink()
        put(path)
        return obtain_files(*arguments, **named)

    monkeypatch.setattr(module, "obtain_files", meanwhile)
    with pytest.raises(BakeError, match=f"own: {LEGAL}: there is no file"):
        require(tmp_path / "own", ["legal"], tmp_path / "cache")


def test_a_configuration_that_is_another_than_the_inventory_says_is_refused(judged, tmp_path, monkeypatch):
    judged(legal=GOOD)

    def meanwhile(*arguments, **named):
        (tmp_path / "own" / LEGAL).write_text(json.dumps(LEAST))
        return obtain_files(*arguments, **named)

    monkeypatch.setattr(module, "obtain_files", meanwhile)
    with pytest.raises(BakeError, match=f"own: {LEGAL}: the inventory says sha256"):
        require(tmp_path / "own", ["legal"], tmp_path / "cache")
