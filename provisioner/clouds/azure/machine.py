"""The machines of a deployment: one VM, or a scale set of them.

Nothing is passed to a machine: no osProfile (a Specialized image takes none), no userData, no identity, no extension,
no agent; boot diagnostics, which serve the console, are off. Disks are the machine's own copies and go with it. The
guest state (firmware variables, vTPM) is encrypted for the machine (VMGuestStateOnly); the disks need no secrecy, and
dm-verity guards what they say.

Several machines are a scale set with Flexible orchestration, whose instances are ordinary VMs with ordinary network
interfaces: what is in effect on each can be read back, which a Uniform set does not offer for its security rules.

Sources: learn.microsoft.com/rest/api/compute/{virtual-machines,virtual-machine-scale-sets}/create-or-update,
learn.microsoft.com/azure/confidential-computing/{confidential-vm-overview,virtual-machine-scale-sets},
learn.microsoft.com/azure/virtual-machine-scale-sets/virtual-machine-scale-sets-orchestration-modes,
learn.microsoft.com/azure/virtual-machines/spot-vms.
"""

from __future__ import annotations

from typing import Any

from provisioner.clouds.azure.image import IMAGE_TAG, MODEL_LUN
from provisioner.clouds.azure.names import (
    EVERYBODY,
    POOLS,
    Names,
    balancer_name,
    interface_name,
    network_name,
    pool,
    rules_name,
    set_name,
)
from provisioner.clouds.azure.spec import AzureSpec
from provisioner.clouds.resources import Key, Resource

# The version of the network's API by which a Flexible set describes its interfaces; the set's own schema names it.
_NETWORK_API = "2022-11-01"


def machine(spec: AzureSpec, needs: tuple[Key, ...]) -> tuple[Resource, ...]:
    """Plan one VM and its interface, or the scale set."""
    # https://learn.microsoft.com/azure/confidential-computing/confidential-vm-overview: the guest state is a disk too.
    meters = [f"{spec.machine.meter}, {spec.priority}", _disks(spec), "1 guest state of some MiB x hours"]
    meters.append("GiB of traffic out")
    if spec.replicas > 1:
        meter = f"{spec.replicas} x ({'; '.join(meters)})"
        key = set_key(spec.name, spec.image.key)
        return (Resource(key=key, body=_scale_set(spec), needs=needs, meter=meter, note="the machines"),)
    interface = Resource(
        key=Key("networkInterface", interface_name(spec.name)),
        body=_interface(spec),
        needs=needs,
        note="no public address",
    )
    return (
        interface,
        Resource(
            key=Key("virtualMachine", spec.name),
            body=_vm(spec, spec.place.id_of(f"Microsoft.Network/networkInterfaces/{interface.key.name}")),
            needs=(*needs, interface.key),
            meter="; ".join(meters),
            note="the machine",
        ),
    )


def set_key(deployment: str, key: str) -> Key:
    """Name the scale set of an image: an old and a new one are there beside each other for a while."""
    return Key("virtualMachineScaleSet", set_name(deployment, key))


def _disks(spec: AzureSpec) -> str:
    return f"2 managed disks of {spec.boot_disk_gib} and {spec.model_disk_gib} GiB x hours ({spec.disk_type})"


def _vm(spec: AzureSpec, interface: str) -> dict[str, Any]:
    return {
        "location": spec.location,
        "tags": {IMAGE_TAG: spec.image.key},
        "properties": {
            "hardwareProfile": {"vmSize": spec.size},
            "storageProfile": _storage(spec),
            "networkProfile": {
                "networkInterfaces": [{"id": interface, "properties": {"primary": True, "deleteOption": "Detach"}}]
            },
            **_confidential(spec),
        },
    }


def _scale_set(spec: AzureSpec) -> dict[str, Any]:
    configuration = {
        "name": "interface",
        "properties": {"primary": True, "deleteOption": "Delete", **_interface_properties(spec)},
    }
    return {
        "location": spec.location,
        "tags": {IMAGE_TAG: spec.image.key},
        "sku": {"name": spec.size, "tier": "Standard", "capacity": spec.replicas},
        "properties": {
            "orchestrationMode": "Flexible",
            "platformFaultDomainCount": 1,
            "singlePlacementGroup": False,
            "virtualMachineProfile": {
                "storageProfile": _storage(spec),
                "networkProfile": {
                    "networkApiVersion": _NETWORK_API,
                    "networkInterfaceConfigurations": [configuration],
                },
                **_confidential(spec),
            },
        },
    }


def _confidential(spec: AzureSpec) -> dict[str, Any]:
    """Return what makes a machine confidential and shut; it is spelt the same for a VM and for a set's machines."""
    spot = {"priority": "Spot", "evictionPolicy": "Delete", "billingProfile": {"maxPrice": -1}}
    return {
        "securityProfile": {
            "securityType": "ConfidentialVM",
            "uefiSettings": {"secureBootEnabled": spec.secure_boot, "vTpmEnabled": True},
        },
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": False}},
        **(spot if spec.priority == "spot" else {"priority": "Regular"}),
    }


def _storage(spec: AzureSpec) -> dict[str, Any]:
    """Return the disks. Azure names them: those of a machine that is being replaced may go later than it does."""
    copied = {"createOption": "FromImage", "caching": "ReadOnly", "deleteOption": "Delete"}
    guest_state = {"securityProfile": {"securityEncryptionType": "VMGuestStateOnly"}}
    kind = {"storageAccountType": spec.disk_type}
    return {
        "imageReference": {"id": spec.place.version(Names(spec.name, spec.image.key).version)},
        "osDisk": {**copied, "managedDisk": kind | guest_state},
        "dataDisks": [{"lun": MODEL_LUN, **copied, "managedDisk": kind}],
    }


def _interface(spec: AzureSpec) -> dict[str, Any]:
    return {"location": spec.location, "properties": _interface_properties(spec)}


def _interface_properties(spec: AzureSpec) -> dict[str, Any]:
    # In both pools from the first moment on: which of them the service leads to is the balancer's rule alone.
    pools = (EVERYBODY,) if spec.replicas == 1 else (EVERYBODY, pool(spec.image.key))
    ids = [{"id": spec.place.balancer_part(balancer_name(spec.name), POOLS, name)} for name in pools]
    address = {
        "primary": True,
        "privateIPAddressVersion": "IPv4",
        "subnet": {"id": spec.place.subnet(network_name(spec.name))},
        "loadBalancerBackendAddressPools": ids,
    }
    # On the machine's side of the subnet's rules once more: one of the two may be taken away by accident.
    rules = spec.place.id_of(f"Microsoft.Network/networkSecurityGroups/{rules_name(spec.name)}")
    return {
        "ipConfigurations": [{"name": "primary", "properties": address}],
        "networkSecurityGroup": {"id": rules},
        "enableAcceleratedNetworking": False,
        "enableIPForwarding": False,
    }
