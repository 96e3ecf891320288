"""What Azure may say of a deployment's machines and network: what the plan sets, and what Azure adds by itself.

What another check looks at (doors.py) is taken here as it is. Fields that Azure adds are those that its schema calls
read-only, and defaults that change nothing.

Sources: learn.microsoft.com/rest/api/compute/{virtual-machines,virtual-machine-scale-sets}/get,
learn.microsoft.com/rest/api/virtualnetwork/{network-interfaces,virtual-networks}/get,
learn.microsoft.com/rest/api/load-balancer/load-balancers/get.
"""

from __future__ import annotations

from provisioner.clouds.allowed import Shape, anything, one_of
from provisioner.clouds.azure.image import MODEL_LUN
from provisioner.clouds.azure.names import FRONTENDS, POOLS, PROBES, SUBNET, Place

_NAMED: dict[str, Shape] = dict.fromkeys(("id", "name", "type", "etag", "location", "tags", "systemData"), anything)
_MADE: dict[str, Shape] = dict.fromkeys(("provisioningState", "resourceGuid", "timeCreated", "uniqueId"), anything)
_HAD: dict[str, Shape] = dict.fromkeys(("priority", "evictionPolicy", "billingProfile"), anything)
_ID: Shape = {"id": anything}
_DISK: dict[str, Shape] = dict.fromkeys(("name", "caching", "deleteOption", "diskSizeGB"), anything)
_DISK |= {"createOption": one_of("FromImage")}
_DATA_DISK: dict[str, Shape] = {
    **_DISK,
    "lun": one_of(MODEL_LUN),
    **dict.fromkeys(("diskIOPSReadWrite", "diskMBpsReadWrite"), anything),
    "managedDisk": {"id": anything, "storageAccountType": anything},
}
_STORAGE: Shape = {
    "imageReference": {"id": anything, "exactVersion": anything},
    "osDisk": {
        **_DISK,
        "osType": one_of("Linux"),
        "managedDisk": {"id": anything, "storageAccountType": anything, "securityProfile": anything},
    },
    "dataDisks": [_DATA_DISK],
    "diskControllerType": anything,
}
_SECURITY: Shape = {
    "securityType": anything,
    "uefiSettings": {"secureBootEnabled": anything, "vTpmEnabled": anything},
    "proxyAgentSettings": anything,
}
_BOOT: Shape = {"bootDiagnostics": {"enabled": anything}}
_SEEN = ("instanceView", "osProfile", "userData")  # doors.py tells them, each with its own step
MACHINE: Shape = {
    **_NAMED,
    **dict.fromkeys(("identity", "resources", "managedBy"), anything),
    "properties": {
        **_MADE,
        **_HAD,
        **dict.fromkeys((*_SEEN, "vmId", "platformFaultDomain", "extensionsTimeBudget"), anything),
        "hardwareProfile": {"vmSize": anything},
        "storageProfile": _STORAGE,
        "networkProfile": {"networkApiVersion": anything, "networkInterfaces": anything},
        "securityProfile": _SECURITY,
        "diagnosticsProfile": _BOOT,
        "virtualMachineScaleSet": _ID,
    },
}


def _is_ours(place: Place, kind: str, name: str) -> Shape:
    return {"id": one_of(place.id_of(f"Microsoft.Network/{kind}/{name}"))}


class Pools:
    """The pools of our own balancer."""

    def __init__(self, place: Place, name: str) -> None:
        self._below = place.balancer_part(f"{name}-balancer", POOLS, "").lower()

    def __call__(self, value: object) -> bool:
        """Say whether an id is that of such a pool."""
        return str(value).lower().startswith(self._below)


def _configuration(place: Place, name: str) -> dict[str, Shape]:
    """Return what an interface, or a set's model of one, has at its address."""
    return {
        **_MADE,
        **dict.fromkeys(("privateIPAddress", "privateIPAllocationMethod", "primary"), anything),
        "privateIPAddressVersion": one_of("IPv4"),
        "subnet": {"id": one_of(place.subnet(f"{name}-network"))},
        "loadBalancerBackendAddressPools": [{"id": Pools(place, name)}],
    }


def interface(place: Place, name: str) -> Shape:
    """Return what the interface of a machine of a deployment has."""
    specific: dict[str, Shape] = dict.fromkeys(("publicIPAddress", "loadBalancerInboundNatRules"), anything)
    inner = {**_configuration(place, name), **specific}
    known = ("virtualMachine", "virtualMachineScaleSet", "macAddress", "primary", "deleteOption")
    switches = ("enableAcceleratedNetworking", "enableIPForwarding", "allowPort25Out", "vnetEncryptionSupported")
    return {
        **_NAMED,
        "kind": anything,
        "properties": {
            **_MADE,
            **dict.fromkeys((*known, *switches), anything),
            "nicType": one_of("Standard"),
            "dnsSettings": {"internalDomainNameSuffix": anything},
            "networkSecurityGroup": _is_ours(place, "networkSecurityGroups", f"{name}-rules"),
            "ipConfigurations": [{**_NAMED, "properties": inner}],
        },
    }


def network(place: Place, name: str) -> Shape:
    """Return what the network of a deployment has."""
    plain = ("addressPrefix", "addressPrefixes", "ipConfigurations", "purpose")
    policies = ("privateEndpointNetworkPolicies", "privateLinkServiceNetworkPolicies")
    subnet: dict[str, Shape] = {
        **_NAMED,
        "properties": {
            **_MADE,
            **dict.fromkeys((*plain, *policies, "defaultOutboundAccess"), anything),
            "networkSecurityGroup": _is_ours(place, "networkSecurityGroups", f"{name}-rules"),
        },
    }
    return {
        **_NAMED,
        "properties": {
            **_MADE,
            **dict.fromkeys(("addressSpace", "encryption", "privateEndpointVNetPolicies"), anything),
            "subnets": [{**subnet, "name": one_of(SUBNET)}],
        },
    }


def balancer(place: Place, name: str, port: int) -> Shape:
    """Return what the balancer of a deployment has; the image listens on ``port``."""
    plain = ("frontendIPConfiguration", "probe", "frontendPort", "idleTimeoutInMinutes", "enableTcpReset")
    rule: Shape = {
        **_MADE,
        **dict.fromkeys((*plain, "loadDistribution", "disableOutboundSnat"), anything),
        "backendAddressPool": {"id": Pools(place, name)},
        "backendAddressPools": [{"id": Pools(place, name)}],
        "protocol": one_of("Tcp"),
        "backendPort": one_of(port),
    }
    front: Shape = {
        **_MADE,
        **dict.fromkeys(("loadBalancingRules", "privateIPAllocationMethod", "privateIPAddressVersion"), anything),
        "publicIPAddress": _is_ours(place, "publicIPAddresses", f"{name}-address"),
    }
    members = ("backendIPConfigurations", "loadBalancingRules", "loadBalancerBackendAddresses")
    pool: Shape = {**_MADE, **dict.fromkeys(members, anything)}
    several = ("inboundNatRules", "inboundNatPools", "outboundRules")
    return {
        **_NAMED,
        "sku": anything,
        "properties": {
            **_MADE,
            **dict.fromkeys((PROBES, *several), anything),
            "scope": one_of("Public"),
            FRONTENDS: [{**_NAMED, "properties": front}],
            POOLS: [{**_NAMED, "properties": pool}],
            "loadBalancingRules": [{**_NAMED, "properties": rule}],
        },
    }


def scale_set(place: Place, name: str) -> Shape:
    """Return what a set, and the model that its next machine is made from, has."""
    switches = ("primary", "deleteOption", "enableAcceleratedNetworking")
    card: Shape = {
        **dict.fromkeys(switches, anything),
        "networkSecurityGroup": _is_ours(place, "networkSecurityGroups", f"{name}-rules"),
        "ipConfigurations": [{"name": anything, "properties": _configuration(place, name)}],
    }
    model: Shape = {
        **_MADE,
        **_HAD,
        "storageProfile": _STORAGE,
        "networkProfile": {
            "networkApiVersion": anything,
            "networkInterfaceConfigurations": [{"name": anything, "properties": card}],
        },
        "securityProfile": {
            "securityType": one_of("ConfidentialVM"),
            "uefiSettings": {"secureBootEnabled": anything, "vTpmEnabled": one_of(True)},
        },
    }
    plain = ("platformFaultDomainCount", "singlePlacementGroup", "doNotRunExtensionsOnOverprovisionedVMs")
    return {
        **_NAMED,
        "sku": anything,
        "properties": {
            **_MADE,
            **dict.fromkeys(plain, anything),
            "orchestrationMode": one_of("Flexible"),
            "upgradePolicy": {"mode": one_of("Manual")},
            "scaleInPolicy": {"rules": one_of(["Default"])},
            "automaticRepairsPolicy": {"gracePeriod": anything},
            "virtualMachineProfile": model,
        },
    }
