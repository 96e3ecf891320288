"""Applying a plan and destroying a deployment: what is done, what is refused, and every interruption."""

from dataclasses import replace

import pytest

from provisioner.clouds.reconcile import apply, destroy, replaced
from provisioner.clouds.resources import DIGEST_SIZE, Key, Mark, Resource, ResourcePlan
from provisioner.errors import CloudError
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.clouds.interruptions import Interrupted
from tests.provisioner.clouds.memory_cloud import MemoryCloud

NETWORK, IMAGE, VM, RULE = (Key(kind, f"toy-{kind}") for kind in ("network", "image", "vm", "rule"))
OTHERS = Mark("somebody-else", "0" * DIGEST_SIZE)


def plan(*, image="1", size="small", port=443, rule=True, name="toy"):
    resources = [
        Resource(key=NETWORK, body={"mode": "custom"}),
        Resource(key=replace(IMAGE, name=f"toy-image-{image}"), body={"sha256": image}),
        Resource(key=VM, body={"size": size, "image": image}, needs=(NETWORK, Key("image", f"toy-image-{image}"))),
        *([Resource(key=RULE, body={"port": port}, needs=(VM,))] if rule else []),
    ]
    return ResourcePlan(deployment=name, resources=tuple(resources))


def run(wanted, cloud):
    return apply(wanted, cloud, progress=quiet)


def has(cloud, wanted):
    """Whether the cloud has exactly the plan, ready, with its marks."""
    found = {key: (mark, state) for key, (mark, state, _) in cloud.things.items()}
    return found == {resource.key: (wanted.mark(resource), "ready") for resource in wanted.resources}


def changing(cloud):
    return [(name, key) for name, key in cloud.calls if name not in ("read", "marked")]


def test_everything_is_made_in_order_and_a_second_run_changes_nothing():
    cloud, wanted = MemoryCloud(), plan()
    assert run(wanted, cloud).created == tuple(resource.key for resource in wanted.resources)
    before = len(changing(cloud))
    assert not run(wanted, cloud)
    assert len(changing(cloud)) == before
    assert has(cloud, wanted)


def test_a_changed_body_replaces_the_resource_and_what_needs_it():
    cloud = MemoryCloud()
    run(plan(), cloud)
    changed = run(plan(size="large"), cloud)
    assert changed.deleted == (RULE, VM)
    assert changed.created == (VM, RULE)
    assert has(cloud, plan(size="large"))


def test_what_the_cloud_can_change_in_place_is_not_made_anew():
    cloud = MemoryCloud(in_place=frozenset({"rule"}))
    run(plan(), cloud)
    changed = run(plan(port=8443), cloud)
    assert (changed.updated, changed.created, changed.deleted) == ((RULE,), (), ())
    assert has(cloud, plan(port=8443))


def test_an_old_image_goes_after_the_new_vm_runs():
    cloud = MemoryCloud()
    run(plan(), cloud)
    changed = run(plan(image="2"), cloud)
    assert changed.deleted == (RULE, VM, Key("image", "toy-image-1"))
    assert has(cloud, plan(image="2"))


def test_what_the_plan_no_longer_names_goes():
    cloud = MemoryCloud()
    run(plan(), cloud)
    assert run(plan(rule=False), cloud).deleted == (RULE,)


@pytest.mark.parametrize("mark", [None, OTHERS], ids=["without a mark", "another deployment's"])
@pytest.mark.parametrize("key", [NETWORK, VM, RULE], ids=str)
def test_a_name_taken_by_something_that_is_not_ours_is_refused_before_anything_changes(mark, key):
    cloud = MemoryCloud(things={key: (mark, "ready", ())})
    with pytest.raises(CloudError, match=f"did not make: {key}; choose another deploy_name"):
        run(plan(), cloud)
    assert changing(cloud) == []
    assert cloud.things == {key: (mark, "ready", ())}


def test_another_deployment_is_left_alone():
    cloud = MemoryCloud(things={Key("vm", "other"): (OTHERS, "ready", ())})
    run(plan(), cloud)
    destroy("toy", cloud, progress=quiet)
    assert cloud.things == {Key("vm", "other"): (OTHERS, "ready", ())}


def test_a_thing_that_appears_while_the_plan_is_applied_is_not_deleted():
    cloud = MemoryCloud()
    run(plan(), cloud)

    def taken(text):
        if text.startswith(str(RULE)):
            cloud.things[VM] = (OTHERS, "ready", ())

    with pytest.raises(CloudError, match="is not this deployment's any more"):
        apply(plan(size="large"), cloud, progress=taken)
    assert cloud.things[VM] == (OTHERS, "ready", ())


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_what_is_half_made_is_waited_for_or_made_anew(state):
    wanted = plan()
    cloud = MemoryCloud()
    run(wanted, cloud)
    mark, _, needs = cloud.things[VM]
    cloud.things[VM] = (mark, state, needs)
    changed = run(wanted, cloud)
    assert has(cloud, wanted)
    assert bool(changed) == (state == "failed")


def old_and_new():
    return plan(), plan(image="2", size="large", port=8443)


def calls_of(old, new):
    cloud = MemoryCloud()
    run(old, cloud)
    start = len(cloud.calls)
    run(new, cloud)
    return start, len(cloud.calls)


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_interrupted_at_every_call_of_a_first_run_a_second_converges(after):
    wanted = plan()
    probe = MemoryCloud()
    run(wanted, probe)
    for number in range(len(probe.calls)):
        cloud = MemoryCloud(break_at=number, after=after)
        with pytest.raises(Interrupted):
            run(wanted, cloud)
        run(wanted, cloud)
        assert has(cloud, wanted), f"interrupted at call {number}, {probe.calls[number]}"


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_interrupted_at_every_call_of_a_change_a_second_converges(after):
    old, new = old_and_new()
    start, end = calls_of(old, new)
    for number in range(start, end):
        cloud = MemoryCloud()
        run(old, cloud)
        cloud.break_at, cloud.after = number, after
        with pytest.raises(Interrupted):
            run(new, cloud)
        run(new, cloud)
        assert has(cloud, new), f"interrupted at call {number}"


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_interrupted_anywhere_destroy_leaves_nothing(after):
    old, new = old_and_new()
    start, end = calls_of(old, new)
    for number in range(start, end):
        cloud = MemoryCloud()
        run(old, cloud)
        cloud.break_at, cloud.after = number, after
        with pytest.raises(Interrupted):
            run(new, cloud)
        destroy("toy", cloud, progress=quiet)
        assert cloud.things == {}, f"interrupted at call {number}"


def test_destroy_interrupted_at_every_call_is_finished_by_the_next():
    wanted = plan()
    for number in range(1 + len(wanted.resources)):
        cloud = MemoryCloud()
        run(wanted, cloud)
        cloud.break_at = len(cloud.calls) + number
        with pytest.raises(Interrupted):
            destroy("toy", cloud, progress=quiet)
        destroy("toy", cloud, progress=quiet)
        assert cloud.things == {}


class ShowingLateCloud(MemoryCloud):
    """A disk is in no list while the machine is there."""

    def marked(self, deployment, *, progress):
        found = super().marked(deployment, progress=progress)
        return tuple(one for one in found if one.key.kind != "disk") if VM in self.things else found


def test_what_shows_only_when_something_else_is_gone_goes_in_the_same_run():
    cloud = ShowingLateCloud()
    run(plan(), cloud)
    cloud.things[Key("disk", "toy-disk")] = (Mark("toy", "x"), "ready", ())
    destroy("toy", cloud, progress=quiet)
    assert cloud.things == {}


class StayingCloud(MemoryCloud):
    """It says that it deleted the network, and did not."""

    def delete(self, key, *, progress):
        if key != NETWORK:
            super().delete(key, progress=progress)


def test_what_is_deleted_and_still_there_is_no_success():
    cloud = StayingCloud()
    run(plan(), cloud)
    with pytest.raises(CloudError, match=f"toy: deleted and still there: {NETWORK}; see the console"):
        destroy("toy", cloud, progress=quiet)


def test_destroy_deletes_all_that_it_can_and_names_the_rest():
    cloud = MemoryCloud(stuck=frozenset({RULE}))
    run(plan(rule=False), cloud)
    cloud.things[RULE] = (Mark("toy", "x"), "ready", ())
    with pytest.raises(CloudError, match=f"run it again: {RULE}: {RULE} is in use"):
        destroy("toy", cloud, progress=quiet)
    assert list(cloud.things) == [RULE]


def test_old_things_that_stay_are_an_error_that_says_that_the_rest_runs():
    cloud = MemoryCloud()
    run(plan(), cloud)
    cloud.stuck = frozenset({Key("image", "toy-image-1")})
    with pytest.raises(CloudError, match="everything runs, but old things stay: image toy-image-1"):
        run(plan(image="2"), cloud)


def test_a_plan_that_needs_something_before_it_is_there_cannot_be_made():
    resources = tuple(reversed(plan().resources))
    with pytest.raises(ValueError, match="before what it needs"):
        ResourcePlan(deployment="toy", resources=resources)


def test_a_plan_that_names_one_thing_twice_cannot_be_made():
    resources = plan().resources
    with pytest.raises(ValueError, match="planned twice"):
        ResourcePlan(deployment="toy", resources=(*resources, resources[0]))


def test_a_plan_shows_bodies_reasons_and_meters():
    network = Resource(key=NETWORK, body={"b": 1, "a": [2]}, meter="address-hours", note="the balancer's")
    text = "\n".join(ResourcePlan(deployment="toy", resources=(network,)).lines())
    assert text.startswith("network toy-network  # the balancer's\n  costs while it exists: address-hours\n")
    assert '"a": [' in text


def test_the_digest_of_a_body_does_not_depend_on_the_order_of_its_keys():
    one, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert Resource(key=VM, body=one).digest == Resource(key=VM, body=other).digest
    assert Resource(key=VM, body=one).digest != Resource(key=VM, body={"a": 1, "b": 3}).digest


def test_what_a_plan_keeps_is_neither_deleted_nor_changed():
    cloud = MemoryCloud()
    run(plan(rule=False), cloud)
    before = dict(cloud.things)
    old = (Key("image", "toy-image-1"), VM)
    other = ResourcePlan(deployment="toy", resources=(plan().resources[0],), kept=old)
    assert not run(other, cloud)
    assert cloud.things == before
    assert run(replace(other, kept=old[:1]), cloud).deleted == (VM,)


def test_keeping_does_not_keep_destroy_from_deleting():
    cloud = MemoryCloud()
    run(plan(), cloud)
    run(replace(plan(rule=False), kept=(RULE,)), cloud)
    assert RULE in cloud.things
    destroy("toy", cloud, progress=quiet)
    assert cloud.things == {}


class HoldingCloud(MemoryCloud):
    """A rule that is changed while an older machine is there holds on to it, and so is not as planned yet."""

    def update(self, resource, mark, *, progress):
        changed = super().update(resource, mark, progress=progress)
        if changed and Key("image", "toy-image-1") in self.things:
            self.things[resource.key] = (Mark("toy", "unfinished"), "ready", resource.needs)
        return changed


def holding(new):
    """Let a rule be changed, at the end of a plan that takes an image away."""
    cloud = HoldingCloud(in_place=frozenset({"rule"}))
    run(plan(), cloud)
    resources = tuple(one for one in new.resources if one.key.kind in ("network", "rule"))
    return cloud, replace(new, resources=tuple(replace(one, needs=()) for one in resources))


def test_a_change_that_had_to_wait_for_what_goes_is_finished_afterwards():
    cloud, wanted = holding(plan(port=8443))
    assert run(wanted, cloud).updated == (RULE,)
    assert has(cloud, wanted)
    assert [key for name, key in changing(cloud) if name == "update"] == [RULE, RULE]


def test_interrupted_before_it_is_finished_the_next_run_finishes_it():
    cloud, wanted = holding(plan(port=8443))
    cloud.break_at = [name for name, _ in changing(cloud)].index("create") + len(cloud.calls) + 6
    with pytest.raises(Interrupted):
        run(wanted, cloud)
    cloud.break_at = -1
    run(wanted, cloud)
    assert has(cloud, wanted)


REPLACED = {
    "nothing differs": (plan(), frozenset(), ()),
    "it is changed in place": (plan(port=8443), frozenset({"rule"}), ()),
    "it is not": (plan(port=8443), frozenset(), (RULE,)),
    "a machine is made anew": (plan(size="large"), frozenset({"rule"}), (VM,)),
    "it is not there": (plan(image="2"), frozenset({"vm"}), ()),
}


@pytest.mark.parametrize("case", REPLACED)
def test_what_would_be_made_anew_is_known_before_anything_is_changed(case):
    wanted, in_place, expected = REPLACED[case]
    cloud = MemoryCloud(in_place=in_place)
    run(plan(), cloud)
    before = len(changing(cloud))
    assert replaced(wanted, cloud) == expected
    assert len(changing(cloud)) == before
