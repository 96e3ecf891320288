"""The vLLM that is tested is the one that ships; names in the rules are its own, for a slip would protect nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.metadata import distributions
from pathlib import Path

import pytest

from serving.engines.vllm_rules import ENVIRONMENT, FLAGS, NEVER_FLAGS, NEVER_VARIABLES
from tests.serving_vllm.versions import release, wanted

VENV = Path(os.environ.get("VITRINE_VLLM", ""))
SCRIPT = """
import json
from vllm.entrypoints.openai.cli_args import make_arg_parser
from vllm.envs import environment_variables
from vllm.utils.argparse_utils import FlexibleArgumentParser
options = [word for action in make_arg_parser(FlexibleArgumentParser())._actions for word in action.option_strings]
print(json.dumps([*options, *environment_variables]))
"""
# Of later releases: what they would turn on is not there.
LATER = {"--trust-request-mm-kwargs", "--enable-per-request-metrics", "VLLM_MEDIA_CACHE"}


@pytest.fixture(scope="module")
def names():
    """Every option and every variable of vLLM's own."""
    command = [VENV / "bin/python", "-P", "-c", SCRIPT]
    done = subprocess.run(command, env={"PATH": "/usr/bin"}, capture_output=True, text=True, check=True, timeout=600)
    return {*json.loads(done.stdout.splitlines()[-1])}


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
