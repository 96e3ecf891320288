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
    ("models", "said"),
    [
        ([MODEL, MODEL | {"name": "m-2.5_b", "engine": "vllm", "slots": 500, "adapters": ["a"]}], ()),
        ([], ("engine_models: expected a list of at least one model, got []",)),
        (
            [MODEL | {"name": "m --model x=/y", "gpu_percent": "90"}, MODEL | {"slots": 0}],
            (
                "engine_models[0].name: expected",
                "engine_models[0].gpu_percent: expected a number",
                "engine_models.m.slots",
            ),
        ),
        ([MODEL | {"name": "{{ 'Up' }}per"}], ("got 'Upper'",)),
    ],
    ids=["the control", "none", "three faults at once", "a template"],
)
def test_models_that_cannot_be_meant_are_refused_with_every_fault(play, tmp_path, models, said):
    done = preflight(play, tmp_path, "engine", {"engine_models": models})
    assert (done.returncode == 0) is (said == ()), done.stdout
    assert [one for one in said if one not in done.stdout] == [], done.stdout


def preflight(play, folder, role, told):
    task = {"ansible.builtin.import_role": {"name": role, "tasks_from": "preflight"}}
    page = [{"hosts": "localhost", "gather_facts": False, "vars": told, "tasks": [task]}]
    (folder / "preflight.yml").write_text(yaml.safe_dump(page))
    return play(folder / "preflight.yml")
