"""A deployment as Azure shows it: its machines, its endpoint, and its open doors."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.clouds.azure import doors
from provisioner.clouds.azure.api import Api, Json
from provisioner.clouds.azure.balancer import SERVICE, STAGING
from provisioner.clouds.azure.driver import DEPLOYMENT_TAG
from provisioner.clouds.azure.image import IMAGE_TAG
from provisioner.clouds.azure.kinds import BY_NAME
from provisioner.clouds.azure.meters import disk_meters, machine_meters
from provisioner.clouds.azure.names import EVERYBODY, address_name, balancer_name, last, pool, rules_name
from provisioner.clouds.interface import Group, Node, Vm
from provisioner.clouds.resources import Key
from provisioner.errors import CloudError

_RUNNING = "PowerState/running"


def deployment(api: Api, name: str) -> Vm | None:
    """Return a deployment as it is now, or None where it has no machines and no endpoint yet.

    Raises:
        CloudError: the API refuses.
    """
    holders = _holders(api, name)
    balancer = api.get(Key("loadBalancer", balancer_name(name)))
    address = api.get(Key("publicIPAddress", address_name(name)))
    rules = api.get(Key("networkSecurityGroup", rules_name(name)))
    if not holders or balancer is None or address is None or rules is None:
        return None
    bodies = tuple(machines(api, name))
    nodes = tuple(_node(api, vm, _holder_of(vm, holders)) for vm in bodies)
    wanted = sum((holder.get("sku") or {}).get("capacity", 1) for holder in holders)
    where = address["properties"].get("ipAddress", "")
    port, staged = frontend_port(balancer), [rule for rule in _rules(balancer) if rule.get("name") == STAGING]
    return Vm(
        name=name,
        endpoint=f"https://{where}" + ("" if port == 443 else f":{port}") if where else "",
        staging=f"https://{where}:{staged[0]['properties']['frontendPort']}" if where and staged else "",
        running=len(nodes) == wanted and all(node.running for node in nodes),
        nodes=nodes,
        facts=(
            *machine_meters(holders[0], len(nodes)),
            ("addresses", f"1 {address['properties'].get('publicIPAllocationMethod', '?').lower()} ({_sku(address)})"),
            ("balancers", f"{len(_rules(balancer))} x rule ({_sku(balancer)})"),
            *disk_meters(api, name, (str(vm["id"]) for vm in bodies)),
        ),
    )


def groups(api: Api, name: str) -> tuple[Group, ...]:
    """Return a deployment's scale sets, and which of them its balancer leads clients to.

    Raises:
        CloudError: the API refuses.
    """
    balancer = api.get(Key("loadBalancer", balancer_name(name))) or {"properties": {}}
    pools = {
        last(rule["properties"]["backendAddressPool"]["id"]) for rule in _rules(balancer) if rule.get("name") == SERVICE
    }
    images = (str(_tag(one, IMAGE_TAG) or "") for one in _sets(api, name))
    return tuple(Group(image=image, serving=bool({pool(image), EVERYBODY} & pools)) for image in images)


def machines(api: Api, name: str) -> Iterator[Json]:
    """Yield the machines of a deployment with their instance view.

    Raises:
        CloudError: the API refuses.
    """
    sets = {str(whole["id"]).lower() for whole in _sets(api, name)}
    listed = api.list(BY_NAME["virtualMachine"]) if sets else ()
    names = [name] if not sets else sorted(str(vm["name"]) for vm in listed if _set_of(vm) in sets)
    for one in names:
        vm = api.get(Key("virtualMachine", one), expand="instanceView")
        if vm is not None and (sets or _tag(vm, DEPLOYMENT_TAG) == name):
            yield vm


def open_doors(api: Api, name: str, port: int) -> tuple[str, ...]:
    """Return every door of a deployment that is open, with what it is of. The image listens on ``port``.

    Raises:
        CloudError: the API refuses, or there is nothing to look at.
    """
    found = [f"{name}: {door}" for door in _shared(api, name, port)]
    bodies = tuple(_whole(api, name))
    if not bodies:
        raise CloudError(f"{name}: there is no machine to look at; deploy it again")
    for vm in bodies:
        found += [f"{vm['name']}: {door}" for door in _machine(api, vm, name, port)]
    return tuple(dict.fromkeys(found))


def _shared(api: Api, name: str, port: int) -> Iterator[str]:
    """Yield the doors of what all machines have in common."""
    balancer, network = _part(api, "loadBalancer", f"{name}-balancer"), _part(api, "virtualNetwork", f"{name}-network")
    if SERVICE not in {rule.get("name") for rule in _rules(balancer)}:
        raise CloudError(f"{name}-balancer: its rule is gone; deploy it again")
    yield from doors.balancer_doors(balancer, api.place, name, port)
    yield from doors.network_doors(network, api.place, name)
    for one in _sets(api, name):
        model = api.get(Key("virtualMachineScaleSet", str(one["name"])), expand="userData")
        if model is not None:  # an older set may be on its way out
            yield from doors.model_doors(model, api.place, name)


def _part(api: Api, kind: str, name: str) -> Json:
    body = api.get(Key(kind, name))
    if body is None:
        raise CloudError(f"{Key(kind, name)} is gone; deploy it again")
    return body


def _whole(api: Api, name: str) -> Iterator[Json]:
    """Yield each machine with its userData too, which no answer holds beside the instance view."""
    for vm in machines(api, name):
        other = api.get(Key("virtualMachine", str(vm["name"])), expand="userData")
        if other is not None:  # an older machine may be on its way out
            yield {**vm, "properties": {**vm["properties"], "userData": other["properties"].get("userData")}}


def _machine(api: Api, vm: Json, name: str, port: int) -> Iterator[str]:
    yield from doors.machine_doors(vm)
    yield from doors.run_command_doors(api.run_commands(str(vm["name"])))
    for identity in _interfaces(vm):
        body = _interface(api, identity)
        if body is None:
            yield (
                f"its interface {identity} is not in this resource group, or is gone, so nobody sees what it lets by: "
                "destroy the deployment, deploy it again"
            )
            continue
        yield from doors.interface_doors(body, api.place, name)
        yield from doors.rule_doors(api.effective_rules(last(identity)), port)


def _interface(api: Api, identity: str) -> Json | None:
    """Return an interface by its whole id; None where it is not one of our group: its name alone says nothing."""
    ours = api.place.id_of(f"Microsoft.Network/networkInterfaces/{last(identity)}")
    return api.get(Key("networkInterface", last(identity))) if identity.lower() == ours.lower() else None


def frontend_port(balancer: Json) -> int:
    """Return the port that clients connect to."""
    rules = [rule for rule in _rules(balancer) if rule.get("name") == SERVICE]
    if not rules:
        raise CloudError(f"{balancer.get('name')}: its rule is gone; deploy it again")
    return int(rules[0]["properties"]["frontendPort"])


def _sku(body: Json) -> str:
    return str((body.get("sku") or {}).get("name", "?"))


def _rules(balancer: Json) -> tuple[Json, ...]:
    return tuple(balancer["properties"].get("loadBalancingRules") or ())


def _holders(api: Api, name: str) -> list[Json]:
    """Return the VM or the scale sets of a deployment."""
    alone = api.get(Key("virtualMachine", name))
    mine = [alone] if alone is not None and _tag(alone, DEPLOYMENT_TAG) == name else []
    return [*mine, *_sets(api, name)]


def _sets(api: Api, name: str) -> list[Json]:
    found = api.list(BY_NAME["virtualMachineScaleSet"])
    return sorted((one for one in found if _tag(one, DEPLOYMENT_TAG) == name), key=lambda one: str(one["name"]))


def _holder_of(vm: Json, holders: list[Json]) -> Json:
    """Return the scale set that a machine is of, or the machine itself."""
    return next((one for one in holders if str(one["id"]).lower() == _set_of(vm)), vm)


def _tag(body: Json, tag: str) -> str | None:
    return (body.get("tags") or {}).get(tag)


def _node(api: Api, vm: Json, holder: Json) -> Node:
    statuses = (vm["properties"].get("instanceView") or {}).get("statuses") or ()
    return Node(
        name=str(vm["name"]),
        address=next((_address(api, interface) for interface in _interfaces(vm)), ""),
        running=_RUNNING in {status.get("code") for status in statuses},
        image=str(_tag(holder, IMAGE_TAG) or ""),
    )


def _address(api: Api, interface: str) -> str:
    body = _interface(api, interface) or {}
    for configuration in (body.get("properties") or {}).get("ipConfigurations") or ():
        return str((configuration.get("properties") or {}).get("privateIPAddress", ""))
    return ""


def _interfaces(vm: Json) -> list[str]:
    """Return the whole ids of a machine's interfaces."""
    profile = vm["properties"].get("networkProfile") or {}
    return [str(one["id"]) for one in profile.get("networkInterfaces") or ()]


def _set_of(vm: Json) -> str:
    return str((vm["properties"].get("virtualMachineScaleSet") or {}).get("id", "")).lower()
