"""The scenario `local-vm`: create, converge, idempotence, verify, destroy, by molecule."""

from __future__ import annotations

import os

import pytest

from provisioner.clouds import processes
from tests.e2e.machine import BIN, run

pytestmark = pytest.mark.slow


def test_local_vm():
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    outcome = run(BIN / "molecule", "test", "--scenario-name", "local-vm", env={"PATH": path}, seconds=3000)
    assert outcome.status == 0, outcome.out[-6000:] + outcome.err[-3000:]
    # That every step was about this VM, the last one too.
    assert processes.find_by_argument("vitrine-molecule") is None
