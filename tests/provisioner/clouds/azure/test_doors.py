"""Each door that somebody can open afterwards, as in the portal: nothing is published, and how to shut it is said."""

from __future__ import annotations

import copy
import re

import pytest

from provisioner.clouds.azure import doors
from provisioner.errors import CloudError
from tests.fakes.azure.effects import BALANCER, INTERFACE, RULES, VM
from tests.provisioner.clouds.conftest import quiet


def vm(azure):
    return azure.cloud.of(VM)[-1]


def set_vm(path, value):
    """Set something deep in a machine's body."""

    def change(azure):
        where = vm(azure).body
        for step in path[:-1]:
            where = where.setdefault(step, {})
        where[path[-1]] = value

    return change


def rule(**changes):
    def change(azure):
        everything = {
            "protocol": "*",
            "sourcePortRange": "*",
            "destinationPortRange": "*",
            "destinationAddressPrefix": "*",
        }
        more = {"sourceAddressPrefix": "*", "priority": 101, "access": "Allow", "direction": "Inbound"}
        rules = azure.thing(RULES).properties["securityRules"]
        rules.append({"name": "added", "properties": everything | more | changes})

    return change


def without_rule(name):
    def change(azure):
        rules = azure.thing(RULES).properties["securityRules"]
        rules[:] = [one for one in rules if one["name"] != name]

    return change


def balancer(change):
    return lambda azure: change(azure.thing(BALANCER).properties)


def interface(change):
    return lambda azure: change(azure.cloud.of(INTERFACE)[-1].properties)


def bare_of_rules(azure):
    for one in azure.cloud.of(INTERFACE):
        one.properties.pop("networkSecurityGroup")
    azure.thing("microsoft.network/virtualnetworks").properties["subnets"][0]["properties"].pop("networkSecurityGroup")


def second_interface(azure):
    profile = vm(azure).properties["networkProfile"]["networkInterfaces"]
    profile.append(copy.deepcopy(profile[0]))


# What ends the sentence: a command, or a thing to do.
STEP = re.compile(
    r"(: az [a-z][a-z -]+.*|[:;] destroy the deployment, deploy it again|: deploy again|: detach all but the first"
    r"|: delete it|: turn it off)$"
)
P = "properties"
ADDRESS = {"id": "/subscriptions/x/resourceGroups/y/providers/Microsoft.Network/publicIPAddresses/z"}
DOORS = {
    "boot diagnostics": (
        set_vm([P, "diagnosticsProfile", "bootDiagnostics", "enabled"], True),
        "boot diagnostics are on",
    ),
    "serial log in effect": (
        set_vm(["_seen", "bootDiagnostics"], {"serialConsoleLogBlobUri": "https://x"}),
        "boot diagnostics are on",
    ),
    "extension": (set_vm(["resources"], [{"name": "CustomScript"}]), "the extension CustomScript is installed"),
    "extension in effect": (
        set_vm(["_seen", "extensions"], [{"name": "VMAccess"}]),
        "the extension VMAccess is installed",
    ),
    "extensions allowed": (set_vm([P, "osProfile"], {"allowExtensionOperations": True}), "extensions are allowed"),
    "agent wanted": (
        set_vm([P, "osProfile"], {"linuxConfiguration": {"provisionVMAgent": True}}),
        "an agent is provisioned",
    ),
    "agent in effect": (set_vm(["_seen", "vmAgent"], {"vmAgentVersion": "2.9.1"}), "an agent reports from inside"),
    "proxy agent": (
        set_vm([P, "securityProfile", "proxyAgentSettings"], {"enabled": True}),
        "the metadata proxy agent",
    ),
    "identity": (set_vm(["identity"], {"type": "SystemAssigned"}), "the machine has an identity (SystemAssigned)"),
    "user data": (set_vm([P, "userData"], "IyEvYmluL3No"), "userData is set"),
    "login": (set_vm([P, "osProfile"], {"adminUsername": "root"}), "an osProfile is set"),
    "run command": (
        set_vm(["_seen", "runCommands"], [{"name": "peek", "location": "eastus2"}]),
        "the run command peek",
    ),
    "not confidential": (set_vm([P, "securityProfile", "securityType"], "TrustedLaunch"), "not a confidential VM"),
    "no vTPM": (set_vm([P, "securityProfile", "uefiSettings", "vTpmEnabled"], False), "no vTPM"),
    "guest state": (
        set_vm([P, "storageProfile", "osDisk", "managedDisk", "securityProfile"], {}),
        "guest state is not encrypted",
    ),
    "second interface": (second_interface, "2 network interfaces"),
    "public address": (
        interface(lambda p: p["ipConfigurations"][0][P].update(publicIPAddress=ADDRESS)),
        "the interface has a public address",
    ),
    "NAT to the interface": (
        interface(lambda p: p["ipConfigurations"][0][P].update(loadBalancerInboundNatRules=[ADDRESS])),
        "a NAT rule",
    ),
    "forwarding": (interface(lambda p: p.update(enableIPForwarding=True)), "the interface forwards"),
    "SSH let in": (rule(protocol="Tcp", destinationPortRange="22"), "the rule added lets something else inbound"),
    "a range of ports let in": (rule(protocol="Tcp", destinationPortRange="8443-8444"), "lets something else inbound"),
    "the port by UDP": (
        rule(protocol="Udp", destinationPortRange="8443"),
        "the rule added lets something else inbound",
    ),
    "all let in": (rule(), "the rule added lets something else inbound"),
    "all let out": (rule(direction="Outbound"), "the rule added lets something else outbound"),
    "the last rule inwards gone": (without_rule("deny-in"), "the rule AllowVnetInBound lets something else inbound"),
    "the last rule outwards gone": (
        without_rule("deny-out"),
        "the rule AllowInternetOutBound lets something else outbound",
    ),
    "no rules at all": (bare_of_rules, "no security rules are in effect"),
    "second rule of the balancer": (
        balancer(lambda p: p["loadBalancingRules"].append(p["loadBalancingRules"][0] | {"name": "more"})),
        "2 rules",
    ),
    "way out through the balancer": (
        balancer(lambda p: p["loadBalancingRules"][0][P].update(disableOutboundSnat=False)),
        "lets machines out",
    ),
    "outbound rule": (
        balancer(lambda p: p.update(outboundRules=[{"name": "out"}])),
        "the balancer has out in outboundRules",
    ),
    "NAT rule": (
        balancer(lambda p: p.update(inboundNatRules=[{"name": "ssh"}])),
        "the balancer has ssh in inboundNatRules",
    ),
    "NAT pool": (
        balancer(lambda p: p.update(inboundNatPools=[{"name": "ssh"}])),
        "the balancer has ssh in inboundNatPools",
    ),
}


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("door", DOORS)
def test_a_door_that_was_opened_is_seen_and_nothing_is_published(azure, deployed, door, replicas):
    azure.arm.restore(deployed(replicas))
    opened, said = DOORS[door]
    opened(azure)
    with pytest.raises(CloudError, match=r"toy: open doors, nothing is published: ") as raised:
        azure.remote().wait_ready("toy", seconds=5, progress=quiet)
    assert said in str(raised.value)


@pytest.mark.parametrize("replicas", [1, 2])
def test_as_deployed_every_door_is_shut(azure, deployed, replicas):
    azure.arm.restore(deployed(replicas))
    assert azure.session().open_doors("toy") == ()


def test_doors_of_every_machine_of_a_set_are_looked_at(azure, deployed):
    azure.arm.restore(deployed(2))
    for one in azure.cloud.of(VM):
        one.body["identity"] = {"type": "UserAssigned"}
    found = azure.session().open_doors("toy")
    assert {door.split(":")[0] for door in found} == {one.name for one in azure.cloud.of(VM)}


def test_several_doors_are_all_named(azure, deployed):
    azure.arm.restore(deployed(1))
    for door in ("boot diagnostics", "user data", "SSH let in"):
        DOORS[door][0](azure)
    assert len(azure.session().open_doors("toy")) == 3


def test_every_door_says_how_to_shut_it(azure, deployed):
    for door, (opened, _) in DOORS.items():
        azure.arm.restore(deployed(1))
        opened(azure)
        found = azure.session().open_doors("toy")
        assert [one for one in found if not STEP.search(one)] == [], door


def test_a_machine_that_stopped_is_not_ready(azure, deployed):
    azure.arm.restore(deployed(1))
    vm(azure).body["_seen"]["statuses"] = [{"code": "PowerState/stopped"}]
    with pytest.raises(CloudError, match=r"not ready within 0 s: not running yet: toy; allow more \(deploy_seconds\)"):
        azure.remote().wait_ready("toy", seconds=0, progress=quiet)


def test_a_machine_that_the_set_lost_is_not_ready(azure, deployed):
    azure.arm.restore(deployed(2))
    del azure.cloud.things[vm(azure).id.lower()]
    with pytest.raises(CloudError, match=r"not ready within 0 s: not running yet: toy"):
        azure.remote().wait_ready("toy", seconds=0, progress=quiet)


def test_an_endpoint_where_nobody_listens_is_not_ready(azure, deployed):
    azure.arm.restore(deployed(1))
    azure.arm.machines.close()
    with pytest.raises(CloudError, match=r"nothing listens at https://127.1.*the connection is refused"):
        azure.remote().wait_ready("toy", seconds=0, progress=quiet)


def test_a_balancer_whose_rule_is_gone_is_an_error(azure, deployed):
    azure.arm.restore(deployed(1))
    azure.thing(BALANCER).properties["loadBalancingRules"] = []
    with pytest.raises(CloudError, match=r"toy-balancer: its rule is gone; deploy it again"):
        azure.session().open_doors("toy")


def test_a_rule_that_denies_only_a_part_does_not_end_the_list():
    deny = {"access": "Deny", "direction": "Inbound", "protocol": "Tcp", "priority": 1}
    wide = dict.fromkeys(
        ("sourceAddressPrefix", "destinationAddressPrefix", "sourcePortRange", "destinationPortRange"), "*"
    )
    allow = {"name": "x/all", "access": "Allow", "direction": "Inbound", "protocol": "All", "priority": 2} | wide
    found = list(doors.rule_doors([{"effectiveSecurityRules": [deny | wide, allow]}], 8443))
    assert "the rule all lets something else inbound: az network nsg rule delete" in found
