"""Where a rollout is, from what the cloud has and what clients were told; and what cannot be rolled over."""

from __future__ import annotations

import re

import pytest

from provisioner import place
from provisioner.clouds import Group
from provisioner.errors import CloudError, PlanError, SpecError
from provisioner.rollout import Position, Rollout, position, preview, roll_out, rolling_cloud
from tests.provisioner.clouds.gcp.conftest import image
from tests.provisioner.test_candidate import AZURE, GCP

NEW, OLD, OLDER = "b" * 64, "a" * 64, "c" * 64


def group(key, serving):
    """A cloud's names have only the beginning of a key."""
    return Group(image=key[:16], serving=serving == "serves")


S, I = "serves", "idle"  # noqa: E741
PLACES = {
    "before it": ([(OLD, S)], False, Position("stage", OLD[:16])),
    "staged": ([(OLD, S), (NEW, I)], False, Position("stage", OLD[:16])),
    "published, and nobody is led there yet": ([(OLD, S), (NEW, I)], True, Position("announce", OLD[:16])),
    "both serve": ([(OLD, S), (NEW, S)], True, Position("overlap", OLD[:16])),
    "drained": ([(OLD, I), (NEW, S)], True, Position("drain", OLD[:16])),
    "done": ([(NEW, S)], True, Position("end", "")),
    "an image is staged that nobody wants any more": ([(OLD, S), (OLDER, I)], False, Position("stage", OLD[:16])),
    "another rollout is not at its end": ([(OLD, S), (OLDER, S)], False, Position("settle", "")),
    "both serve, and the older is wanted back": ([(OLD, S), (NEW, S)], False, Position("stage", OLD[:16])),
    "published before, gone from the cloud": ([(OLD, S)], True, Position("stage", OLD[:16])),
}


@pytest.mark.parametrize("case", PLACES)
def test_where_it_is(case):
    groups, published, expected = PLACES[case]
    found = tuple(group(*one) for one in groups)
    assert position("toy", found, NEW, published=published) == expected
    assert position("toy", found[::-1], NEW, published=published) == expected


@pytest.mark.parametrize(("groups", "published"), [(case[0], case[1]) for case in PLACES.values() if not case[1]])
def test_what_clients_were_not_told_of_is_always_staged_first(groups, published):
    found = position("toy", tuple(group(*one) for one in groups), NEW, published=published)
    assert found.where in ("stage", "settle")


NOWHERE = {
    "nothing is there": ([], "there is no group of machines to roll from: playbooks/deploy.yml makes it"),
    "its image runs, and is not published": ([(NEW, S)], "run this image already: playbooks/deploy.yml accepts"),
    "destroyed in part": ([(OLD, I)], "nothing serves, what is there is half-made: playbooks/destroy.yml"),
}


@pytest.mark.parametrize("case", NOWHERE)
def test_there_is_nothing_to_roll_from(case):
    groups, said = NOWHERE[case]
    with pytest.raises(CloudError, match=said):
        position("toy", tuple(group(*one) for one in groups), NEW, published=False)


def test_a_key_is_not_taken_for_another_that_it_has_nothing_of():
    assert not Group(image="", serving=True).is_of(NEW)
    assert not Group(image="bc", serving=True).is_of(NEW)


ONE = r"one machine is replaced, not rolled over: playbooks/deploy\.yml"


def wanted(root, variables):
    return Rollout(variables=variables, image=image(root), root=root, announce=60, overlap=120, seconds=1)


def test_this_machines_vms_are_not_rolled_over(tmp_path):
    with pytest.raises(PlanError, match=ONE):
        rolling_cloud({"name": "toy", "cloud": "qemu", "replicas": 2}, tmp_path)


@pytest.mark.parametrize("variables", [GCP, AZURE, GCP | {"replicas": 1}])
def test_one_machine_is_replaced_and_not_rolled_over(variables, tmp_path):
    cloud = rolling_cloud(variables, tmp_path)
    with pytest.raises(PlanError, match="one machine is replaced, not rolled over"):
        preview(wanted(tmp_path, variables), cloud)
    with pytest.raises(PlanError, match=ONE):
        roll_out(wanted(tmp_path, variables), cloud, None, progress=print)


def test_a_group_at_another_place_is_not_rolled_over(tmp_path):
    there = GCP | {"replicas": 2}
    place.record(tmp_path, there)
    with pytest.raises(SpecError, match="europe-west4-c of project my-project, where prod is"):
        roll_out(
            wanted(tmp_path, there | {"zone": "europe-west4-a"}), rolling_cloud(there, tmp_path), None, progress=print
        )


@pytest.mark.parametrize("variables", [GCP, AZURE], ids=["gcp", "azure"])
def test_a_preview_shows_the_steps_what_is_there_meanwhile_and_the_end(variables, tmp_path):
    told = variables | {"replicas": 2}
    (tmp_path / "image").symlink_to(tmp_path / OLD)
    text = preview(wanted(tmp_path, told), rolling_cloud(told, tmp_path))
    steps = [
        "stage: 2 machines of",
        "announce: .* for 60 s",
        "overlap: for 120 s",
        "drain: for 60 s",
        "end: the machines of",
    ]
    found = [re.search(f"^{step}", text, re.MULTILINE) for step in steps]
    assert all(found)
    assert [one.start() for one in found] == sorted(one.start() for one in found)
    assert OLD[:16] in text
    assert text.startswith("prod: ")
    assert ("prod-staging" in text) == (variables is GCP), "Azure's trial is a rule of the balancer that is there"


def test_an_inventory_that_names_no_cloud(tmp_path):
    with pytest.raises(SpecError, match="cloud: expected one of"):
        rolling_cloud({"name": "toy", "cloud": "nimbus", "replicas": 2}, tmp_path)
