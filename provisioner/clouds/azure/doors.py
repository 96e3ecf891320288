"""The ways into a machine, as Azure says that they are in effect now: which is open, and how to shut it.

The image listens on none of them, and what boots is for a client to verify: a door that is open says that somebody
changed something since, or that the subscription's own settings undo the plan. That the clients' networks were
widened is not looked at: it lets nobody into a machine.

What each body may hold is an allow-list (shapes.py): whatever else Azure shows, and no plan sets, is a door too. Not
asked for: rules of a network manager's administrators, which come before ours and bind the whole subscription; what
the hypervisor and Azure itself can do, which is what attestation is about.

Sources: learn.microsoft.com/rest/api/compute/virtual-machines/{get,instance-view},
learn.microsoft.com/rest/api/virtualnetwork/network-interfaces/list-effective-network-security-groups,
learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/serial-console-overview (it needs boot diagnostics),
learn.microsoft.com/azure/virtual-machines/run-command-overview.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from provisioner.clouds.allowed import Shape, beyond
from provisioner.clouds.azure import shapes
from provisioner.clouds.azure.balancer import SERVICE, STAGING
from provisioner.clouds.azure.names import Place

Json = Mapping[str, Any]
_NOT_REPORTED = {"", "Unknown"}
_GUARDED = "VMGuestStateOnly"
_DEFAULTS_FROM = 65000  # priorities of the rules that every group has


def machine_doors(vm: Json) -> Iterator[str]:
    """Yield the open doors of one machine, from its model and its instance view."""
    properties = vm.get("properties") or {}
    seen = properties.get("instanceView") or {}
    yield from _console(properties, seen)
    yield from _agent(vm, properties, seen)
    yield from _input(vm, properties)
    yield from _confidential(properties)
    interfaces = (properties.get("networkProfile") or {}).get("networkInterfaces") or ()
    if len(interfaces) != 1:
        yield f"{len(interfaces)} network interfaces: detach all but the first"
    if (count := len((properties.get("storageProfile") or {}).get("dataDisks") or ())) != 1:
        yield f"{count} data disks instead of one: az vm disk detach what is not the model's"
    yield from _unplanned("the machine", vm, shapes.MACHINE)


def _unplanned(what: str, body: Json, shape: Shape) -> Iterator[str]:
    for found in beyond(body, shape):
        yield f"{what} has {found}, which no plan sets: take it away, or destroy the deployment and deploy it again"


def model_doors(scale_set: Json, place: Place, name: str) -> Iterator[str]:
    """Yield what the next machine of a set would have open."""
    kind = (scale_set.get("identity") or {}).get("type", "None")
    if kind != "None":
        yield f"the set has an identity ({kind}): az vmss identity remove"
    yield from _unplanned("the set", {**scale_set, "identity": None}, shapes.scale_set(place, name))


def _console(properties: Json, seen: Json) -> Iterator[str]:
    asked = ((properties.get("diagnosticsProfile") or {}).get("bootDiagnostics") or {}).get("enabled")
    shown = seen.get("bootDiagnostics") or {}
    if asked or shown.get("consoleScreenshotBlobUri") or shown.get("serialConsoleLogBlobUri"):
        yield "boot diagnostics are on, and the serial console with them: az vm boot-diagnostics disable"


def _agent(vm: Json, properties: Json, seen: Json) -> Iterator[str]:
    system = properties.get("osProfile") or {}
    names = {str(one.get("name")) for one in (*(vm.get("resources") or ()), *(seen.get("extensions") or ()))}
    for name in sorted(names):
        yield f"the extension {name} is installed: az vm extension delete"
    if system.get("allowExtensionOperations"):
        yield "extensions are allowed (osProfile.allowExtensionOperations): destroy the deployment, deploy it again"
    for kind in ("linuxConfiguration", "windowsConfiguration"):
        if (system.get(kind) or {}).get("provisionVMAgent"):
            yield "an agent is provisioned (osProfile): destroy the deployment, deploy it again"
    if str((seen.get("vmAgent") or {}).get("vmAgentVersion", "")) not in _NOT_REPORTED:
        yield "an agent reports from inside: that is not our image; destroy the deployment, deploy it again"
    if ((properties.get("securityProfile") or {}).get("proxyAgentSettings") or {}).get("enabled"):
        yield "the metadata proxy agent is on (securityProfile.proxyAgentSettings): turn it off"


def _input(vm: Json, properties: Json) -> Iterator[str]:
    kind = (vm.get("identity") or {}).get("type", "None")
    if kind != "None":
        yield f"the machine has an identity ({kind}): az vm identity remove"
    if properties.get("userData"):
        yield "userData is set: az vm update --user-data ''"
    if properties.get("osProfile"):
        yield "an osProfile is set (logins, custom data): destroy the deployment, deploy it again"


def _confidential(properties: Json) -> Iterator[str]:
    security = properties.get("securityProfile") or {}
    disk = ((properties.get("storageProfile") or {}).get("osDisk") or {}).get("managedDisk") or {}
    if security.get("securityType") != "ConfidentialVM":
        yield "the machine is not a confidential VM: destroy the deployment, deploy it again"
    if not (security.get("uefiSettings") or {}).get("vTpmEnabled"):
        yield "the machine has no vTPM: destroy the deployment, deploy it again"
    if (disk.get("securityProfile") or {}).get("securityEncryptionType") != _GUARDED:
        yield "the guest state is not encrypted for the machine: destroy the deployment, deploy it again"


def run_command_doors(commands: Iterable[Json]) -> Iterator[str]:
    """Yield the commands that somebody has asked Azure to run inside."""
    for command in commands:
        yield f"the run command {command.get('name')} is there: az vm run-command delete"


def interface_doors(interface: Json, place: Place, name: str) -> Iterator[str]:
    """Yield what an interface lets by beside the balancer."""
    properties = interface.get("properties") or {}
    if (count := len(properties.get("ipConfigurations") or ())) != 1:
        yield f"the interface has {count} addresses instead of one: az network nic ip-config delete"
    for configuration in properties.get("ipConfigurations") or ():
        inner = configuration.get("properties") or {}
        if inner.get("publicIPAddress"):
            yield "the interface has a public address: az network nic ip-config update --public-ip-address ''"
        if inner.get("loadBalancerInboundNatRules"):
            yield "a NAT rule of the balancer leads to the interface: az network lb inbound-nat-rule delete"
    if properties.get("enableIPForwarding"):
        yield "the interface forwards: az network nic update --ip-forwarding false"
    yield from _unplanned("the interface", interface, shapes.interface(place, name))


def network_doors(network: Json, place: Place, name: str) -> Iterator[str]:
    """Yield what the network has that leads in or out."""
    subnets = (network.get("properties") or {}).get("subnets") or ()
    if any((one.get("properties") or {}).get("defaultOutboundAccess") is not False for one in subnets):
        yield "the subnet lets machines out by Azure's addresses: deploy again"
    yield from _unplanned("the network", network, shapes.network(place, name))


def balancer_doors(balancer: Json, place: Place, name: str, port: int) -> Iterator[str]:
    """Yield what a balancer does beside passing the one port through."""
    properties = balancer.get("properties") or {}
    rules = properties.get("loadBalancingRules") or ()
    names = sorted(str(rule.get("name")) for rule in rules)
    if names not in ([SERVICE], [SERVICE, STAGING]):
        yield f"the balancer has {len(rules)} rules ({', '.join(names)}): az network lb rule delete all but {SERVICE}"
    if any(not (rule.get("properties") or {}).get("disableOutboundSnat") for rule in rules):
        yield "the balancer lets machines out by its address: az network lb rule update --disable-outbound-snat true"
    for kind in ("inboundNatRules", "inboundNatPools", "outboundRules"):
        for rule in properties.get(kind) or ():
            yield f"the balancer has {rule.get('name')} in {kind}: delete it"
    yield from _unplanned("the balancer", balancer, shapes.balancer(place, name, port))


def rule_doors(groups: Iterable[Json], port: int) -> Iterator[str]:
    """Yield what the rules in effect on one interface let by, but for the service's port inwards.

    Each group of rules has to be tight by itself; one that somebody took away is not missed while another stays.
    """
    found = [group.get("effectiveSecurityRules") or () for group in groups]
    if not found:
        yield "no security rules are in effect: az network nic update --network-security-group"
    for rules in found:
        for direction in ("Inbound", "Outbound"):
            yield from _let_by([rule for rule in rules if rule.get("direction") == direction], direction, port)


def _let_by(rules: Iterable[Json], direction: str, port: int) -> Iterator[str]:
    """Yield what is let by until everything is denied, and after that what only denying all of IPv6 would stop.

    Azure shows "all addresses" as 0.0.0.0/0, whichever was meant, so another rule behind that may count.
    """
    closed = False
    for rule in sorted(rules, key=lambda rule: int(rule.get("priority", 0))):
        if rule.get("access") == "Deny":
            closed = closed or _is_everything(rule)
        elif closed and int(rule.get("priority", 0)) >= _DEFAULTS_FROM:
            continue
        elif direction == "Outbound" or not _is_service(rule, port):
            yield f"the rule {last_of(rule)} lets something else {direction.lower()}: az network nsg rule delete"
    if not closed:
        yield f"no rule ends with denying everything {direction.lower()}: deploy again"


def last_of(rule: Json) -> str:
    """Return a rule's own name; the API puts a path before it."""
    return str(rule.get("name", "")).rpartition("/")[2]


def _is_everything(rule: Json) -> bool:
    wild = {"*", "0.0.0.0/0", "Any", "0-65535"}
    places = (
        _values(rule, "sourceAddressPrefix", "sourceAddressPrefixes"),
        _values(rule, "destinationAddressPrefix", "destinationAddressPrefixes"),
        _values(rule, "sourcePortRange", "sourcePortRanges"),
        _values(rule, "destinationPortRange", "destinationPortRanges"),
    )
    return str(rule.get("protocol")) in {"All", "*"} and all(wild & place for place in places)


def _is_service(rule: Json, port: int) -> bool:
    ports = _values(rule, "destinationPortRange", "destinationPortRanges")
    return str(rule.get("protocol")).lower() == "tcp" and bool(ports) and ports <= {str(port), f"{port}-{port}"}


def _values(rule: Json, one: str, many: str) -> set[str]:
    return {str(value) for value in (rule.get(one), *(rule.get(many) or ())) if value}
