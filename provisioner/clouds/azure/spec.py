"""What a deployment on Azure shall be, read strictly from the inventory: every fault is listed before any call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from provisioner import fields
from provisioner.clouds import addresses
from provisioner.clouds.azure.certificates import expected_certificates
from provisioner.clouds.azure.names import Place
from provisioner.clouds.azure.sizes import SIZES, Size, expected_size
from provisioner.clouds.disks import size_faults
from provisioner.clouds.interface import Image
from provisioner.errors import Fault
from provisioner.fields import Checks
from provisioner.spec import IDENTITY

Priority = Literal["regular", "spot"]
DiskType = Literal["Premium_LRS", "StandardSSD_LRS", "Standard_LRS"]
_DISK_GIB = 4  # of either disk, where nothing is said
_MAX_REPLICAS = 100
_NETWORK = "10.77.0.0/24"
_RESERVED = 5  # addresses of a subnet that Azure keeps: learn.microsoft.com/azure/virtual-network/virtual-networks-faq
_REQUIRED = ("name", "cloud", "subscription", "resource_group", "location", "size", "client_networks")


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSpec:
    """One deployment as the operator wants it, with its image. That Azure grants it is not said."""

    name: str
    image: Image
    subscription: str
    resource_group: str
    location: str
    size: str
    client_networks: tuple[str, ...]
    resource_group_exists: bool = False
    priority: Priority = "regular"
    replicas: int = 1
    secure_boot: bool = False
    secure_boot_certificates: tuple[str, ...] = ()
    port: int = 443
    network: str = _NETWORK
    boot_disk_gib: int = _DISK_GIB
    model_disk_gib: int = _DISK_GIB
    disk_type: DiskType = "Premium_LRS"

    @property
    def place(self) -> Place:
        """Say where all of it is."""
        return Place(self.subscription, self.resource_group)

    @property
    def machine(self) -> Size:
        """Return the size with what is known of it."""
        return SIZES[self.size]

    @classmethod
    def from_vars(cls, variables: Mapping[str, object], image: Image) -> AzureSpec:
        """Read a spec; every key, type and combination is checked.

        Raises:
            SpecError: it lists every fault at once.
        """
        single = tuple(fields.faults(variables, CHECKS, required=_REQUIRED))
        wrong = {fault.field for fault in single}
        good = {key: value for key, value in variables.items() if key not in wrong}
        fields.refuse(chain(single, _together(good, wrong, image)))
        del good["cloud"]
        return cls(image=image, **fields.typed(good, frozenset()))


def read_place(variables: Mapping[str, object]) -> Place:
    """Read where a deployment is, whatever else the inventory says: all that it takes to look and to delete.

    Raises:
        SpecError: it does not say where, or not properly.
    """
    return Place(*_told(variables, ("subscription", "resource_group")))


def whereabouts(variables: Mapping[str, object]) -> str:
    """Say where a deployment is: another subscription, group or region is another place.

    Raises:
        SpecError: the inventory does not say where, or not properly.
    """
    location, group, subscription = _told(variables, ("location", "resource_group", "subscription"))
    return f"{location}, in the resource group {group} of subscription {subscription}"


def _told(variables: Mapping[str, object], keys: tuple[str, ...]) -> tuple[str, ...]:
    told = {key: value for key, value in variables.items() if key in keys}
    fields.refuse(fields.faults(told, CHECKS, required=keys))
    return tuple(str(told[key]) for key in keys)


CHECKS: Checks = {
    **IDENTITY,
    "cloud": fields.one_of(Literal["azure"]),
    "subscription": fields.matching(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "a subscription's id: 32 lower-case hexadecimal digits as 8-4-4-4-12",
    ),
    "resource_group": fields.matching(
        r"[A-Za-z0-9_-]([A-Za-z0-9._-]{0,88}[A-Za-z0-9_-])?",
        "at most 90 letters, digits, underscores, hyphens and dots, not beginning or ending with a dot",
    ),
    "resource_group_exists": fields.boolean,
    "location": fields.matching(r"[a-z][a-z0-9]{2,29}", "a region's short name, such as eastus2 or westeurope"),
    "size": expected_size,
    "priority": fields.one_of(Priority),
    "replicas": fields.whole_number(1, _MAX_REPLICAS),
    "secure_boot": fields.boolean,
    "secure_boot_certificates": expected_certificates,
    "client_networks": addresses.ranges,
    "port": fields.whole_number(1, 65534),
    "network": addresses.private_network(16, 25),
    "boot_disk_gib": fields.whole_number(1, 1023),
    "model_disk_gib": fields.whole_number(1, 4095),
    "disk_type": fields.one_of(DiskType),
}


def _together(good: Mapping[str, Any], wrong: set[str], image: Image) -> Iterator[Fault]:
    """Yield what is wrong with values that are fine one by one; of a value that is not, one fault is enough."""
    if not {"secure_boot", "secure_boot_certificates"} & wrong:
        yield from _secure_boot(good)
    for key, file in (("boot_disk_gib", image.boot_disk), ("model_disk_gib", image.model_disk)):
        if key not in wrong:
            yield from size_faults(key, good.get(key, _DISK_GIB), file)
    if not {"network", "replicas"} & wrong:
        yield from addresses.room_faults(good, "network", _NETWORK, reserved=_RESERVED)


def _secure_boot(told: Mapping[str, Any]) -> Iterator[Fault]:
    """Check Secure Boot against its keys: the UKI is ours, so Microsoft's certificates say nothing of it."""
    wanted, keys = told.get("secure_boot", False), told.get("secure_boot_certificates", ())
    if wanted and not keys:
        yield Fault(
            "secure_boot_certificates", "the certificate that signed the image, because secure_boot is true", "none"
        )
    if keys and not wanted:
        yield Fault("secure_boot", "true, because secure_boot_certificates are given", "false")
