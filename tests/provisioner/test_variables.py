from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from provisioner.variables import MADE, OPERATOR, unknown, unread

ROLES, OPTIONS = ("base", "engine"), ("base_hostname", "engine_models")
REPOSITORY = Path(__file__).resolve().parents[2]


def test_what_is_read_and_what_is_nobodys_business_pass():
    names = [*OPERATOR, *OPTIONS, *MADE, "ansible_host", "my_variable", "basement"]
    assert list(unknown(names, ROLES, OPTIONS)) == []


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("bake_mod", "bake_mode"),
        ("engine_modles", "engine_models"),
        ("deploy_prot", "deploy_port"),
        ("rollout_overlap", "rollout_overlap_seconds"),
        ("base_x", "one of"),
    ],
)
def test_a_misspelt_variable_is_named_with_what_was_meant(misspelt, meant):
    (fault,) = unknown([misspelt, "bake_mode"], ROLES, OPTIONS)
    assert fault.field == misspelt
    assert fault.expected.startswith(meant)


def test_all_of_them_are_told_at_once():
    assert [fault.field for fault in unknown(["deploy_b", "bake_a"], ROLES, OPTIONS)] == ["bake_a", "deploy_b"]


MACHINE = {"name": "prod", "zone": "europe-west4-c", "replicas": 1}


@pytest.mark.parametrize("name", ["replicas", "zone", "deploy_port", "deploy_secure_boot", "deploy_name"])
def test_a_variable_of_the_command_line_that_nothing_reads_is_refused(name):
    (fault,) = unread(frozenset({name}), '[{"name": "prod", "my_replicas": 3}]', MACHINE)
    assert fault.field == f"-e {name}"
    assert "the inventory's deploy_vm (group_vars)" in fault.expected


@pytest.mark.parametrize(
    "name", ["deploy_port", "zone", "deploy_seconds", "engine_context", "my_variable", "bake_mode"]
)
def test_a_variable_of_the_command_line_that_is_read_or_anothers_passes(name):
    text = '[{"port": "{{ deploy_port | int }}", "zone": "{{ zone }}"}]'
    assert list(unread(frozenset({name}), text, MACHINE)) == []


CLOUDS = {"deploy_platform_values", "deploy_simulated_cloud", "rollout_announce_seconds", "rollout_overlap_seconds"}
LOCAL = {"deploy_port", "deploy_secure_boot"}
ACCESS = {"gateway_access", "gateway_token_issuer_key", "gateway_token_service", "gateway_tokens_issued_after"}


@pytest.mark.parametrize(
    ("inventory", "not_its"), [("local", CLOUDS), ("gcp", LOCAL), ("azure", {"deploy_secure_boot"})]
)
def test_the_inventory_sets_exactly_what_an_operator_can(inventory, not_its):
    variables = yaml.safe_load((REPOSITORY / f"inventories/{inventory}/group_vars/all.yml").read_text())
    access = {"gateway_access"} if inventory == "local" else ACCESS  # of the roles' variables, the one nobody can skip
    assert set(variables) == set(OPERATOR) - not_its | access
