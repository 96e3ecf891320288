"""What the fake cloud shows beside a thing's own body: the security rules in effect on an interface.

learn.microsoft.com/azure/virtual-network/diagnose-network-traffic-filter-problem: both groups, default rules too, as
the API says them.
"""

from __future__ import annotations

from tests.fakes.azure.effects import RULES
from tests.fakes.azure.things import Cloud, Thing
from tests.fakes.cloud_api import RefusedError

_DEFAULT = (
    ("AllowVnetInBound", "Allow", "Inbound", 65000, "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", "Allow", "Inbound", 65001, "AzureLoadBalancer", "0.0.0.0/0"),
    ("DenyAllInBound", "Deny", "Inbound", 65500, "0.0.0.0/0", "0.0.0.0/0"),
    ("AllowVnetOutBound", "Allow", "Outbound", 65000, "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", "Allow", "Outbound", 65001, "0.0.0.0/0", "Internet"),
    ("DenyAllOutBound", "Deny", "Outbound", 65500, "0.0.0.0/0", "0.0.0.0/0"),
)


def effective_rules(cloud: Cloud, interface: Thing) -> dict:
    """Return the answer of effectiveNetworkSecurityGroups; the machine has to run for it."""
    vm = cloud.find(interface.properties.get("virtualMachine", {}).get("id", ""))
    codes = {one["code"] for one in (vm.body.get("_seen", {}).get("statuses", ()) if vm else ())}
    if "PowerState/running" not in codes:
        raise RefusedError(400, "NetworkInterfaceNotInUse", "The NIC is not attached to a running VM.")
    groups = []
    for which, identity in _groups(cloud, interface):
        rules = cloud.find(identity)
        assert rules.kind == RULES
        listed = [*map(_effective, rules.properties.get("securityRules", ())), *map(_default, _DEFAULT)]
        groups.append(
            {"networkSecurityGroup": {"id": identity}, "association": {which: {}}, "effectiveSecurityRules": listed}
        )
    return {"value": groups}


def _groups(cloud: Cloud, interface: Thing):
    if "networkSecurityGroup" in interface.properties:
        yield "networkInterface", interface.properties["networkSecurityGroup"]["id"]
    subnet = interface.properties["ipConfigurations"][0]["properties"]["subnet"]["id"]
    network = cloud.find(subnet.rsplit("/subnets/", 1)[0])
    for one in network.properties["subnets"]:
        if one["name"] == subnet.rpartition("/")[2] and "networkSecurityGroup" in one["properties"]:
            yield "subnet", one["properties"]["networkSecurityGroup"]["id"]


def _effective(rule: dict) -> dict:
    inner = rule["properties"]
    told = {"name": f"securityRules/{rule['name']}", "protocol": {"*": "All"}.get(inner["protocol"], inner["protocol"])}
    told |= {key: inner[key] for key in ("access", "direction", "priority")}
    for one, many in (("sourceAddressPrefix", "sourceAddressPrefixes"), ("destinationAddressPrefix",) * 2):
        values = inner.get(many) if isinstance(inner.get(many), list) else [inner[one]]
        told[one] = _prefix(values[0])
        told[f"{one}es"] = [_prefix(value) for value in values]
    for one in ("sourcePortRange", "destinationPortRange"):
        told[one] = _ports(inner[one])
        told[f"{one}s"] = [_ports(inner[one])]
    return told


def _default(rule: tuple) -> dict:
    name, access, direction, priority, source, destination = rule
    return {
        "name": f"defaultSecurityRules/{name}",
        "protocol": "All",
        "access": access,
        "direction": direction,
        "priority": priority,
        "sourceAddressPrefix": source,
        "destinationAddressPrefix": destination,
        "sourcePortRange": "0-65535",
        "destinationPortRange": "0-65535",
    }


def _prefix(value: str) -> str:
    return "0.0.0.0/0" if value == "*" else value


def _ports(value: str) -> str:
    return "0-65535" if value == "*" else value if "-" in value else f"{value}-{value}"
