"""Each door that somebody can open afterwards, as in the portal: nothing is published, and how to shut it is said."""

from __future__ import annotations

import copy
import re

import pytest

from provisioner.clouds.azure import doors
from provisioner.errors import CloudError
from tests.fakes.azure.effects import BALANCER, INTERFACE, RULES, VM
from tests.fakes.azure.things import Thing
from tests.fakes.cloud_api import Fault
from tests.provisioner.clouds.azure.conftest import GONE
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
    r"|: delete it|: turn it off|destroy the deployment and deploy it again|destroy the deployment, deploy it again)$"
)


def elsewhere(name=None):
    """Give the machine an interface of another resource group, which has a public address, and no rules at all.

    Without a name of its own it is called as ours, which is still there to be read in its place.
    """

    def change(azure):
        ours = azure.cloud.of(INTERFACE)[-1]
        identity = ours.id.replace("/resourceGroups/vitrine-toy/", "/resourceGroups/elsewhere/")
        identity = f"{identity.rpartition('/')[0]}/{name or ours.name}"
        body = copy.deepcopy(ours.body)
        body[P]["ipConfigurations"][0][P]["publicIPAddress"] = ADDRESS
        body[P].pop("networkSecurityGroup")
        azure.cloud.things[identity.lower()] = Thing(identity, INTERFACE, body)
        vm(azure).properties["networkProfile"]["networkInterfaces"] = [{"id": identity, P: {"primary": True}}]

    return change


def interface_gone(azure):
    ours = azure.cloud.of(INTERFACE)[-1]
    del azure.cloud.things[ours.id.lower()]


def second_address(azure):
    more = copy.deepcopy(azure.cloud.of(INTERFACE)[-1].properties["ipConfigurations"][0])
    more[P]["privateIPAddressVersion"] = "IPv6"
    azure.cloud.of(INTERFACE)[-1].properties["ipConfigurations"].append(more | {"name": "six"})


def six_behind_four(azure):
    """What is denied is all of IPv4, and all of IPv6 is allowed behind that."""
    rules = azure.thing(RULES).properties["securityRules"]
    for one in rules:
        if one["name"] in ("deny-in", "deny-out"):
            one[P] |= {"sourceAddressPrefix": "0.0.0.0/0", "destinationAddressPrefix": "0.0.0.0/0", "priority": 4095}
    wide = dict.fromkeys(("protocol", "sourcePortRange", "destinationPortRange"), "*")
    wide |= {"sourceAddressPrefix": "::/0", "destinationAddressPrefix": "::/0", "priority": 4096, "access": "Allow"}
    rules += [{"name": f"six-{one}", P: wide | {"direction": one}} for one in ("Inbound", "Outbound")]


def both_ports_moved(azure):
    """The balancer leads to 22, and the rules let 22 in: each is right by the other."""
    azure.thing(BALANCER).properties["loadBalancingRules"][0][P]["backendPort"] = 22
    for one in azure.thing(RULES).properties["securityRules"]:
        if one["name"].startswith("allow-"):
            one[P]["destinationPortRange"] = "22"


def other_rules(azure):
    """Have the interface by rules that say the same, today."""
    ours = azure.thing(RULES)
    azure.cloud.things[f"{ours.id}-2".lower()] = Thing(f"{ours.id}-2", RULES, copy.deepcopy(ours.body))
    for one in azure.cloud.of(INTERFACE):
        one.properties["networkSecurityGroup"]["id"] += "-2"


def third_disk(azure):
    vm(azure).properties["storageProfile"]["dataDisks"].append(
        {"lun": 9, "createOption": "Attach", "managedDisk": {"id": "x"}}
    )


def subnet(change):
    network = "microsoft.network/virtualnetworks"
    return lambda azure: change(azure.thing(network).properties["subnets"][0][P])


P = "properties"
THEIRS = "/subscriptions/x/resourceGroups/y/providers/Microsoft.Network/loadBalancers/z/backendAddressPools/p"
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
    "an interface of another group": (elsewhere("evil"), "/networkInterfaces/evil is not in this resource group"),
    "a decoy with the interface's name": (elsewhere(), "is not in this resource group"),
    "the interface gone": (interface_gone, "is not in this resource group, or is gone"),
    "a second address": (second_address, "the interface has 2 addresses instead of one"),
    "an address by IPv6": (second_address, "privateIPAddressVersion (IPv6), which no plan sets"),
    "somebody's balancer": (
        interface(lambda p: p["ipConfigurations"][0][P]["loadBalancerBackendAddressPools"].append({"id": THEIRS})),
        f"loadBalancerBackendAddressPools.id ({THEIRS}"[:90],
    ),
    "a tap": (interface(lambda p: p.update(tapConfigurations=[{"id": "x"}])), "tapConfigurations ("),
    "other rules": (
        other_rules,
        "the interface has properties.networkSecurityGroup.id (",
    ),
    "IPv6 allowed behind all of IPv4": (six_behind_four, "the rule six-Inbound lets something else inbound"),
    "IPv6 let out behind all of IPv4": (six_behind_four, "the rule six-Outbound lets something else outbound"),
    "another port, and the rules with it": (both_ports_moved, "the rule allow-clients lets something else inbound"),
    "the balancer to another port": (both_ports_moved, "backendPort (22), which no plan sets"),
    "a balancer in front of the balancer": (
        balancer(lambda p: p["frontendIPConfigurations"][0][P].update(gatewayLoadBalancer={"id": "x"})),
        "gatewayLoadBalancer ({'id': 'x'}), which no plan sets",
    ),
    "applications": (
        set_vm([P, "applicationProfile"], {"galleryApplications": [{"packageReferenceId": "/x"}]}),
        "the machine has properties.applicationProfile (",
    ),
    "hibernation": (set_vm([P, "additionalCapabilities"], {"hibernationEnabled": True}), "additionalCapabilities ("),
    "a console's own storage": (
        set_vm([P, "diagnosticsProfile", "bootDiagnostics"], {"storageUri": "https://x"}),
        "bootDiagnostics.storageUri (https://x)",
    ),
    "a third disk": (third_disk, "2 data disks instead of one"),
    "a disk that is no copy of the image": (
        lambda azure: vm(azure).properties["storageProfile"]["dataDisks"][0].update(createOption="Attach"),
        "storageProfile.dataDisks.createOption (Attach)",
    ),
    "a field of a later version": (set_vm([P, "telepathy"], {"enabled": True}), "properties.telepathy ("),
    "a way out by NAT": (
        subnet(lambda p: p.update(natGateway={"id": "x"})),
        "natGateway (",
    ),
    "a way out by routes": (subnet(lambda p: p.update(routeTable={"id": "x"})), "routeTable ("),
    "a way out by Azure's addresses": (
        subnet(lambda p: p.pop("defaultOutboundAccess")),
        "the subnet lets machines out",
    ),
    "another network beside ours": (
        lambda azure: azure.thing("microsoft.network/virtualnetworks").properties.update(
            virtualNetworkPeerings=[{"name": "peer"}]
        ),
        "virtualNetworkPeerings (",
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
    assert azure.session().open_doors("toy", 8443) == ()


def test_machines_that_are_gone_are_no_shut_doors(azure, deployed):
    azure.arm.restore(deployed(1))
    vm(azure).body["tags"] = {}
    with pytest.raises(CloudError, match="there is no machine to look at"):
        azure.session().open_doors("toy", 8443)


def reading(call):
    return call.query.get("$expand") == "userData" and "/virtualMachines/" in call.path


def test_an_older_machine_that_goes_away_between_the_list_and_the_look_has_no_doors(azure, deployed):
    azure.arm.restore(deployed(2))
    for one in azure.cloud.of(VM):
        one.body["identity"] = {"type": "UserAssigned"}
    azure.api.faults.append(Fault(reading, GONE))
    found = azure.session().open_doors("toy", 8443)
    assert azure.api.faults[0].times == 0, "the machine was not looked at"
    assert len({door.split(":")[0] for door in found}) == 1


def test_machines_that_all_go_away_are_no_shut_doors(azure, deployed):
    azure.arm.restore(deployed(2))
    azure.api.faults.append(Fault(reading, GONE, times=2))
    with pytest.raises(CloudError, match="there is no machine to look at"):
        azure.session().open_doors("toy", 8443)


def test_doors_of_every_machine_of_a_set_are_looked_at(azure, deployed):
    azure.arm.restore(deployed(2))
    for one in azure.cloud.of(VM):
        one.body["identity"] = {"type": "UserAssigned"}
    found = azure.session().open_doors("toy", 8443)
    assert {door.split(":")[0] for door in found} == {one.name for one in azure.cloud.of(VM)}


def test_several_doors_are_all_named(azure, deployed):
    azure.arm.restore(deployed(1))
    for door in ("boot diagnostics", "user data", "SSH let in"):
        DOORS[door][0](azure)
    assert len(azure.session().open_doors("toy", 8443)) == 3


def test_every_door_says_how_to_shut_it(azure, deployed):
    for door, (opened, _) in DOORS.items():
        azure.arm.restore(deployed(1))
        opened(azure)
        found = azure.session().open_doors("toy", 8443)
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


def test_the_address_of_a_decoy_is_not_shown(azure, deployed):
    azure.arm.restore(deployed(1))
    elsewhere()(azure)
    assert [node.address for node in azure.session().vm("toy").nodes] == [""]


def test_a_balancer_whose_rule_is_gone_is_an_error(azure, deployed):
    azure.arm.restore(deployed(1))
    azure.thing(BALANCER).properties["loadBalancingRules"] = []
    with pytest.raises(CloudError, match=r"toy-balancer: its rule is gone; deploy it again"):
        azure.session().open_doors("toy", 8443)


def test_a_rule_that_denies_only_a_part_does_not_end_the_list():
    deny = {"access": "Deny", "direction": "Inbound", "protocol": "Tcp", "priority": 1}
    wide = dict.fromkeys(
        ("sourceAddressPrefix", "destinationAddressPrefix", "sourcePortRange", "destinationPortRange"), "*"
    )
    allow = {"name": "x/all", "access": "Allow", "direction": "Inbound", "protocol": "All", "priority": 2} | wide
    found = list(doors.rule_doors([{"effectiveSecurityRules": [deny | wide, allow]}], 8443))
    assert "the rule all lets something else inbound: az network nsg rule delete" in found
