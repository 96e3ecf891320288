"""What `make test-serving` runs on, and that what docs/models.md says of models is what is taken."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from provisioner.image.model import model_card
from provisioner.image.packages import shipped_lock
from provisioner.image.weights import read_weights
from serving.engines.interface import Tuning
from serving.engines.models import Places, read_model

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


def test_a_run_without_vllms_environment_collects_nothing_of_it():
    argv = [sys.executable, "-m", "pytest", "-q", "--collect-only", "tests/serving_vllm"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin"})
    assert "no tests collected" in done.stdout


@pytest.mark.parametrize("block", BLOCKS)
def test_documented_models_are_taken(block):
    for entry in block["engine_models"]:
        data = json.dumps(block["engine_models"]).encode()
        engine, settings = read_model(data, entry["name"], Places(Path("/m"), Path("/s")))
        assert (engine, settings.context) == (entry["engine"], entry["context"])
    assert read_weights(block["engine_models"], block.get("engine_weights", []), model_card())


def test_every_option_is_documented_and_an_argument_of_the_role():
    options = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    spec = yaml.safe_load((REPOSITORY / "roles/engine/meta/argument_specs.yml").read_text())
    arguments = spec["argument_specs"]["main"]["options"]["engine_models"]["options"].keys()
    assert options == {*arguments}
    assert {*arguments} == {"name", "engine", "context", "slots", *Tuning.__dataclass_fields__}


def test_the_documented_command_prints_an_entry(tmp_path):
    (line,) = [line for line in PAGE.splitlines() if line.startswith("python -m provisioner.image.entry")]
    (tmp_path / "config.json").write_text("{}")
    argv = [sys.executable, *line.replace("/models/my-model", str(tmp_path)).split()[1:]]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    made = yaml.safe_load(done.stdout)["engine_weights"]
    model = {"name": "my-model", "engine": "vllm", "context": 32768, "slots": 64}
    (found,) = read_weights([model], made, model_card())
    assert found.folder == tmp_path
