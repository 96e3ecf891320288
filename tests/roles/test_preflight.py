"""Preflights that compare one role's variable with another's, run as the playbook would."""

from __future__ import annotations

import pytest
import yaml

MODEL = {"name": "m", "engine": "llamacpp", "context": 2048, "slots": 1}
FITTING = {"egress_firewall_port": 8443, "engine_models": [MODEL]}
TOKENS = {"gateway_access": "tokens", "gateway_token_issuer_key": "PEM", "gateway_token_service": "vitrine-x"}


@pytest.mark.parametrize(
    ("told", "accepted"),
    [
        (FITTING, True),
        (FITTING | {"egress_firewall_port": 9443}, False),
        (FITTING | {"engine_models": []}, False),
        ({"engine_models": [MODEL]}, False),
        ({"egress_firewall_port": 8443}, False),
        (FITTING | TOKENS, True),
        (FITTING | TOKENS | {"gateway_token_issuer_key": ""}, False),
        (FITTING | TOKENS | {"gateway_token_service": ""}, False),
        (FITTING | {"gateway_token_issuer_key": "PEM"}, False),
    ],
    ids=[
        *("the control", "another port", "no model", "no firewall", "no engine"),
        *("by tokens", "tokens without an issuer", "tokens for no service", "open, and an issuer"),
    ],
)
def test_a_gateway_that_does_not_fit_its_neighbours_is_refused(play, tmp_path, told, accepted):
    done = preflight(play, tmp_path, "gateway", told)
    assert (done.returncode == 0) is accepted, done.stdout
    assert accepted or any(name in done.stdout for name in ("gateway_p", "engine_model", "gateway_access"))


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
