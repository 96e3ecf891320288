"""Interrupted at any call of any run, the next run converges, and destroy leaves nothing.

Here a few calls are tried; `make test-clouds` tries every one.
"""

from __future__ import annotations

import os

import pytest

from tests.fakes.cloud_api import Fault, nth
from tests.provisioner.clouds.gcp.conftest import CPU, GROUP, OTHER_KEY
from tests.provisioner.clouds.interruptions import Interrupted, at_call

WHOLE = bool(os.environ.get("VITRINE_EVERY_CALL"))
STEP = 1 if WHOLE else 29
WHEN = pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
PLANS = pytest.mark.parametrize("variables", [CPU, GROUP], ids=["one machine", "a group"])


def calls(lab, monkeypatch, run):
    """Return which calls to interrupt of a run, after it was counted."""
    with at_call(monkeypatch, -1, after=False) as made:
        run()
    return range(len(made) % STEP, len(made), STEP)


def interrupt(monkeypatch, run, number, *, after):
    with at_call(monkeypatch, number, after=after), pytest.raises(Interrupted):
        run()


def told(capsys, lab, what, numbers):
    lab.close()
    with capsys.disabled():
        print(f"\n{what}: {len(numbers)} interruptions, {lab.validated} calls validated, nothing left over")


@PLANS
@WHEN
def test_a_first_run_interrupted_at_a_call_is_finished_by_the_next(lab, monkeypatch, capsys, variables, after):
    numbers = calls(lab, monkeypatch, lambda: lab.launch(variables))
    for number in numbers:
        lab.reset()
        interrupt(monkeypatch, lambda: lab.launch(variables), number, after=after)
        lab.launch(variables)
        assert lab.has(variables), f"interrupted at call {number}, {lab.api.calls[number]}"
        lab.destroy(variables)
        assert lab.project.leftovers() == [], f"interrupted at call {number}"
    told(capsys, lab, f"first run of {variables['machine_type']} x {variables.get('replicas', 1)}", numbers)


@PLANS
@WHEN
def test_a_first_run_interrupted_at_a_call_is_taken_away_whole(lab, monkeypatch, capsys, variables, after):
    numbers = calls(lab, monkeypatch, lambda: lab.launch(variables))
    for number in numbers:
        lab.reset()
        interrupt(monkeypatch, lambda: lab.launch(variables), number, after=after)
        lab.destroy(variables)
        assert lab.project.leftovers() == [], f"interrupted at call {number}"
    told(capsys, lab, f"destroy after part of {variables['machine_type']} x {variables.get('replicas', 1)}", numbers)


@WHEN
def test_a_change_of_image_interrupted_at_a_call_is_finished_by_the_next(lab, monkeypatch, capsys, after):
    def change():
        lab.launch(CPU, key=OTHER_KEY)

    lab.launch(CPU)
    numbers = calls(lab, monkeypatch, change)
    for number in numbers:
        lab.reset()
        lab.launch(CPU)
        interrupt(monkeypatch, change, number, after=after)
        change()
        assert lab.has(CPU, OTHER_KEY), f"interrupted at call {number}"
        lab.destroy(CPU)
        assert lab.project.leftovers() == [], f"interrupted at call {number}"
    told(capsys, lab, "change of image", numbers)


@PLANS
@WHEN
def test_destroy_interrupted_at_a_call_is_finished_by_the_next(lab, monkeypatch, capsys, variables, after):
    lab.launch(variables)
    numbers = calls(lab, monkeypatch, lambda: lab.destroy(variables))
    for number in numbers:
        lab.reset()
        lab.launch(variables)
        interrupt(monkeypatch, lambda: lab.destroy(variables), number, after=after)
        lab.destroy(variables)
        assert lab.project.leftovers() == [], f"interrupted at call {number}"
    told(capsys, lab, f"destroy of {variables['machine_type']} x {variables.get('replicas', 1)}", numbers)


@PLANS
@pytest.mark.parametrize("how", ["before", "after"])
def test_a_network_that_drops_a_call_is_asked_again_in_the_same_run(lab, capsys, variables, how):
    lab.launch(variables)
    numbers = range(0, len(lab.api.calls), STEP)
    for number in numbers:
        lab.reset()
        lab.api.faults.append(Fault(nth(number), how))
        lab.launch(variables)
        assert lab.has(variables), f"dropped {how} its effect at call {number}"
        lab.destroy(variables)
        assert lab.project.leftovers() == []
    told(capsys, lab, f"drops {how} effect, {variables['machine_type']} x {variables.get('replicas', 1)}", numbers)
