"""The fake itself: what it refuses, so that a plan that passes it has been held to something."""

from __future__ import annotations

import copy
import json

import pytest

from provisioner.clouds.azure import plan
from provisioner.clouds.resources import Key
from provisioner.errors import CloudError
from tests.fakes.azure import schema
from tests.fakes.azure.arm import VERSIONS, Arm
from tests.fakes.azure.effects import VM
from tests.fakes.azure.things import SUBSCRIPTION
from tests.fakes.cloud_api import Call
from tests.provisioner.clouds.azure.conftest import KEYS
from tests.provisioner.clouds.azure.test_plan import MODELS
from tests.provisioner.clouds.conftest import quiet

P = "properties"

LOCATION = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/eastus2"


def body_of(azure, kind, **changes):
    (resource,) = [one for one in plan(azure.spec(**changes)).resources if one.key.kind == kind][:1]
    return resource.key, copy.deepcopy(dict(resource.body))


def at(body, path):
    for step in path:
        body = body[step]
    return body


@pytest.mark.parametrize(
    ("kind", "path", "key", "value", "said"),
    [
        ("virtualMachine", [P], "confidential", True, "VirtualMachineProperties has no such property"),
        ("virtualMachine", [P, "securityProfile"], "security_type", "x", "has no such property"),
        ("virtualMachine", [P, "securityProfile"], "securityType", "VeryConfidential", "'VeryConfidential' is none of"),
        ("virtualMachine", [P, "securityProfile", "uefiSettings"], "vTpmEnabled", "true", "bool is expected"),
        ("virtualMachine", [P, "securityProfile", "uefiSettings"], "vTpmEnabled", 1, "bool is expected"),
        ("virtualMachine", [P], "provisioningState", "Succeeded", "is read-only"),
        ("virtualMachine", [P], "instanceView", {}, "is read-only"),
        ("virtualMachine", [P, "storageProfile"], "dataDisks", {}, "a list is expected"),
        ("virtualMachine", [P], "networkProfile", [], "an object is expected"),
        ("virtualMachine", [], "tags", {"a": 1}, "str is expected"),
        ("disk", [P, "creationData"], "createOption", "Download", "'Download' is none of"),
        ("disk", [P, "creationData"], "uploadSizeBytes", "1", "int is expected"),
        ("networkSecurityGroup", [P, "securityRules", 0, P], "protocol", "TCP/IP", "is none of"),
        ("loadBalancer", [P, "loadBalancingRules", 0, P], "disableOutboundSnat", "yes", "bool is expected"),
        ("galleryImage", [P], "osState", "Special", "is none of"),
    ],
)
def test_the_schema_refuses(azure, kind, path, key, value, said):
    _, body = body_of(azure, kind)
    assert schema.faults(MODELS[kind], body) == []
    at(body, path)[key] = value
    assert any(said in fault for fault in schema.faults(MODELS[kind], body))


@pytest.mark.parametrize(
    ("kind", "path", "key"), [("disk", [], "location"), ("disk", [P, "creationData"], "createOption")]
)
def test_the_schema_misses(azure, kind, path, key):
    _, body = body_of(azure, kind)
    del at(body, path)[key]
    assert any("is required" in fault for fault in schema.faults(MODELS[kind], body))


def refused(azure, state, kind, change, **changes):
    """Send one changed body to a cloud that has all that it needs."""
    azure.arm.restore(state)
    key, body = body_of(azure, kind, **changes)
    driver = azure.session().driver()
    if kind in ("virtualMachine", "virtualMachineScaleSet", "galleryImageVersion"):
        azure.destroy_kind(key)
    change(body)
    with pytest.raises(CloudError) as raised:
        driver.api.put(key, body, progress=quiet)
    return str(raised.value)


def storage(body):
    profile = body[P].get("virtualMachineProfile", body[P])
    return profile["storageProfile"]


def security(body):
    return body[P].get("virtualMachineProfile", body[P])["securityProfile"]


GUEST = {"securityProfile": {"securityEncryptionType": "DiskWithVMGuestState"}}
RULES = {
    "osProfile with a Specialized image": (
        "virtualMachine",
        lambda b: b[P].update(osProfile={"computerName": "x"}),
        {},
        "Parameter 'osProfile' is not allowed",
    ),
    "no vTPM": (
        "virtualMachine",
        lambda b: security(b)["uefiSettings"].update(vTpmEnabled=False),
        {},
        "vTpmEnabled must be true",
    ),
    "no guest state": (
        "virtualMachine",
        lambda b: storage(b)["osDisk"]["managedDisk"].pop("securityProfile"),
        {},
        "securityEncryptionType",
    ),
    "not confidential on a confidential size": (
        "virtualMachine",
        lambda b: security(b).update(securityType="TrustedLaunch"),
        {},
        "do not go together",
    ),
    "confidential on another size": (
        "virtualMachine",
        lambda b: b[P]["hardwareProfile"].update(vmSize="Standard_D4s_v5"),
        {},
        "do not go together",
    ),
    "no such size": ("virtualMachine", lambda b: b[P]["hardwareProfile"].update(vmSize="big"), {}, "not valid"),
    "Spot's fields without Spot": (
        "virtualMachine",
        lambda b: b[P].update(evictionPolicy="Delete"),
        {},
        "are for priority Spot",
    ),
    "the model's disk forgotten": (
        "virtualMachine",
        lambda b: storage(b).update(dataDisks=[]),
        {},
        "must be named by lun",
    ),
    "an image that is not there": (
        "virtualMachine",
        lambda b: storage(b)["imageReference"].update(id=storage(b)["imageReference"]["id"] + "1"),
        {},
        "was not found",
    ),
    "DiskWithVMGuestState in a set": (
        "virtualMachineScaleSet",
        lambda b: storage(b)["osDisk"]["managedDisk"].update(GUEST),
        {"replicas": 2},
        "not supported in scale sets",
    ),
    "an upgrade policy of a Flexible set": (
        "virtualMachineScaleSet",
        lambda b: b[P].update(upgradePolicy={"mode": "Manual"}),
        {"replicas": 2},
        "not supported for Flexible",
    ),
    "no fault domains of a Flexible set": (
        "virtualMachineScaleSet",
        lambda b: b[P].pop("platformFaultDomainCount"),
        {"replicas": 2},
        "is required for Flexible",
    ),
    "acceleration on NCC": (
        "virtualMachineScaleSet",
        lambda b: b[P]["virtualMachineProfile"]["networkProfile"]["networkInterfaceConfigurations"][0][P].update(
            enableAcceleratedNetworking=True
        ),
        {"replicas": 2},
        "not supported on Standard_NCC40ads_H100_v5",
    ),
    "a disk that changes": (
        "disk",
        lambda b: b[P]["creationData"].update(uploadSizeBytes=(2 << 30) + 512),
        {},
        "Changing property 'creationData'",
    ),
    "a thing that moves": ("gallery", lambda b: b.update(location="westeurope"), {}, "already exists in location"),
    "two rules of one priority": (
        "networkSecurityGroup",
        lambda b: b[P]["securityRules"][1][P].update(priority=100),
        {},
        "same name or priority",
    ),
    "a priority out of range": (
        "networkSecurityGroup",
        lambda b: b[P]["securityRules"][1][P].update(priority=99),
        {},
        "priority is 100 to 4096",
    ),
    "a basic balancer on a standard address": (
        "loadBalancer",
        lambda b: b["sku"].update(name="Basic"),
        {},
        "different SKUs",
    ),
    "a rule to no pool": (
        "loadBalancer",
        lambda b: b[P].update(backendAddressPools=[]),
        {},
        "there is no such backendAddressPool",
    ),
    "a standard address that moves": (
        "publicIPAddress",
        lambda b: b[P].update(publicIPAllocationMethod="Dynamic"),
        {},
        "must be Static",
    ),
    "a version elsewhere": (
        "galleryImageVersion",
        lambda b: b[P]["publishingProfile"]["targetRegions"][0].update(name="westeurope"),
        {},
        "must contain the location",
    ),
    "an image without the capability": (
        "galleryImage",
        lambda b: b[P].update(features=[]),
        {},
        "Changing property 'features'",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_no_schema_says(azure, deployed, rule):
    kind, change, changes, said = RULES[rule]
    assert said in refused(azure, deployed(changes.get("replicas", 1)), kind, change, **changes)


def test_an_image_whose_definition_lacks_the_capability_boots_no_confidential_vm(azure, deployed):
    azure.arm.restore(deployed(1))
    key, body = body_of(azure, "virtualMachine")
    azure.destroy_kind(key)
    azure.thing("microsoft.compute/galleries/images").properties["features"] = []
    with pytest.raises(CloudError, match=r"The image has no security type ConfidentialVM"):
        azure.session().driver().api.put(key, body, progress=quiet)


def test_a_generalized_image_wants_an_os_profile(azure, deployed):
    azure.arm.restore(deployed(1))
    key, body = body_of(azure, "virtualMachine")
    azure.destroy_kind(key)
    azure.thing("microsoft.compute/galleries/images").properties["osState"] = "Generalized"
    with pytest.raises(CloudError, match=r"osProfile is required"):
        azure.session().driver().api.put(key, body, progress=quiet)


@pytest.mark.parametrize(
    "kind",
    [
        "networkSecurityGroup",
        "virtualNetwork",
        "publicIPAddress",
        "loadBalancer",
        "networkInterface",
        "gallery",
        "galleryImage",
    ],
)
def test_what_is_in_use_cannot_be_deleted(azure, kind, deployed):
    azure.arm.restore(deployed(1))
    (key, _) = body_of(azure, kind)
    with pytest.raises(CloudError, match=r"in use by|nested resource"):
        azure.session().driver().api.delete(key, progress=quiet)


def test_a_machines_disk_whose_name_is_taken_is_refused(azure, deployed):
    azure.arm.restore(deployed(1))
    key, body = body_of(azure, "virtualMachine")
    azure.destroy_kind(key)
    storage(body)["osDisk"]["name"] = next(disk.name for disk in azure.cloud.of("microsoft.compute/disks"))
    with pytest.raises(CloudError, match=r"already exists in resource group"):
        azure.session().driver().api.put(key, body, progress=quiet)


@pytest.mark.parametrize("size", [1 << 30, (1 << 30) + 511, 512, (1 << 20) + 512])
def test_a_disk_whose_size_is_no_vhds_is_refused(azure, size, deployed):
    key, body = body_of(azure, "disk", resource_group_exists=True)
    azure.arm.restore(deployed(1))
    azure.destroy_kind(key)
    body[P]["creationData"]["uploadSizeBytes"] = size
    with pytest.raises(CloudError, match=r"whole MiB plus 512"):
        azure.session().driver().api.put(key, body, progress=quiet)


def test_an_open_disk_cannot_be_deleted(azure, deployed):
    azure.arm.restore(deployed(1))
    key, _ = body_of(azure, "disk")
    azure.cloud.find(f"{azure.spec().place.id}/providers/Microsoft.Compute/disks/{key.name}").properties[
        "diskState"
    ] = "ActiveSAS"
    with pytest.raises(CloudError, match=r"is in state ActiveSAS"):
        azure.session().driver().api.delete(key, progress=quiet)


def test_a_disk_without_its_footer_makes_no_image(azure, deployed):
    azure.arm.restore(deployed(1))
    key, body = body_of(azure, "galleryImageVersion")
    azure.destroy_kind(key)
    for blob in azure.cloud.blobs.values():
        blob.pages.pop(max(blob.pages))
    with pytest.raises(CloudError, match=r"the VHD's footer is missing"):
        azure.session().driver().api.put(key, body, progress=quiet)


def call(path, method="GET", version="2026-04-01", token="a-token"):  # noqa: S107
    return Call(method, path, {"api-version": version}, {"Authorization": f"Bearer {token}"}, b"")


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        (call("/elsewhere"), 404, "InvalidResourceType"),
        (call(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/x", version="2021-04-01"), 404, "ResourceGroupNotFound"),
        (
            call(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/x", version="1999-01-01"),
            400,
            "InvalidApiVersionParameter",
        ),
        (call("/subscriptions/another/resourceGroups/x", version="2021-04-01"), 404, "SubscriptionNotFound"),
        (call(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/x", token="old"), 401, "ExpiredAuthenticationToken"),
        (call(f"{LOCATION}/operations/none"), 404, "OperationNotFound"),
    ],
)
def test_paths_versions_and_logins_are_checked(asked, status, code):
    answer = Arm().handle(asked)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (status, code)
    assert answer.headers["x-ms-request-id"]


def test_lists_come_in_pages(azure):
    azure.apply(azure.spec(replicas=3))
    azure.api.calls.clear()
    assert len(azure.session().vm("toy").nodes) == 3
    assert len([one for one in azure.api.calls if "$skiptoken" in one.query]) >= 1
    assert len(azure.cloud.of(VM)) == 3


def test_every_kind_of_the_plan_has_a_model_and_a_version():
    assert set(MODELS.values()) <= set(VERSIONS)
    assert Key("virtualMachine", "x").kind in MODELS


def rule(body, number=0):
    return body[P]["loadBalancingRules"][number]


def another_rule(body, **changes):
    """Add a second rule like the first."""
    copied = copy.deepcopy(rule(body)) | {"name": "another"}
    copied[P].update(changes)
    body[P]["loadBalancingRules"].append(copied)


POOL = "pool-" + KEYS[0][:16]
BALANCERS = {
    "a pool that machines are in goes": (
        lambda b: (
            b[P].update(backendAddressPools=[{"name": "pool"}]),
            rule(b)[P]["backendAddressPool"].update(id=rule(b)[P]["backendAddressPool"]["id"].replace(POOL, "pool")),
        ),
        "InUseBackendAddressPoolCannotBeDeleted",
    ),
    "two rules lead to the same port of a machine": (
        lambda b: another_rule(b, frontendPort=444),
        "RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig",
    ),
    "two rules have one frontend port": (another_rule, "RulesUseSameFrontendPortProtocolAndIP"),
}


@pytest.mark.parametrize("fault", BALANCERS)
def test_a_balancer_that_azure_refuses(azure, deployed, fault):
    change, code = BALANCERS[fault]
    azure.arm.restore(deployed(2))
    driver, key = azure.session().driver(), Key("loadBalancer", "toy-balancer")
    (planned,) = [one for one in plan(azure.spec(replicas=2)).resources if one.key == key]
    body = copy.deepcopy(dict(planned.body))
    change(body)
    with pytest.raises(CloudError, match=code):
        driver.api.put(key, body, progress=quiet)
