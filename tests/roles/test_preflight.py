"""Preflights that compare one role's variable with another's, run as the playbook would."""

from __future__ import annotations

import pytest
import yaml

FITTING = {"egress_firewall_port": 8443, "engine_model": "smollm2-135m-instruct"}
TOKENS = {"gateway_access": "tokens", "gateway_token_issuer_key": "PEM", "gateway_token_service": "vitrine-x"}


@pytest.mark.parametrize(
    ("told", "accepted"),
    [
        (FITTING, True),
        (FITTING | {"egress_firewall_port": 9443}, False),
        (FITTING | {"engine_model": "other"}, False),
        ({"engine_model": FITTING["engine_model"]}, False),
        ({"egress_firewall_port": 8443}, False),
        (FITTING | TOKENS, True),
        (FITTING | TOKENS | {"gateway_token_issuer_key": ""}, False),
        (FITTING | TOKENS | {"gateway_token_service": ""}, False),
        (FITTING | {"gateway_token_issuer_key": "PEM"}, False),
    ],
    ids=[
        *("the control", "another port", "another model", "no firewall", "no engine"),
        *("by tokens", "tokens without an issuer", "tokens for no service", "open, and an issuer"),
    ],
)
def test_a_gateway_that_does_not_fit_its_neighbours_is_refused(play, tmp_path, told, accepted):
    role = {"ansible.builtin.import_role": {"name": "gateway", "tasks_from": "preflight"}}
    page = [{"hosts": "localhost", "gather_facts": False, "vars": told, "tasks": [role]}]
    (tmp_path / "preflight.yml").write_text(yaml.safe_dump(page))
    done = play(tmp_path / "preflight.yml")
    assert (done.returncode == 0) is accepted, done.stdout
    assert accepted or any(name in done.stdout for name in ("gateway_p", "engine_model", "gateway_access"))
