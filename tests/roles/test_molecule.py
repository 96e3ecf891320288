"""Every role that locks something down has a scenario of its own; the quickest is run here, all in `make test-slow`."""

from __future__ import annotations

import pytest
import yaml

from tests.e2e.machine import CHECKOUT
from tests.molecule import ROLES, molecule

# They lock nothing down: what they bring, or a debug image's console.
OTHERS = {"base", "engine", "attester", "gpu", "gateway", "debug_console"}


def test_every_role_that_locks_something_down_has_a_scenario():
    assert {path.name for path in (CHECKOUT / "roles").iterdir()} - OTHERS == ROLES


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_probe_says_what_is_open(role):
    """Each has a name, a command and what that says where nothing holds it back: prepare sees it, verify does not."""
    probes = yaml.safe_load((CHECKOUT / "molecule" / role / "vars/probes.yml").read_text())["probes"]
    assert probes
    assert [probe for probe in probes if set(probe) != {"name", "run", "open"}] == []


@pytest.mark.root
def test_the_firewalls_scenario():
    molecule("egress_firewall", seconds=600)
