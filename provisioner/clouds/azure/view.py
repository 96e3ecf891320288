"""A deployment as Azure shows it: its machines, its endpoint, and its open doors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from provisioner.clouds.azure import doors
from provisioner.clouds.azure.api import Api, Json
from provisioner.clouds.azure.driver import DEPLOYMENT_TAG, DIGEST_TAG
from provisioner.clouds.azure.image import IMAGE_TAG
from provisioner.clouds.azure.kinds import BY_NAME
from provisioner.clouds.azure.meters import meters
from provisioner.clouds.azure.names import last
from provisioner.clouds.interface import Node, Vm
from provisioner.clouds.resources import Key
from provisioner.errors import CloudError

_RUNNING = "PowerState/running"


def deployment(api: Api, name: str) -> Vm | None:
    """Return a deployment as it is now, or None where it has no machines and no endpoint yet.

    Raises:
        CloudError: the API refuses.
    """
    holder = _holder(api, name)
    balancer = api.get(Key("loadBalancer", f"{name}-balancer"))
    address = api.get(Key("publicIPAddress", f"{name}-address"))
    rules = api.get(Key("networkSecurityGroup", f"{name}-rules"))
    if holder is None or balancer is None or address is None or rules is None:
        return None
    bodies = tuple(machines(api, name))
    nodes = tuple(_node(api, vm, holder) for vm in bodies)
    marks = [str((one.get("tags") or {}).get(DIGEST_TAG)) for one in (holder, balancer, address, rules)]
    wanted = (holder.get("sku") or {}).get("capacity", 1)
    where = address["properties"].get("ipAddress", "")
    return Vm(
        name=name,
        endpoint=f"https://{where}" + ("" if (port := frontend_port(balancer)) == 443 else f":{port}"),
        running=len(nodes) == wanted and all(node.running for node in nodes),
        plan_digest=hashlib.sha256("\n".join(marks).encode()).hexdigest(),
        nodes=nodes,
        facts=tuple(meters(api, name, holder, (str(vm["id"]) for vm in bodies))),
    )


def machines(api: Api, name: str) -> Iterator[Json]:
    """Yield the machines of a deployment with their instance view and their userData.

    Raises:
        CloudError: the API refuses.
    """
    whole = api.get(Key("virtualMachineScaleSet", name))
    if whole is None:
        names = [name]
    else:
        listed = api.list(BY_NAME["virtualMachine"])
        names = sorted(str(vm["name"]) for vm in listed if _set_of(vm) == str(whole["id"]).lower())
    for one in names:
        vm = api.get(Key("virtualMachine", one), expand="instanceView")
        if vm is not None and (whole is not None or (vm.get("tags") or {}).get(DEPLOYMENT_TAG) == name):
            yield vm


def open_doors(api: Api, name: str) -> tuple[str, ...]:
    """Return every door of a deployment that is open, with the machine that it is of.

    Raises:
        CloudError: the API refuses, or the balancer is gone.
    """
    balancer = api.get(Key("loadBalancer", f"{name}-balancer"))
    if balancer is None:
        raise CloudError(f"{name}: the load balancer is gone; deploy it again")
    found = [f"{name}: {door}" for door in doors.balancer_doors(balancer)]
    port = backend_port(balancer)
    for vm in machines(api, name):
        found += [f"{vm['name']}: {door}" for door in _machine(api, vm, port)]
    return tuple(dict.fromkeys(found))


def _machine(api: Api, vm: Json, port: int) -> Iterator[str]:
    with_data = api.get(Key("virtualMachine", str(vm["name"])), expand="userData") or {}
    user_data = (with_data.get("properties") or {}).get("userData")
    yield from doors.machine_doors({**vm, "properties": {**vm["properties"], "userData": user_data}})
    yield from doors.run_command_doors(api.run_commands(str(vm["name"])))
    for interface in _interfaces(vm):
        body = api.get(Key("networkInterface", interface))
        if body is not None:
            yield from doors.interface_doors(body)
            yield from doors.rule_doors(api.effective_rules(interface), port)


def frontend_port(balancer: Json) -> int:
    """Return the port that clients connect to."""
    return _port(balancer, "frontendPort")


def backend_port(balancer: Json) -> int:
    """Return the port that the machines listen on."""
    return _port(balancer, "backendPort")


def _port(balancer: Json, which: str) -> int:
    rules = [rule for rule in balancer["properties"].get("loadBalancingRules") or () if rule.get("name") == "service"]
    if not rules:
        raise CloudError(f"{balancer.get('name')}: its rule is gone; deploy it again")
    return int(rules[0]["properties"][which])


def _holder(api: Api, name: str) -> Json | None:
    """Return the VM or the scale set, where it is this deployment's."""
    for kind in ("virtualMachine", "virtualMachineScaleSet"):
        body = api.get(Key(kind, name))
        if body is not None and (body.get("tags") or {}).get(DEPLOYMENT_TAG) == name:
            return body
    return None


def _node(api: Api, vm: Json, holder: Json) -> Node:
    statuses = (vm["properties"].get("instanceView") or {}).get("statuses") or ()
    return Node(
        name=str(vm["name"]),
        address=next((_address(api, interface) for interface in _interfaces(vm)), ""),
        running=_RUNNING in {status.get("code") for status in statuses},
        image=str((holder.get("tags") or {}).get(IMAGE_TAG, "")),
    )


def _address(api: Api, interface: str) -> str:
    body = api.get(Key("networkInterface", interface)) or {}
    for configuration in (body.get("properties") or {}).get("ipConfigurations") or ():
        return str((configuration.get("properties") or {}).get("privateIPAddress", ""))
    return ""


def _interfaces(vm: Json) -> list[str]:
    profile = vm["properties"].get("networkProfile") or {}
    return [last(str(one["id"])) for one in profile.get("networkInterfaces") or ()]


def _set_of(vm: Json) -> str:
    return str((vm["properties"].get("virtualMachineScaleSet") or {}).get("id", "")).lower()
