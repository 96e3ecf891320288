"""The vLLM that is tested is the one that ships; names in the rules are its own, for a slip would protect nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.metadata import distributions
from pathlib import Path

import pytest

from provisioner.models import QUANTISATIONS, TOOL_PARSERS
from serving.engines.vllm_adapters import RANKS
from serving.engines.vllm_rules import ENVIRONMENT, FLAGS, NEVER_FLAGS, NEVER_VARIABLES
from tests.serving_vllm.versions import release, wanted

VENV = Path(os.environ.get("VITRINE_VLLM", ""))
SCRIPT = """
import json
from typing import get_args
from vllm.config.lora import LoRAConfig, MaxLoRARanks
from vllm.entrypoints.openai.cli_args import make_arg_parser
from vllm.envs import environment_variables
from vllm.model_executor.layers.quantization import DEPRECATED_QUANTIZATION_METHODS, QUANTIZATION_METHODS
from vllm.tool_parsers import ToolParserManager
from vllm.utils.argparse_utils import FlexibleArgumentParser
options = [word for action in make_arg_parser(FlexibleArgumentParser())._actions for word in action.option_strings]
print(json.dumps({
    "names": [*options, *environment_variables],
    "quantisations": QUANTIZATION_METHODS,
    "deprecated": DEPRECATED_QUANTIZATION_METHODS,
    "parsers": ToolParserManager.list_registered(),
    "ranks": get_args(MaxLoRARanks),
    "rank": LoRAConfig().max_lora_rank,
}))
"""
# Of later releases: what they would turn on is not there.
LATER = {"--trust-request-mm-kwargs", "--enable-per-request-metrics", "VLLM_MEDIA_CACHE"}
# Kernels of a CPU, which no image has, and the one for a GGUF file, where images have safetensors.
ELSEWHERE = {"cpu_awq", "gguf"}


@pytest.fixture(scope="module")
def known():
    """What vLLM says of itself, by what it is."""
    command = [VENV / "bin/python", "-P", "-c", SCRIPT]
    done = subprocess.run(command, env={"PATH": "/usr/bin"}, capture_output=True, text=True, check=True, timeout=600)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def names(known):
    """Every option and every variable of vLLM's own."""
    return {*known["names"]}


def test_the_environment_holds_what_ships():
    (packages,) = VENV.glob("lib/python3.*/site-packages")
    found = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in distributions(path=[str(packages)])}
    assert {name: found.get(name) for name in wanted()} == wanted()


def test_a_flag_is_passed_to_a_release_that_knows_it_and_to_no_other(names):
    assert {rule.words[0] for rule in FLAGS if rule.since <= release()} == {rule.words[0] for rule in FLAGS} & names


def test_what_is_never_told_is_what_this_release_could_be_told(names):
    told = {rule.words[0] for rule in (*NEVER_FLAGS, *NEVER_VARIABLES)}
    assert told - names == LATER


def test_a_variable_that_is_set_is_one_that_is_read(names):
    assert {name for name in ENVIRONMENT if name.startswith("VLLM_")} <= names


def test_a_quantisation_that_an_inventory_may_say_is_one_that_it_starts_with_on_a_gpu(known):
    assert {*QUANTISATIONS} == {*known["quantisations"]} - {*known["deprecated"]} - ELSEWHERE
    assert {*known["quantisations"]} >= ELSEWHERE


def test_a_tool_parser_that_an_inventory_may_say_is_one_that_it_has(known):
    assert {*TOOL_PARSERS} == {*known["parsers"]}


def test_room_is_made_for_the_ranks_of_adapters_that_it_may_be_told(known):
    assert known["ranks"] == [*RANKS]
    assert known["rank"] < RANKS[-1], "it has to be told: by itself it has room for less"
