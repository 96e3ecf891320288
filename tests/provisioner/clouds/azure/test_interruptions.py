"""Interrupted at every single call of the API, before its effect and after it: the next run converges, or destroys all.

Which calls there are is asked of the fake's own log, so a new call is interrupted too. Every interruption is made; what
it leaves is gone on from once for each different state, because nothing is remembered anywhere but in the cloud. The
whole of it is `make test-clouds`; `make test` takes a part of the calls.
"""

from __future__ import annotations

import pytest

from provisioner.errors import CloudError
from tests.fakes.azure.counts import COUNTS
from tests.fakes.cloud_api import Fault, nth

HOW = ("before", "after")
PART = 29  # `make test` interrupts every 29th call, another one with each kind of interruption


def interrupted(azure, number, how, run):
    """Break the run at one call; return which one that was."""
    azure.api.calls.clear()
    azure.api.faults.append(Fault(nth(number), how))
    with pytest.raises(
        CloudError, match=r"run it again|cannot be reached|not everything could be deleted|old things stay"
    ):
        run()
    azure.api.faults.clear()
    COUNTS["calls interrupted"] += 1
    return f"call {number}, {how}: {azure.api.calls[number]}"


def goes_on(azure, spec, where):
    """From what there is now: another run of the same, and, from the same again, destroy."""
    left = azure.arm.save()
    azure.apply(spec)
    assert azure.has(spec), where
    azure.arm.restore(left)
    leaves_nothing(azure, where)


def leaves_nothing(azure, where):
    azure.destroy()
    COUNTS["things left over after destroy"] += len(azure.cloud.things)
    assert azure.cloud.things == {}, where
    assert azure.arm.machines.running == {}, where


def everywhere(azure, how, step, run, after):
    """Interrupt a run at every ``step``-th of its calls, from what there is now; ``after`` goes on from each."""
    start = azure.arm.save()
    azure.api.calls.clear()
    run()
    total, seen = len(azure.api.calls), set()
    for number in range(HOW.index(how), total, step):
        azure.arm.restore(start)
        where = interrupted(azure, number, how, run)
        if azure.cloud.digest() not in seen:
            seen.add(azure.cloud.digest())
            after(where)
    COUNTS["states gone on from"] += len(seen)


def first_run(azure, how, step, **changes):
    spec = azure.spec(**changes)
    everywhere(azure, how, step, lambda: azure.apply(spec), lambda where: goes_on(azure, spec, where))


def another_image(azure, how, step, **changes):
    azure.apply(azure.spec(**changes))
    new = azure.spec(image=1, client_networks=["198.51.100.0/24"], **changes)
    everywhere(azure, how, step, lambda: azure.apply(new), lambda where: goes_on(azure, new, where))


def taking_away(azure, how, step, **changes):
    azure.apply(azure.spec(**changes))
    everywhere(azure, how, step, azure.destroy, lambda where: leaves_nothing(azure, where))


CASES = (first_run, another_image, taking_away)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_interrupted_at_some_calls(azure, case, how):
    case(azure, how, PART)


@pytest.mark.clouds
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_interrupted_at_every_call(azure, case, how, replicas):
    case(azure, how, 1, replicas=replicas)


def test_an_interruption_anywhere_is_noticed_by_this_test(azure):
    """A run that is not finished is not taken for one that is."""
    azure.apply()
    azure.thing("microsoft.compute/virtualmachines").body["tags"]["vitrine-digest"] = "another"
    assert not azure.has(azure.spec())
    azure.apply()
    assert azure.has(azure.spec())
    next(iter(azure.cloud.blobs.values())).pages.popitem()
    assert not azure.has(azure.spec())
