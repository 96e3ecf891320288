"""What Google may say of a machine of a deployment: what the plan sets, and what Google adds by itself.

What another check looks at (doors.py) is taken here as it is.
Source: https://cloud.google.com/compute/docs/reference/rest/v1/instances
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.clouds.allowed import Shape, anything, one_of
from provisioner.clouds.gcp.place import Place

_NAMED = ("kind", "id", "name", "selfLink", "zone", "creationTimestamp", "description", "fingerprint")
_TIMES = ("lastStartTimestamp", "lastStopTimestamp", "lastSuspendedTimestamp", "status", "statusMessage")
_HARDWARE = ("machineType", "cpuPlatform", "minCpuPlatform", "guestAccelerators", "scheduling", "reservationAffinity")
_GOOGLES = ("satisfiesPzi", "satisfiesPzs", "startRestricted", "deletionProtection", "params")
# doors.py looks at these, each with its own step.
_SEEN = ("canIpForward", "displayDevice", "metadata", "resourceStatus", "serviceAccounts", "labels", "labelFingerprint")
_PROVEN = ("confidentialInstanceConfig", "shieldedInstanceConfig", "shieldedInstanceIntegrityPolicy")
_DISK = ("kind", "source", "autoDelete", "boot", "index", "diskSizeGb", "interface", "mode", "licenses", "architecture")
_FIREWALL = ("kind", "id", "name", "selfLink", "creationTimestamp", "description", "network", "priority", "logConfig")
# What a rule of ours that lets something by has, and what one that denies has.
SERVICE = frozenset((*_FIREWALL, "direction", "allowed", "sourceRanges"))
DENIAL = frozenset((*_FIREWALL, "direction", "denied", "destinationRanges"))


@dataclass(frozen=True, slots=True)
class Within:
    """Takes the URL of one thing, whichever way Google begins it."""

    path: str

    def __call__(self, value: object) -> bool:
        """Say whether it is that thing's."""
        return f"/{value}".endswith(f"/{self.path}")


def machine(place: Place, name: str) -> Shape:
    """Return what a machine of a deployment has."""
    here = f"projects/{place.project}"
    access: Shape = {
        **dict.fromkeys(("kind", "name", "natIP", "networkTier"), anything),
        "type": one_of("ONE_TO_ONE_NAT"),
    }
    card: Shape = {
        **dict.fromkeys(("kind", "fingerprint", "networkIP"), anything),
        "name": one_of("nic0"),
        "network": Within(f"{here}/global/networks/{name}"),
        "subnetwork": Within(f"{here}/regions/{place.region}/subnetworks/{name}"),
        "nicType": one_of("GVNIC"),
        "stackType": one_of("IPV4_ONLY"),
        "igmpQuery": one_of("IGMP_QUERY_DISABLED"),
        "accessConfigs": [access],
    }
    disk: Shape = {
        **dict.fromkeys((*_DISK, "guestOsFeatures", "shieldedInstanceInitialState"), anything),
        "deviceName": one_of("boot", "model"),
        "type": one_of("PERSISTENT"),
    }
    return {
        **dict.fromkeys((*_NAMED, *_TIMES, *_HARDWARE, *_GOOGLES, *_SEEN, *_PROVEN), anything),
        "privateIpv6GoogleAccess": one_of("INHERIT_FROM_SUBNETWORK"),
        "keyRevocationActionType": one_of("NONE"),
        "tags": {"fingerprint": anything},
        "networkInterfaces": [card],
        "disks": [disk],
    }
