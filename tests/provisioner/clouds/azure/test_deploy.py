"""A deployment's life on the fake of Azure: made, unchanged, changed, scaled, taken away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.clouds.azure import plan
from provisioner.clouds.azure.kinds import BY_NAME
from provisioner.clouds.resources import Key
from provisioner.errors import CloudError
from tests.fakes.azure.effects import VM, instances
from tests.fakes.azure.things import SUBSCRIPTION, Thing
from tests.fakes.cloud_api import Answer, Fault
from tests.provisioner.clouds.azure.conftest import VARIABLES
from tests.provisioner.clouds.conftest import quiet

ROOT = Path(__file__).resolve().parents[4]
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/vitrine-toy"


def changing(azure):
    polls = "effectiveNetworkSecurityGroups"
    return [call for call in azure.api.calls if call.method != "GET" and not call.path.endswith(polls)]


@pytest.mark.parametrize("replicas", [1, 3])
def test_everything_is_made_once_and_a_second_run_changes_nothing(azure, replicas):
    spec = azure.spec(replicas=replicas)
    assert azure.apply(spec).created == tuple(resource.key for resource in plan(spec).resources)
    assert azure.has(spec)
    before = len(changing(azure))
    assert not azure.apply(spec)
    assert len(changing(azure)) == before
    azure.destroy()
    assert azure.cloud.things == {}
    assert azure.arm.machines.running == {}


def test_it_is_ready_when_the_endpoint_takes_connections_and_no_door_is_open(azure):
    cloud = azure.remote()
    assert cloud.launch(azure.spec(), progress=quiet)
    assert not cloud.launch(azure.spec(), progress=quiet)
    vm = cloud.wait_ready("toy", seconds=5, progress=quiet)
    assert re.fullmatch(rf"https://127\.1\.\d+\.1:{azure.spec().port}", vm.endpoint)
    assert [(node.name, node.running, node.image) for node in vm.nodes] == [("toy", True, azure.image().key)]
    assert dict(vm.facts) == {
        "location": "eastus2",
        "size": "Standard_NCC40ads_H100_v5",
        "machines": "1",
        "priority": "regular",
        "addresses": "1 static (Standard)",
        "balancers": "1 x rule (Standard)",
        "images": "1 x image version",
        # The uploaded ones, and the machine's copies of them; the fake says nothing of a copy's size.
        "disks": "2 x Standard_LRS, 2 GiB together, 2 x disk",
    }
    assert cloud.find("toy") == vm
    assert cloud.names() == ("toy",)


def test_without_an_address_there_is_no_endpoint_and_none_is_made_up(azure, deployed):
    azure.arm.restore(deployed(1))
    azure.thing("microsoft.network/publicipaddresses").properties.pop("ipAddress")
    assert azure.session().vm("toy").endpoint == ""
    with pytest.raises(CloudError, match="not ready within 0 s: it has no address yet"):
        azure.remote().wait_ready("toy", seconds=0, progress=quiet)


def test_a_new_image_replaces_the_machine_and_the_old_image_goes(azure):
    azure.apply()
    before = azure.session().vm("toy")
    changed = azure.apply(azure.spec(image=1))
    assert azure.has(azure.spec(image=1))
    assert not [one.id for one in azure.cloud.things.values() if azure.image(0).key[:16] in one.id]
    assert {key.kind for key in changed.deleted} >= {"virtualMachine", "galleryImageVersion", "galleryImage", "disk"}
    after = azure.session().vm("toy")
    assert after.endpoint == before.endpoint
    assert [node.image for node in (*before.nodes, *after.nodes)] == [azure.image(0).key, azure.image(1).key]


def test_more_or_fewer_machines_of_a_set_are_a_change_in_place(azure):
    azure.apply(azure.spec(replicas=2))
    (whole,) = azure.cloud.of("microsoft.compute/virtualmachinescalesets")
    first = {vm.id for vm in instances(azure.cloud, whole)}
    changed = azure.apply(azure.spec(replicas=4))
    assert (changed.created, changed.deleted) == ((), ())
    assert first < {vm.id for vm in instances(azure.cloud, whole)}
    azure.apply(azure.spec(replicas=2))
    assert len(instances(azure.cloud, whole)) == 2
    assert len(azure.session().vm("toy").nodes) == 2


def test_another_image_is_never_a_change_in_place_of_a_set(azure):
    """Its machines would go on with the old one."""
    azure.apply(azure.spec(replicas=2))
    old = {vm.id for vm in azure.cloud.of(VM)}
    azure.apply(azure.spec(image=1, replicas=3))
    assert len(azure.cloud.of(VM)) == 3
    assert not old & {vm.id for vm in azure.cloud.of(VM)}


def test_from_one_machine_to_a_set_and_back(azure):
    azure.apply()
    azure.apply(azure.spec(replicas=2))
    assert azure.has(azure.spec(replicas=2))
    azure.apply()
    assert azure.has(azure.spec())
    assert len(azure.cloud.of(VM)) == 1


def test_who_may_connect_changes_in_place(azure):
    azure.apply()
    changed = azure.apply(azure.spec(client_networks=["198.51.100.0/24"]))
    assert (changed.created, changed.deleted) == ((), ())
    assert [key.kind for key in changed.updated] == ["networkSecurityGroup"]
    assert azure.has(azure.spec(client_networks=["198.51.100.0/24"]))


def test_another_location_is_never_a_change_in_place(azure):
    """Azure moves nothing: in a group that stays, everything is made anew where it shall be."""
    group = Thing(GROUP, "microsoft.resources/resourcegroups", {"location": "eastus2"})
    azure.cloud.things[GROUP.lower()] = group
    azure.apply(azure.spec(resource_group_exists=True))
    there = azure.spec(resource_group_exists=True, location="westeurope")
    azure.apply(there)
    assert azure.has(there)
    assert {one.body["location"] for one in azure.cloud.things.values() if one is not group} == {"westeurope"}


def test_a_deployment_that_moves_takes_its_own_group_along(azure):
    azure.apply()
    azure.apply(azure.spec(location="westeurope"))
    assert azure.has(azure.spec(location="westeurope"))
    assert {one.body["location"] for one in azure.cloud.things.values()} == {"westeurope"}


def test_a_group_that_was_there_stays_and_so_does_what_else_is_in_it(azure):
    group = Thing(GROUP, "microsoft.resources/resourcegroups", {"location": "eastus2"})
    other = Thing(f"{GROUP}/providers/Microsoft.Compute/disks/theirs", "microsoft.compute/disks", {"properties": {}})
    azure.cloud.things |= {one.id.lower(): one for one in (group, other)}
    spec = azure.spec(resource_group_exists=True)
    azure.apply(spec)
    azure.destroy()
    assert list(azure.cloud.things.values()) == [group, other]


def test_a_group_of_ours_is_not_deleted_with_somebody_elses_things_in_it(azure):
    azure.apply()
    other = Thing(f"{GROUP}/providers/Microsoft.Compute/disks/theirs", "microsoft.compute/disks", {"properties": {}})
    azure.cloud.things[other.id.lower()] = other
    with pytest.raises(
        CloudError, match=r"resourceGroup vitrine-toy: holds what we did not make: .*theirs; move or delete"
    ):
        azure.destroy()
    assert other.id.lower() in azure.cloud.things
    del azure.cloud.things[other.id.lower()]
    azure.destroy()
    assert azure.cloud.things == {}


def test_a_group_that_is_not_ours_is_refused_before_anything_changes(azure):
    azure.cloud.things[GROUP.lower()] = Thing(GROUP, "microsoft.resources/resourcegroups", {"location": "eastus2"})
    with pytest.raises(CloudError, match=r"did not make: resourceGroup vitrine-toy; choose another deploy_name"):
        azure.apply()
    assert changing(azure) == []


@pytest.mark.parametrize("kind", ["microsoft.compute/virtualMachines", "microsoft.network/loadBalancers"])
def test_a_name_taken_by_something_without_our_mark_is_refused_before_anything_changes(azure, kind):
    azure.apply()
    azure.thing(kind).body["tags"] = {}
    azure.api.calls.clear()
    with pytest.raises(CloudError, match=r"things of these names that this deployment did not make"):
        azure.apply(azure.spec(image=1))
    assert changing(azure) == []


def test_machines_of_a_set_bear_the_sets_tags_and_are_no_leftovers(azure):
    """Azure gives them its tags: taken for things of ours, they would be deleted as such."""
    azure.apply(azure.spec(replicas=2))
    assert all("vitrine-deployment" in vm.body["tags"] for vm in azure.cloud.of(VM))
    kinds = [one.key.kind for one in azure.session().driver().marked("toy", progress=quiet)]
    assert "virtualMachine" not in kinds
    assert "networkInterface" not in kinds


def test_a_machine_that_was_stopped_is_made_anew(azure):
    azure.apply()
    azure.thing(VM).body["_seen"]["statuses"][0]["code"] = "PowerState/deallocated"
    assert Key("virtualMachine", "toy") in azure.apply().created
    assert azure.session().vm("toy").running


def test_a_machine_that_was_evicted_is_made_anew(azure):
    azure.apply(azure.spec(priority="spot"))
    vm = azure.thing(VM)
    azure.session().driver().delete(Key("virtualMachine", vm.name), progress=quiet)
    assert azure.session().vm("toy") is None
    assert azure.apply(azure.spec(priority="spot")).created == (Key("virtualMachine", "toy"),)


def test_what_failed_while_it_was_made_is_made_anew(azure):
    azure.cloud.fail.append(("virtualMachines/toy", "InternalOperationError", "an error on our side"))
    with pytest.raises(CloudError, match=r"InternalOperationError"):
        azure.apply()
    assert azure.thing(VM).state == "Failed"
    azure.apply()
    assert azure.has(azure.spec())


def test_what_is_still_being_made_is_waited_for(azure):
    azure.apply()
    vm = azure.thing(VM)
    vm.properties["provisioningState"], vm.ticks, vm.then = "Creating", 4, "Succeeded"
    said = []
    assert not azure.apply(progress=said.append)
    assert any("virtualMachine toy: waits until it is made" in line for line in said)


def test_a_group_that_is_being_deleted_is_waited_for_and_made_anew(azure):
    azure.apply()
    for one in azure.cloud.things.values():
        one.properties["provisioningState"], one.ticks, one.then = "Deleting", 2, "gone"
    azure.apply()
    assert azure.has(azure.spec())


def test_what_takes_too_long_is_an_error_that_says_to_run_it_again(azure, monkeypatch):
    azure.arm.stalled = True
    azure.poll_seconds = 0.01
    azure.say_seconds = 0.05
    hasty = {name: replace(kind, seconds=0.01) for name, kind in BY_NAME.items()}
    monkeypatch.setattr("provisioner.clouds.azure.api.BY_NAME", hasty)
    with pytest.raises(CloudError, match=r"networkSecurityGroup toy-rules: not done within 0 s; run it again"):
        azure.apply()
    azure.arm.stalled = False


@pytest.mark.parametrize(
    "how", [Answer(429, b"{}", {"Retry-After": "0"}), Answer(503, b"{}", {"Retry-After": "0"}), "before", "after"]
)
def test_every_kind_of_hiccup_is_tried_again(azure, how):
    azure.retries = 4
    azure.api.faults.append(Fault(lambda call: call.method != "POST", how, times=3, skip=5))
    azure.apply()
    azure.retries = 0
    assert azure.has(azure.spec())


def test_a_slow_api_is_only_slow(azure):
    azure.api.seconds = 0.02
    azure.apply()
    assert azure.has(azure.spec())


HALF = {
    "the machine": [VM],
    "the machine and its interface": [VM, "microsoft.network/networkinterfaces"],
    "the uploaded disks": ["microsoft.compute/disks"],
    "the image version": ["microsoft.compute/galleries/images/versions"],
    "all images": [f"microsoft.compute/galleries{part}" for part in ("/images/versions", "/images", "")],
    "all but the group": ["microsoft."],
}


@pytest.mark.parametrize("what", HALF)
def test_what_somebody_deleted_by_hand_is_made_again_and_destroyed_again(azure, deployed, what):
    azure.arm.restore(deployed(1))
    for name, thing in list(azure.cloud.things.items()):
        if (VM in HALF[what] and "managedBy" in thing.body) or any(
            thing.kind == kind or (kind == "microsoft." and "/resourcegroups" not in thing.kind) for kind in HALF[what]
        ):
            del azure.cloud.things[name]
    left = azure.arm.save()
    azure.apply()
    assert azure.has(azure.spec())
    azure.arm.restore(left)
    azure.destroy()
    assert azure.cloud.things == {}


def test_a_disk_of_a_machine_that_somebody_kept_is_named_and_stays(azure, deployed):
    """It is a copy that we did not mark: whose it is now is not ours to say."""
    azure.arm.restore(deployed(1))
    vm = azure.thing(VM)
    vm.properties["storageProfile"]["osDisk"]["deleteOption"] = "Detach"
    azure.session().driver().delete(Key("virtualMachine", "toy"), progress=quiet)
    azure.apply()
    assert azure.has(azure.spec())
    with pytest.raises(CloudError, match=r"holds what we did not make: .*toy_disk_0+"):
        azure.destroy()


def test_a_preview_loads_no_sdk_and_reads_no_login():
    script = (
        "import json, sys; from pathlib import Path; from provisioner.clouds import Image; "
        "from provisioner.launch import preview; path = Path('/none'); "
        "image = Image(key='a' * 64, boot_disk=path, model_disk=path, gateway_port=8443, firmware=path); "
        "text = preview(json.loads(sys.argv[1]), image, path); assert 'ConfidentialVM' in text; "
        "print([name for name in sys.modules if name.split('.')[0] in ('azure', 'msal', 'requests')])"
    )
    words = [sys.executable, "-c", script, json.dumps(VARIABLES)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_a_long_operation_says_that_it_goes_on(azure):
    azure.say_seconds = 0.005
    azure.api.seconds = 0.02
    said = []
    azure.apply(progress=said.append)
    assert [line for line in said if re.fullmatch(r"virtualMachine toy: Azure still works on it, \d+ s", line)]
