"""Plans, word for word as they were reviewed, and what every plan holds to whatever was asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.clouds.azure import AzureSpec, plan
from provisioner.clouds.certificate import encoded
from provisioner.clouds.interface import Rolling
from provisioner.errors import PlanError
from tests.fakes.azure import schema
from tests.provisioner.clouds.azure.test_spec import IMAGE, LEAST, certificate

GOLDEN = Path(__file__).parents[2] / "golden"
KINDS = {
    "h100": {},
    "cpu": {"size": "Standard_DC4as_v5", "port": 8443, "disk_type": "StandardSSD_LRS"},
    "spot": {"priority": "spot"},
    "set": {"size": "Standard_EC8ads_v6", "replicas": 3, "model_disk_gib": 40},
    "secure-boot": {"secure_boot": True, "secure_boot_certificates": [certificate()]},
    "group-of-others": {"resource_group_exists": True},
}
MODELS = {
    "networkSecurityGroup": "microsoft.network/networksecuritygroups",
    "virtualNetwork": "microsoft.network/virtualnetworks",
    "publicIPAddress": "microsoft.network/publicipaddresses",
    "loadBalancer": "microsoft.network/loadbalancers",
    "networkInterface": "microsoft.network/networkinterfaces",
    "disk": "microsoft.compute/disks",
    "gallery": "microsoft.compute/galleries",
    "galleryImage": "microsoft.compute/galleries/images",
    "galleryImageVersion": "microsoft.compute/galleries/images/versions",
    "virtualMachine": "microsoft.compute/virtualmachines",
    "virtualMachineScaleSet": "microsoft.compute/virtualmachinescalesets",
}


def planned(**changes):
    return plan(AzureSpec.from_vars(LEAST | changes, IMAGE))


def digests(made):
    return [(resource.key, resource.digest) for resource in made.resources]


def bodies(made):
    return {str(resource.key): resource.body for resource in made.resources}


def shown(made):
    """The bodies, without the certificate's bytes: its signature differs each time that a test makes one."""
    der = json.dumps(encoded(KINDS["secure-boot"]["secure_boot_certificates"][0].encode()))
    return json.loads(json.dumps(bodies(made)).replace(der, '"(the certificate in DER, base64)"'))


@pytest.mark.parametrize("kind", KINDS)
def test_golden(kind):
    # A change of these bodies changes what Azure is asked for: review it against the vendor's reference as such.
    assert shown(planned(**KINDS[kind])) == json.loads((GOLDEN / f"azure-{kind}.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_every_body_is_one_that_the_vendors_models_know(kind):
    for resource in planned(**KINDS[kind]).resources:
        if resource.key.kind != "resourceGroup":
            assert schema.faults(MODELS[resource.key.kind], resource.body) == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_passed_to_a_machine_and_nothing_looks_into_it(kind):
    text = json.dumps(bodies(planned(**KINDS[kind])))
    for word in (
        "osProfile",
        "userData",
        "customData",
        "identity",
        "extension",
        "adminUsername",
        "storageUri",
        "admin",
    ):
        assert f'"{word}' not in text
    assert '"bootDiagnostics": {"enabled": false}' in text
    assert "outboundRules" not in text
    assert "inboundNat" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_machines_are_confidential_and_their_guest_state_is_encrypted(kind):
    (body,) = [
        body
        for key, body in bodies(planned(**KINDS[kind])).items()
        if key.startswith(("virtualMachine ", "virtualMachineScaleSet "))
    ]
    profile = body["properties"].get("virtualMachineProfile", body["properties"])
    assert profile["securityProfile"]["securityType"] == "ConfidentialVM"
    assert profile["securityProfile"]["uefiSettings"]["vTpmEnabled"] is True
    disk = profile["storageProfile"]["osDisk"]["managedDisk"]["securityProfile"]
    assert disk == {"securityEncryptionType": "VMGuestStateOnly"}


def test_rules_end_with_denying_everything_and_name_the_platforms_own_services():
    rules = bodies(planned())["networkSecurityGroup toy-rules"]["properties"]["securityRules"]
    told = {rule["name"]: rule["properties"] for rule in rules}
    for name, direction in (("deny-in", "Inbound"), ("deny-out", "Outbound")):
        assert (told[name]["access"], told[name]["direction"], told[name]["priority"]) == ("Deny", direction, 4096)
        assert {told[name][key] for key in ("protocol", "destinationPortRange", "destinationAddressPrefix")} == {"*"}
    assert [rule["access"] for rule in told.values() if rule["direction"] == "Outbound"] == ["Deny"] * 4
    denied = {rule["destinationAddressPrefix"] for rule in told.values() if rule["direction"] == "Outbound"}
    assert denied == {"*", "AzurePlatformIMDS", "AzurePlatformDNS", "AzurePlatformLKM"}


def test_a_new_image_is_a_new_name_for_what_is_made_of_it():
    other = plan(AzureSpec.from_vars(LEAST, replace(IMAGE, key="f" * 64)))
    ours = {resource.key for resource in planned().resources}
    changed = {key.kind for key in ours - {resource.key for resource in other.resources}}
    assert changed == {"disk", "galleryImage", "galleryImageVersion"}


@pytest.mark.parametrize(
    "changes",
    [
        {"location": "westeurope"},
        {"size": "Standard_DC4as_v5"},
        {"priority": "spot"},
        {"replicas": 2},
        {"client_networks": ["198.51.100.0/24"]},
        {"port": 8443},
        {"network": "10.78.0.0/24"},
        {"boot_disk_gib": 5},
        {"model_disk_gib": 5},
        {"disk_type": "StandardSSD_LRS"},
        {"resource_group": "elsewhere"},
        {"subscription": "00000000-0000-0000-0000-000000000002"},
    ],
    ids=str,
)
def test_every_difference_shows_in_some_digest(changes):
    assert digests(planned(**changes)) != digests(planned())


def test_what_costs_says_its_meter_and_never_money():
    text = "\n".join(planned(replicas=2).lines())
    assert "2 x (1 machine x hours of Standard_NCC40ads_H100_v5" in text
    assert "1 static public IPv4 address x hours" in text
    assert not [sign for sign in ("$", "€", "USD", "EUR") if sign in text]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"priority": "spot"}, "priority is spot"),
        ({"client_networks": ["0.0.0.0/0"]}, "client_networks lets the whole Internet connect"),
        ({}, "secure_boot is false"),
    ],
)
def test_what_an_operator_should_know_is_a_warning(changes, said):
    assert any(said in text for text in planned(**changes).warnings)


OLD, NEW = "f" * 16, IMAGE.key[:16]
STEPS = {"stage": f"pool-{OLD}", "overlap": "pool", "drain": f"pool-{NEW}", "back": f"pool-{OLD}"}


def rolled(step, **changes):
    spec = AzureSpec.from_vars(LEAST | {"replicas": 2} | changes, IMAGE)
    return plan(spec, Rolling(old=OLD, step=step))


def balancer(step):
    return bodies(rolled(step))["loadBalancer toy-balancer"]["properties"]


@pytest.mark.parametrize("step", STEPS)
def test_each_step_leads_clients_to_its_pool_and_keeps_the_old_set(step):
    rules = {rule["name"]: rule["properties"] for rule in balancer(step)["loadBalancingRules"]}
    assert rules["service"]["backendAddressPool"]["id"].rpartition("/")[2] == STEPS[step]
    assert {pool["name"] for pool in balancer(step)["backendAddressPools"]} >= {"pool", f"pool-{OLD}"}
    assert (f"virtualMachineScaleSet toy-{NEW}" in bodies(rolled(step))) == (step != "back")
    assert {key.kind for key in rolled(step).kept} == {
        *("disk", "galleryImage", "galleryImageVersion", "virtualMachineScaleSet"),
    }
    assert all(OLD in key.name for key in rolled(step).kept)
    assert rolled(step).kept[-1].kind == "virtualMachineScaleSet"


@pytest.mark.parametrize("step", STEPS)
def test_machines_on_trial_have_a_port_of_their_own_and_no_other_time(step):
    ports = {rule["name"]: rule["properties"]["frontendPort"] for rule in balancer(step)["loadBalancingRules"]}
    assert ports == ({"service": 443, "staging": 444} if step == "stage" else {"service": 443})
    if step == "stage":
        staging = balancer(step)["loadBalancingRules"][1]["properties"]
        assert staging["backendAddressPool"]["id"].rpartition("/")[2] == f"pool-{NEW}"
        assert staging["disableOutboundSnat"] is True


@pytest.mark.parametrize("step", STEPS)
def test_every_body_of_every_step_is_one_that_the_vendors_models_know(step):
    for resource in rolled(step).resources:
        if resource.key.kind != "resourceGroup":
            assert schema.faults(MODELS[resource.key.kind], resource.body) == []


def test_no_machine_is_touched_by_a_step():
    found = [{one.key: one.digest for one in rolled(step).resources} for step in ("stage", "overlap", "drain")]
    assert {key.kind for one in found for key, digest in one.items() if found[0][key] != digest} == {"loadBalancer"}


def test_one_machine_is_not_rolled_over():
    with pytest.raises(PlanError, match="one machine is replaced, not rolled over"):
        rolled("stage", replicas=1)
