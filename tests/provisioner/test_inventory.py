"""The inventory as a whole, before anything is made: each fault an operator can make, under the name that he wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from provisioner import place
from provisioner.bake import Bake, role_options
from provisioner.clouds.gpus import gpus_of
from provisioner.errors import SpecError
from provisioner.image.sources import Sources
from provisioner.inventory import PLACEHOLDERS, Told, require
from tests.provisioner.test_candidate import AZURE, GCP

REPOSITORY = Path(__file__).resolve().parents[2]
LOCAL = {"name": "toy", "cloud": "qemu", "port": 8443}
# Of somebody who has read the page.
OURS = GCP | {"project": "acme-llm", "bucket": "acme-llm-vitrine", "client_ranges": ["198.51.100.0/24"]}
GROUP = OURS | {"replicas": 2}


def bake(folder, **values):
    return Bake(REPOSITORY, folder / "images", Sources(cache=folder), {"gateway_access": '"open"', **values})


@pytest.fixture
def told(tmp_path):
    """Make what is said to a playbook: a good one, but for what a test changes."""

    def make(machine, playbook="deploy", **changes):
        values = changes.pop("values", {})
        options = role_options(REPOSITORY)
        good = Told(
            playbook=playbook,
            names=frozenset({"deploy_vm", *values}),
            values={"deploy_vm": machine, **values},
            unresolved={},
            text="deploy_name",
            given=frozenset(),
            sources=(str(REPOSITORY / "inventories/local"),),
            roles=("engine",),
            options=options,
            bake=bake(tmp_path, attester_gpus="1" if isinstance(machine, dict) and gpus_of(machine) else "0"),
            build=tmp_path,
            real=True,
        )
        return replace(good, **changes)

    return make


def faults(told):
    with pytest.raises(SpecError) as caught:
        require(told)
    return {fault.field: f"{fault.expected}, got {fault.got}" for fault in caught.value.faults}


@pytest.mark.parametrize("playbook", ["bake", "deploy", "verify", "destroy"])
@pytest.mark.parametrize("machine", [LOCAL, OURS, AZURE], ids=["local", "gcp", "azure"])
def test_a_good_inventory_passes(told, machine, playbook):
    require(told(machine, playbook, real=False))


def test_a_group_can_be_rolled_out(told):
    require(told(GROUP, "rollout"))


def test_a_name_and_a_machine_of_that_name_from_the_command_line_are_one(told):
    said = {"values": {"deploy_name": OURS["name"]}, "given": frozenset({"deploy_name", "deploy_vm"}), "text": ""}
    require(told(OURS, **said))
    assert set(faults(told(OURS, **said | {"values": {"deploy_name": "another"}}))) == {"deploy_vm.name"}


def test_whose_tokens_are_taken_is_said_before_the_bake(told, tmp_path):
    nobodys = Bake(REPOSITORY, tmp_path / "images", Sources(cache=tmp_path), {"gateway_access": '"tokens"'})
    assert "the issuer's public key" in faults(told(OURS, bake=nobodys))["gateway_token_issuer_key"]
    require(told(OURS, bake=nobodys, real=False))


@pytest.mark.parametrize("revokes", [3, "3", ["3"], [0], [True], [-1], {"3": 1}])
def test_what_names_no_releases_to_revoke(told, revokes):
    assert set(faults(told(OURS, values={"deploy_revokes": revokes}))) == {"deploy_revokes"}


def test_all_faults_are_told_at_once(told):
    wrong = told(
        OURS | {"zone": "Mars", "machine_type": "g4-standard-48", "replica": 2},
        values={"deploy_seconds": -1, "bake_mode": "production", "deploy_platform_values": "/nowhere"},
        names=frozenset({"deploy_vm", "deploy_prot"}),
        given=frozenset({"replicas", "zone"}),
        sources=("/nowhere/inventory",),
    )
    assert set(faults(wrong)) == {
        *("-i", "deploy_prot", "deploy_seconds", "deploy_platform_values", "bake_mode", "-e zone"),
        *("deploy_vm.zone", "deploy_vm.machine_type", "deploy_vm.replica"),
    }


@pytest.mark.parametrize("machine", [None, "{name: x}", ["x"], 3])
def test_a_machine_that_is_no_mapping(told, machine):
    assert "a mapping with a name" in faults(told(machine))["deploy_vm"]


def test_without_deploy_vm_no_inventory_was_named(told):
    assert "-i names no inventory" in faults(told(None, names=frozenset(), values={}))["deploy_vm"]


@pytest.mark.parametrize("playbook", ["bake", "deploy", "rollout", "verify", "destroy"])
def test_a_machine_without_a_name(told, playbook):
    assert "a value, got nothing" in faults(told({"cloud": "qemu"}, playbook))["deploy_vm.name"]


@pytest.mark.parametrize("cloud", ["nimbus", "GCP", 3])
def test_a_cloud_that_there_is_not(told, cloud):
    assert "one of qemu, gcp, azure" in faults(told(OURS | {"cloud": cloud}))["deploy_vm.cloud"]


def test_a_cloud_that_is_left_out_is_what_is_wrong_with_the_rest(told):
    machine = {key: value for key, value in OURS.items() if key != "cloud"}
    assert "nothing, which means a VM of this machine" in faults(told(machine))["deploy_vm.cloud"]
    require(told({"name": "toy", "port": 8443}))


def test_what_cannot_be_resolved_is_told_with_the_reason_and_not_once_more(told):
    found = faults(told(None, values={}, unresolved={"deploy_vm": "'my_zone' is undefined"}))
    assert found == {"deploy_vm": "a value that can be resolved, got 'my_zone' is undefined"}


def test_two_inventories_would_make_one_of_them_and_say_nothing(told):
    both = tuple(str(REPOSITORY / "inventories" / name) for name in ("gcp", "azure"))
    assert "one inventory: of several the last" in faults(told(LOCAL, sources=both))["-i"]


@pytest.mark.parametrize("name", ["deploy_seconds", "rollout_announce_seconds", "rollout_overlap_seconds"])
@pytest.mark.parametrize("value", [-1, "soon", "", None, True, "nan", "inf", [900]])
def test_a_wait_that_is_no_time(told, name, value):
    assert "a number of seconds" in faults(told(LOCAL, values={name: value}))[name]


def test_waits_from_the_command_line_are_texts_and_an_overlap_may_be_nothing(told):
    require(told(LOCAL, values={"deploy_seconds": "900", "rollout_overlap_seconds": 0}))


@pytest.mark.parametrize("name", ["deploy_platform_values", "deploy_simulated_cloud"])
@pytest.mark.parametrize("value", ["/nowhere/values.json", "/tmp", 3])
def test_a_file_that_is_none(told, name, value):
    assert "a file that is there" in faults(told(LOCAL, values={name: value}))[name]


@pytest.mark.parametrize("revoked", [3, "3", ["3"], [0], [True], [-1], None])
def test_revoked_releases_that_are_no_numbers(told, revoked):
    assert "a list of numbers" in faults(told(LOCAL, values={"deploy_revokes": revoked}))["deploy_revokes"]
    require(told(LOCAL, values={"deploy_revokes": [1, 2]}))


@pytest.mark.parametrize("service", ["", "two\nlines", 3])
def test_a_service_without_a_name(told, service):
    assert "deploy_service" in faults(told(LOCAL, values={"deploy_service": service}))


def test_the_bakes_own_faults_are_told_before_it(told, tmp_path):
    models = '[{"name": "gpt", "engine": "vllm", "context": 2048, "slots": "8", "gpu_percent": "90"}]'
    wrong = {"gateway_port": '"x"', "engine_models": models, "gateway_access": '"open"'}
    bake = Bake(REPOSITORY, tmp_path, Sources(cache=tmp_path), wrong)
    assert {"gateway_port", "engine_models.gpt.slots", "engine_models.gpt.gpu_percent"} == set(
        faults(told(LOCAL, bake=bake))
    )
    require(told(LOCAL, "destroy", bake=bake))


GPU = OURS | {"machine_type": "a3-highgpu-1g", "provisioning": "spot"}


@pytest.mark.parametrize("playbook", ["deploy", "rollout"])
@pytest.mark.parametrize(
    ("machine", "count", "said"),
    [
        (GPU, "0", "1, as many as the machine of deploy_vm has: an image for none has no NVIDIA driver, got 0"),
        (AZURE, "0", "1, as many as the machine of deploy_vm has: an image for none has no NVIDIA driver, got 0"),
        (GPU, "2", "1, as many as the machine of deploy_vm has: an image for others powers off, got 2"),
        (OURS, "1", "0, as many as the machine of deploy_vm has: an image for others powers off, got 1"),
        (LOCAL, "1", "0, as many as the machine of deploy_vm has: an image for others powers off, got 1"),
    ],
)
def test_an_image_for_another_number_of_gpus_than_the_machine_has(told, tmp_path, machine, count, said, playbook):
    wrong = told(machine, playbook, bake=bake(tmp_path, attester_gpus=count))
    assert faults(wrong)["attester_gpus"] == said


def test_an_image_for_gpus_can_be_baked_beside_another_inventory_and_be_looked_for(told, tmp_path):
    for playbook in ("bake", "verify", "destroy"):
        require(told(LOCAL, playbook, bake=bake(tmp_path, attester_gpus="1")))


def test_vllm_without_the_image_that_has_it_is_told_once(told, tmp_path):
    models = '[{"name": "m", "engine": "vllm", "context": 2048, "slots": 1}]'
    weights = '[{"name": "m", "repository": "r", "revision": "1", "folder": "/m", "files": {"config.json": "%s"}}]'
    wrong = told(GPU, bake=bake(tmp_path, engine_models=models, engine_weights=weights % ("a" * 64)))
    assert faults(wrong) == {
        "attester_gpus": "at least 1: engine_models names vLLM, which is in images for GPUs alone, got 0"
    }


def test_secure_boot_would_refuse_the_driver(told):
    assert "locked before the driver" in faults(told(GPU | {"secure_boot": True}))["deploy_vm.secure_boot"]


def test_a_name_that_does_not_follow_the_command_line(told):
    wrong = told(LOCAL, values={"deploy_name": "other"}, given=frozenset({"deploy_name"}))
    assert "follows -e deploy_name" in faults(wrong)["deploy_vm.name"]


@pytest.mark.parametrize(
    ("machine", "key"), [(LOCAL, "cloud"), (OURS, "replicas"), (OURS | {"replicas": 1}, "replicas")]
)
def test_one_machine_is_not_rolled_out(told, machine, key):
    assert "one machine is replaced, not rolled over" in faults(told(machine, "rollout"))[f"deploy_vm.{key}"]


# What an inventory says until somebody says better


def test_a_debug_image_is_for_this_machine_alone(told):
    require(told(LOCAL, values={"bake_mode": "debug"}))
    found = faults(told(OURS, values={"bake_mode": "debug"}))
    assert "a debug image is for VMs of this machine" in found["bake_mode"]


def test_the_placeholders_are_what_the_inventories_say():
    said = [
        yaml.safe_load((REPOSITORY / f"inventories/{name}/group_vars/all.yml").read_text()) for name in ("gcp", "azure")
    ]
    vms = [one["deploy_vm"] for one in said]
    for key, value in PLACEHOLDERS.items():
        assert [vm[key] for vm in vms if key in vm] == [value]


@pytest.mark.parametrize("playbook", ["deploy", "rollout"])
def test_placeholders_are_refused_by_name_in_a_real_run(told, playbook):
    found = faults(told(GCP | {"replicas": 2}, playbook))
    assert set(found) == {"deploy_vm.project", "deploy_vm.bucket", "deploy_vm.client_ranges"}
    assert "my-project, which stands there as an example" in found["deploy_vm.project"]
    assert set(faults(told(AZURE))) == {"deploy_vm.subscription", "deploy_vm.client_networks"}


def test_placeholders_pass_where_nothing_is_made(told, tmp_path):
    require(told(GCP, real=False))
    require(told(GCP, "bake"))
    (tmp_path / "ca.pem").write_text("")
    require(told(GCP, values={"deploy_simulated_cloud": str(tmp_path / "ca.pem")}))


# Another place


def test_a_deployment_that_is_elsewhere_is_refused_before_the_bake(told, tmp_path):
    place.record(tmp_path / "prod", OURS)
    require(told(OURS))
    assert (
        "europe-west4-c of project acme-llm, where prod is"
        in faults(told(OURS | {"zone": "europe-west4-a"}))["deploy_vm"]
    )
    require(told(OURS | {"zone": "europe-west4-a"}, "destroy"))
    assert "acme-llm" in faults(told(OURS | {"project": "other-llm"}, "destroy"))["deploy_vm"]


@pytest.mark.parametrize("playbook", ["verify", "destroy"])
def test_to_look_and_to_destroy_it_takes_the_place_alone(told, playbook):
    require(told(OURS | {"machine_type": "gone", "subnet": "x", "colour": "red"}, playbook))
    assert set(faults(told(OURS | {"machine_type": "gone", "project": "NO"}, playbook))) == {"deploy_vm.project"}
