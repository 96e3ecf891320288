"""Preflights that compare one role's variable with another's, run as the playbook would."""

from __future__ import annotations

import pytest
import yaml

FITTING = {"egress_firewall_port": 8443, "engine_model": "smollm2-135m-instruct", "engine_name": "llamacpp"}


@pytest.mark.parametrize(
    ("told", "accepted"),
    [
        (FITTING, True),
        (FITTING | {"egress_firewall_port": 9443}, False),
        (FITTING | {"engine_model": "other"}, False),
        (FITTING | {"engine_name": "vllm"}, False),
        ({"engine_model": FITTING["engine_model"], "engine_name": "llamacpp"}, False),
        ({"egress_firewall_port": 8443}, False),
    ],
    ids=["the control", "another port", "another model", "another engine", "no firewall", "no engine"],
)
def test_a_gateway_that_does_not_fit_its_neighbours_is_refused(play, tmp_path, told, accepted):
    role = {"ansible.builtin.import_role": {"name": "gateway", "tasks_from": "preflight"}}
    page = [{"hosts": "localhost", "gather_facts": False, "vars": told, "tasks": [role]}]
    (tmp_path / "preflight.yml").write_text(yaml.safe_dump(page))
    done = play(tmp_path / "preflight.yml")
    assert (done.returncode == 0) is accepted, done.stdout
    assert accepted or "gateway_p" in done.stdout or "engine_" in done.stdout
