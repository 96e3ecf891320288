"""What happens in the fake cloud when something is made, changed or deleted, beside that it is there."""

from __future__ import annotations

import copy

from tests.fakes.azure.machines import Machines
from tests.fakes.azure.things import Blob, Cloud, Thing

VM, SET = "microsoft.compute/virtualmachines", "microsoft.compute/virtualmachinescalesets"
DISK, INTERFACE = "microsoft.compute/disks", "microsoft.network/networkinterfaces"
BALANCER, ADDRESS = "microsoft.network/loadbalancers", "microsoft.network/publicipaddresses"
RULES = "microsoft.network/networksecuritygroups"
VERSION = "microsoft.compute/galleries/images/versions"


def made(cloud: Cloud, thing: Thing, *, new: bool, machines: Machines) -> None:
    """Do what making or changing a thing brings along."""
    if thing.kind == DISK and new:
        thing.properties["diskState"] = "ReadyToUpload"
        cloud.blobs[thing.id.lower()] = Blob(thing.properties["creationData"]["uploadSizeBytes"], "")
    elif thing.kind == VERSION and new:
        storage = thing.properties["storageProfile"]
        sources = [one["source"]["id"] for one in (storage["osDiskImage"], *storage.get("dataDiskImages", ()))]
        cloud.images[thing.id.lower()] = tuple(copy.deepcopy(cloud.blobs[one.lower()]) for one in sources)
    elif thing.kind == ADDRESS and new:
        thing.properties["ipAddress"] = f"127.1.{int(cloud.fresh(), 16)}.1"
    elif thing.kind == INTERFACE and new:
        for configuration in thing.properties["ipConfigurations"]:
            configuration["properties"].setdefault("privateIPAddress", "10.77.0.4")
    elif thing.kind == VM:
        _run(cloud, thing, new=new, machines=machines)
    elif thing.kind == SET:
        _scale(cloud, thing, machines)
    elif thing.kind == BALANCER and not new:
        _lead(cloud, thing, machines)


def members(cloud: Cloud, balancer: Thing) -> dict[str, list[Thing]]:
    """Return the interfaces that are in each pool of a balancer, by the pool's id in lower case."""
    found: dict[str, list[Thing]] = {}
    for interface in cloud.of(INTERFACE):
        for configuration in interface.properties["ipConfigurations"]:
            for pool in configuration["properties"].get("loadBalancerBackendAddressPools", ()):
                if pool["id"].lower().startswith(f"{balancer.id.lower()}/"):
                    found.setdefault(pool["id"].lower(), []).append(interface)
    return found


def _lead(cloud: Cloud, balancer: Thing, machines: Machines) -> None:
    """Let connections go where a changed balancer leads them."""
    for vm in cloud.of(VM):
        for one in vm.properties["networkProfile"]["networkInterfaces"]:
            machines.move(vm.name, _behind(cloud, cloud.find(one["id"])))


def gone(cloud: Cloud, thing: Thing, machines: Machines) -> None:
    """Take a thing away, with what goes with it."""
    cloud.things.pop(thing.id.lower(), None)
    cloud.blobs.pop(thing.id.lower(), None)
    cloud.images.pop(thing.id.lower(), None)
    if thing.kind == "microsoft.resources/resourcegroups":
        for one in [one for one in cloud.things.values() if one.id.lower().startswith(f"{thing.id.lower()}/")]:
            gone(cloud, one, machines)
    elif thing.kind == SET:
        for vm in instances(cloud, thing):
            gone(cloud, vm, machines)
    elif thing.kind == VM:
        machines.stop(thing.name)
        _detach(cloud, thing, machines)


def instances(cloud: Cloud, whole: Thing) -> list[Thing]:
    return [vm for vm in cloud.of(VM) if vm.properties.get("virtualMachineScaleSet", {}).get("id") == whole.id]


def _run(cloud: Cloud, vm: Thing, *, new: bool, machines: Machines) -> None:
    if new:
        vm.body["_seen"] = {"statuses": [{"code": "PowerState/running", "level": "Info"}]}
        storage = vm.properties["storageProfile"]
        for disk in (storage["osDisk"], *storage.get("dataDisks", ())):
            _copy_of_image(cloud, vm, disk)
    for one in vm.properties["networkProfile"]["networkInterfaces"]:
        interface = cloud.find(one["id"])
        interface.properties["virtualMachine"] = {"id": vm.id}
        where = _behind(cloud, interface)
        if new and where is not None:
            machines.start(vm.name, vm.body, *where)


def _copy_of_image(cloud: Cloud, vm: Thing, disk: dict) -> None:
    group = vm.id.rsplit("/providers/", 1)[0]
    disk.setdefault("name", f"{vm.name}_disk_{cloud.fresh()}")
    identity = f"{group}/providers/Microsoft.Compute/disks/{disk['name']}"
    image = vm.properties["storageProfile"]["imageReference"]
    cloud.things[identity.lower()] = Thing(
        identity,
        DISK,
        {
            "location": vm.body["location"],
            "managedBy": vm.id,
            "properties": {
                "creationData": {"createOption": "FromImage", "galleryImageReference": image},
                "diskState": "Attached",
                "provisioningState": "Succeeded",
            },
        },
    )
    disk["managedDisk"]["id"] = identity


def _behind(cloud: Cloud, interface: Thing) -> tuple[str, int] | None:
    """Return the public address and port that lead to an interface, where a rule does."""
    for configuration in interface.properties["ipConfigurations"]:
        pools = {pool["id"] for pool in configuration["properties"].get("loadBalancerBackendAddressPools", ())}
        for identity in sorted({pool.rsplit("/backendAddressPools/", 1)[0] for pool in pools}):
            balancer = cloud.find(identity)
            front = balancer.properties["frontendIPConfigurations"][0]["properties"]
            address = cloud.find(front["publicIPAddress"]["id"]).properties["ipAddress"]
            for rule in balancer.properties["loadBalancingRules"]:
                if rule["properties"]["backendAddressPool"]["id"] in pools:
                    return address, rule["properties"]["frontendPort"]
    return None


def _detach(cloud: Cloud, vm: Thing, machines: Machines) -> None:
    storage = vm.properties["storageProfile"]
    for disk in (storage["osDisk"], *storage.get("dataDisks", ())):
        owned = cloud.find(disk.get("managedDisk", {}).get("id", ""))
        if owned is not None and disk.get("deleteOption") == "Delete":
            gone(cloud, owned, machines)
        elif owned is not None:
            owned.properties["diskState"] = "Unattached"
    for one in vm.properties["networkProfile"]["networkInterfaces"]:
        interface = cloud.find(one["id"])
        if interface is None:
            continue
        interface.properties.pop("virtualMachine", None)
        if one.get("properties", {}).get("deleteOption") == "Delete":
            gone(cloud, interface, machines)


def _scale(cloud: Cloud, whole: Thing, machines: Machines) -> None:
    there, wanted = instances(cloud, whole), whole.body["sku"]["capacity"]
    for vm in there[wanted:]:
        gone(cloud, vm, machines)
    for _ in range(wanted - len(there)):
        _instance(cloud, whole, machines)


def _instance(cloud: Cloud, whole: Thing, machines: Machines) -> None:
    """Make one machine of a Flexible set: an ordinary VM with an ordinary interface; both inherit the set's tags."""
    group = whole.id.rsplit("/providers/", 1)[0]
    name = f"{whole.name}_{cloud.fresh()}"
    profile = copy.deepcopy(whole.properties["virtualMachineProfile"])
    configured = profile["networkProfile"]["networkInterfaceConfigurations"][0]
    inner = configured["properties"]
    shared = {"location": whole.body["location"], "tags": dict(whole.body.get("tags", {}))}
    interface = Thing(
        f"{group}/providers/Microsoft.Network/networkInterfaces/{name}-nic",
        INTERFACE,
        shared
        | {"properties": {**inner, "virtualMachineScaleSet": {"id": whole.id}, "provisioningState": "Succeeded"}},
    )
    cloud.things[interface.id.lower()] = interface
    made(cloud, interface, new=True, machines=machines)
    attached = {
        "id": interface.id,
        "properties": {"primary": True, "deleteOption": inner.get("deleteOption", "Detach")},
    }
    vm = Thing(
        f"{group}/providers/Microsoft.Compute/virtualMachines/{name}",
        VM,
        shared
        | {
            "properties": {
                **profile,
                "hardwareProfile": {"vmSize": whole.body["sku"]["name"]},
                "networkProfile": {"networkInterfaces": [attached]},
                "virtualMachineScaleSet": {"id": whole.id},
                "provisioningState": "Succeeded",
            }
        },
    )
    cloud.things[vm.id.lower()] = vm
    made(cloud, vm, new=True, machines=machines)
