"""Preflights that compare one role's variable with another's, run as the playbook would."""

from __future__ import annotations

import pytest
import yaml

MODEL = {"name": "m", "engine": "llamacpp", "context": 2048, "slots": 1}
FITTING = {"egress_firewall_port": 8443, "engine_models": [MODEL]}


@pytest.mark.parametrize(
    ("told", "accepted"),
    [
        (FITTING, True),
        (FITTING | {"egress_firewall_port": 9443}, False),
        (FITTING | {"engine_models": []}, False),
        ({"engine_models": [MODEL]}, False),
        ({"egress_firewall_port": 8443}, False),
    ],
    ids=["the control", "another port", "no model", "no firewall", "no engine"],
)
def test_a_gateway_that_does_not_fit_its_neighbours_is_refused(play, tmp_path, told, accepted):
    done = preflight(play, tmp_path, "gateway", told)
    assert (done.returncode == 0) is accepted, done.stdout
    assert accepted or "gateway_p" in done.stdout or "engine_model" in done.stdout


@pytest.mark.parametrize(
    ("models", "accepted"),
    [
        ([MODEL, MODEL | {"name": "m-2.5_b", "context": 1048576, "slots": 1024, "adapters": ["a"]}], True),
        ([], False),
        ([MODEL, MODEL], False),
        ([MODEL | {"name": "Upper"}], False),
        ([MODEL | {"name": "../m"}], False),
        ([MODEL | {"name": "m --model x=/y"}], False),
        ([MODEL | {"adapters": ["m"]}], False),
        ([MODEL | {"adapters": ["a/b"]}], False),
        ([MODEL | {"context": 255}], False),
        ([MODEL | {"slots": 0}], False),
    ],
)
def test_models_that_cannot_be_meant_are_refused(play, tmp_path, models, accepted):
    done = preflight(play, tmp_path, "engine", {"engine_models": models})
    assert (done.returncode == 0) is accepted, done.stdout
    assert accepted or "engine_models have different plain" in done.stdout


def preflight(play, folder, role, told):
    task = {"ansible.builtin.import_role": {"name": role, "tasks_from": "preflight"}}
    page = [{"hosts": "localhost", "gather_facts": False, "vars": told, "tasks": [task]}]
    (folder / "preflight.yml").write_text(yaml.safe_dump(page))
    return play(folder / "preflight.yml")
