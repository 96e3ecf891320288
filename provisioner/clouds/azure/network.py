"""The network of a deployment: an address, a balancer that passes TCP through, rules that let nothing else by.

The rules are the operator's and no client can see them; what the image itself lets in and out is baked and measured.
They are a second fence. TLS ends in the VM: the balancer sees ciphertext.

Sources: learn.microsoft.com/azure/virtual-network/{network-security-groups-overview,service-tags-overview},
learn.microsoft.com/azure/virtual-network/ip-services/default-outbound-access.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioner.clouds.azure.balancer import balancer
from provisioner.clouds.azure.names import SUBNET, address_name, balancer_name, network_name, rules_name
from provisioner.clouds.azure.spec import AzureSpec
from provisioner.clouds.interface import Rolling
from provisioner.clouds.resources import Key, Resource

# The platform's own services are reachable whatever a rule says of "*", unless the rule names them.
_PLATFORM = ("AzurePlatformIMDS", "AzurePlatformDNS", "AzurePlatformLKM")
_LAST = 4096


def group(spec: AzureSpec) -> tuple[Resource, ...]:
    """Plan the resource group, where it is this deployment's own."""
    if spec.resource_group_exists:
        return ()
    key = Key("resourceGroup", spec.resource_group)
    return (Resource(key=key, body={"location": spec.location}, note="holds all of this deployment and goes with it"),)


def network(spec: AzureSpec, needs: tuple[Key, ...], rolling: Rolling | None) -> tuple[Resource, ...]:
    """Plan rules, network, address and balancer."""
    rules = Key("networkSecurityGroup", rules_name(spec.name))
    address = Key("publicIPAddress", address_name(spec.name))
    body = balancer(spec, rolling, spec.place.id_of(f"Microsoft.Network/publicIPAddresses/{address.name}"))
    return (
        Resource(
            key=rules,
            body={"location": spec.location, "properties": {"securityRules": list(_rules(spec))}},
            needs=needs,
            note="the service from the clients' networks, nothing else in, nothing out",
        ),
        Resource(
            key=Key("virtualNetwork", network_name(spec.name)),
            body=_network(spec, spec.place.id_of(f"Microsoft.Network/networkSecurityGroups/{rules.name}")),
            needs=(*needs, rules),
        ),
        Resource(
            key=address,
            body={
                "location": spec.location,
                "sku": {"name": "Standard", "tier": "Regional"},
                "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"},
            },
            needs=needs,
            meter="1 static public IPv4 address x hours (Standard)",
            note="the endpoint",
        ),
        Resource(
            key=Key("loadBalancer", balancer_name(spec.name)),
            body=body,
            needs=(*needs, address),
            meter=f"{len(body['properties']['loadBalancingRules'])} x balancer rule x hours (Standard); GiB processed",
            note="passes TCP through; TLS ends in the VM",
        ),
    )


def _rules(spec: AzureSpec) -> Iterator[dict[str, Any]]:
    port = str(spec.image.gateway_port)  # the balancer has changed the port when rules are looked at
    clients = {"sourceAddressPrefixes": list(spec.client_networks)}
    probe = {"sourceAddressPrefix": "AzureLoadBalancer"}
    yield _rule("allow-clients", 100, "Allow", "Inbound", clients | {"protocol": "Tcp", "destinationPortRange": port})
    yield _rule("allow-probe", 110, "Allow", "Inbound", probe | {"protocol": "Tcp", "destinationPortRange": port})
    yield _rule("deny-in", _LAST, "Deny", "Inbound", {})
    for number, tag in enumerate(_PLATFORM):
        where = {"destinationAddressPrefix": tag}
        yield _rule(f"deny-{tag.removeprefix('AzurePlatform').lower()}", 100 + 10 * number, "Deny", "Outbound", where)
    yield _rule("deny-out", _LAST, "Deny", "Outbound", {})


def _rule(name: str, priority: int, access: str, direction: str, properties: dict[str, Any]) -> dict[str, Any]:
    source = {} if "sourceAddressPrefixes" in properties else {"sourceAddressPrefix": "*"}
    everything = {"protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*", "destinationAddressPrefix": "*"}
    order = {"priority": priority, "access": access, "direction": direction}
    return {"name": name, "properties": everything | source | properties | order}


def _network(spec: AzureSpec, rules: str) -> dict[str, Any]:
    subnet = {
        "addressPrefix": spec.network,
        # Without it a machine without an address of its own is still let out through one of the platform's.
        "defaultOutboundAccess": False,
        "networkSecurityGroup": {"id": rules},
    }
    return {
        "location": spec.location,
        "properties": {
            "addressSpace": {"addressPrefixes": [spec.network]},
            "subnets": [{"name": SUBNET, "properties": subnet}],
        },
    }
