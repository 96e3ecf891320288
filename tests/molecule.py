"""Running a scenario of molecule as a developer does."""

from __future__ import annotations

import os

from tests.e2e.machine import BIN, CHECKOUT, run

ROLES = {path.parent.parent.name for path in CHECKOUT.glob("molecule/*/vars/probes.yml")}


def molecule(scenario: str, *, seconds: int) -> None:
    """Run every step of a scenario; all of them must pass."""
    words = ("--base-config", CHECKOUT / ".config/molecule/config.yml", "test", "--scenario-name", scenario)
    outcome = run(BIN / "molecule", *words, env={"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}, seconds=seconds)
    assert outcome.status == 0, outcome.out[-6000:] + outcome.err[-3000:]
