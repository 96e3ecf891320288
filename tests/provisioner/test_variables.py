from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from provisioner.errors import SpecError
from provisioner.variables import OPERATOR, refuse_unknown

ROLES, OPTIONS = ("base", "engine"), ("base_hostname", "engine_models")
REPOSITORY = Path(__file__).resolve().parents[2]


def test_what_is_read_and_what_is_nobodys_business_pass():
    refuse_unknown([*OPERATOR, *OPTIONS, "bake_prepared", "ansible_host", "my_variable", "basement"], ROLES, OPTIONS)


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
    with pytest.raises(SpecError) as caught:
        refuse_unknown([misspelt, "bake_mode"], ROLES, OPTIONS)
    (fault,) = caught.value.faults
    assert fault.field == misspelt
    assert fault.expected.startswith(meant)


def test_all_of_them_are_told_at_once():
    with pytest.raises(SpecError) as caught:
        refuse_unknown(["bake_a", "deploy_b"], ROLES, OPTIONS)
    assert [fault.field for fault in caught.value.faults] == ["bake_a", "deploy_b"]


CLOUDS = {"deploy_platform_values", "deploy_simulated_cloud", "rollout_announce_seconds", "rollout_overlap_seconds"}
LOCAL = {"deploy_port", "deploy_secure_boot"}


@pytest.mark.parametrize(
    ("inventory", "not_its"), [("local", CLOUDS), ("gcp", LOCAL), ("azure", {"deploy_secure_boot"})]
)
def test_the_inventory_sets_exactly_what_an_operator_can(inventory, not_its):
    variables = yaml.safe_load((REPOSITORY / f"inventories/{inventory}/group_vars/all.yml").read_text())
    assert set(variables) == set(OPERATOR) - not_its
