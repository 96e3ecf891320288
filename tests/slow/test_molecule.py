"""The scenarios of molecule: each role on a tree of its own, and a sealed VM from nothing to accepted and away again.

One role's runs in `make test` (``tests/roles/test_molecule.py``), so that what all of them have in common works.
"""

from __future__ import annotations

import pytest

from provisioner.clouds import processes
from tests.molecule import ROLES, molecule

pytestmark = [pytest.mark.slow, pytest.mark.root]


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_holds_back_what_it_is_there_against(role):
    molecule(role, seconds=600)


def test_sealed_vm():
    molecule("sealed-vm", seconds=3000)
    # That every step was about this VM, the last one too.
    assert processes.find_by_argument("vitrine-molecule") is None
