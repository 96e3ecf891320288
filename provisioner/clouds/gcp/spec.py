"""What one deployment in Google Cloud shall be, read strictly from the inventory.

Single values first, then what must fit together; every fault is told at once, before anything is asked of the cloud.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from provisioner import fields
from provisioner.clouds import addresses
from provisioner.clouds.disks import size_faults
from provisioner.clouds.gcp import place, secure_boot
from provisioner.clouds.gcp.machines import Family, Provisioning, Technology, family_of, why_not
from provisioner.clouds.gcp.place import Place
from provisioner.clouds.gcp.secure_boot import SecureBootKeys
from provisioner.clouds.interface import Image
from provisioner.errors import Fault
from provisioner.fields import Checks
from provisioner.spec import IDENTITY

_RESERVED = (
    4  # addresses of a subnet that Google keeps: https://cloud.google.com/vpc/docs/subnets#unusable-ip-addresses
)
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
RESERVED_LABELS = "vitrine-"
_KEY_FILES = ("secure_boot_pk", "secure_boot_kek", "secure_boot_db")
_REQUIRED = ("name", "project", "zone", "technology", "machine_type", "client_ranges", "bucket")


def _labels(value: object) -> str | None:
    """Expect labels as Google takes them. https://cloud.google.com/compute/docs/labeling-resources."""
    good = isinstance(value, Mapping) and all(
        isinstance(name, str)
        and isinstance(text, str)
        and _LABEL.fullmatch(name)
        and _LABEL_VALUE.fullmatch(text)
        and not name.startswith(RESERVED_LABELS)
        for name, text in value.items()
    )
    return None if good else f"labels of lower-case letters, digits, hyphens, underscores, none {RESERVED_LABELS}*"


_CHECKS: Checks = {
    **IDENTITY,
    **place.CHECKS,
    "cloud": fields.one_of(Literal["gcp"]),
    **dict.fromkeys(_KEY_FILES, fields.absolute_path),
    "technology": fields.one_of(Technology),
    "machine_type": fields.matching(r"[a-z0-9-]{1,63}", "the name of a machine type"),
    "provisioning": fields.one_of(Provisioning),
    "reservation": fields.matching(r"([a-z]([a-z0-9-]{0,61}[a-z0-9])?)?", "a reservation's name, or nothing"),
    "hours": fields.whole_number(0, 168),
    "replicas": fields.whole_number(1, 100),
    "port": fields.whole_number(1, 65535),
    "boot_disk_gib": fields.whole_number(10, 2048),
    "model_disk_gib": fields.whole_number(10, 65536),
    "subnet": addresses.private_network(16, 28),
    "client_ranges": addresses.ranges,
    "bucket": place.bucket,
    "secure_boot": fields.boolean,
    "labels": _labels,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GcpSpec:
    """One deployment as the operator wants it. That Google has it, or grants it to this project, is not said."""

    name: str
    place: Place
    family: Family
    machine_type: str
    provisioning: Provisioning
    reservation: str
    hours: int
    replicas: int
    port: int
    boot_disk_gib: int
    model_disk_gib: int
    subnet: str
    client_ranges: tuple[str, ...]
    bucket: str
    secure_boot: SecureBootKeys | None
    labels: tuple[tuple[str, str], ...]
    image: Image

    @classmethod
    def from_vars(cls, variables: Mapping[str, Any], image: Image) -> GcpSpec:
        """Read a spec, its key files with it; every key, type and combination is checked.

        Raises:
            SpecError: it lists every fault at once.
        """
        single = tuple(fields.faults(variables, _CHECKS, required=_REQUIRED))
        wrong = {fault.field for fault in single}
        told: dict[str, Any] = {**_DEFAULTS, "port": image.gateway_port, **variables}
        good = {key: value for key, value in told.items() if key not in wrong and key in _CHECKS}
        fields.refuse(iter((*single, *_together(good, image))))
        return cls(
            place=Place(told["project"], told["zone"]),
            family=_family(told["machine_type"]),
            secure_boot=_keys(told),
            labels=tuple(sorted(told["labels"].items())),
            client_ranges=tuple(sorted(set(told["client_ranges"]))),
            image=image,
            **{key: told[key] for key in _PLAIN},
        )


_PLAIN = (
    *("name", "machine_type", "provisioning", "reservation", "hours", "replicas", "port"),
    *("boot_disk_gib", "model_disk_gib", "subnet", "bucket"),
)
_DEFAULTS: Mapping[str, Any] = {
    "provisioning": "standard",
    "reservation": "",
    "hours": 0,
    "replicas": 1,
    "boot_disk_gib": 10,
    "model_disk_gib": 10,
    "subnet": "10.64.0.0/24",
    "secure_boot": False,
    "labels": {},
}


def _family(machine_type: str) -> Family:
    family = family_of(machine_type)
    if family is None:
        raise AssertionError(f"{machine_type} was checked already")
    return family


def _keys(told: Mapping[str, Any]) -> SecureBootKeys | None:
    if not told["secure_boot"]:
        return None
    return SecureBootKeys(*(secure_boot.read_certificate(Path(told[name])) for name in _KEY_FILES))


def _together(good: Mapping[str, Any], image: Image) -> Iterator[Fault]:
    """Yield what does not fit together, among the values that are right by themselves."""
    yield from _machine_faults(good)
    yield from _capacity_faults(good)
    yield from _secure_boot_faults(good)
    yield from _image_faults(good, image)
    if "subnet" in good:
        yield from addresses.room_faults(good, "subnet", _DEFAULTS["subnet"], reserved=_RESERVED)


def _machine_faults(good: Mapping[str, Any]) -> Iterator[Fault]:
    if "machine_type" not in good:
        return
    family = family_of(good["machine_type"])
    if family is None:
        yield Fault("machine_type", why_not(good["machine_type"]), repr(good["machine_type"]))
        return
    if good.get("technology", family.technology) != family.technology:
        yield Fault("technology", f"{family.technology}, which {good['machine_type']} has", repr(good["technology"]))
    model = good.get("provisioning")
    if model is not None and model not in family.provisioning:
        expected = f"one of {', '.join(family.provisioning)}: {family.provisioning_why}"
        yield Fault("provisioning", expected, repr(model))


def _capacity_faults(good: Mapping[str, Any]) -> Iterator[Fault]:
    model = good.get("provisioning")
    if model == "reservation" and good.get("reservation") == "":
        yield Fault("reservation", "the name of the reservation to take machines from", "nothing")
    if model in ("standard", "spot", "flex_start") and good.get("reservation"):
        yield Fault("reservation", "nothing, unless provisioning is reservation", repr(good["reservation"]))
    if model == "flex_start" and good.get("hours") == 0:
        yield Fault("hours", "how long the machine is wanted, at most 168: flex_start ends it then", "nothing")
    if model in ("standard", "spot", "reservation") and good.get("hours"):
        yield Fault("hours", "nothing, unless provisioning is flex_start", repr(good["hours"]))
    if model == "flex_start" and good.get("replicas", 1) > 1:
        expected = "1 with flex_start: groups get such machines by resize requests, which are not made here"
        yield Fault("replicas", expected, repr(good["replicas"]))


def _secure_boot_faults(good: Mapping[str, Any]) -> Iterator[Fault]:
    if "secure_boot" not in good:
        return
    for name in _KEY_FILES:
        if not good["secure_boot"]:
            if name in good:
                yield Fault(name, "nothing, unless secure_boot is true", repr(good[name]))
        elif name not in good:
            yield Fault(name, "the file of a certificate: Secure Boot without own keys refuses our image", "nothing")
        else:
            try:
                secure_boot.read_certificate(Path(good[name]))
            except ValueError as error:
                yield Fault(name, "a file that holds an X.509 certificate, PEM or DER", f"{good[name]}: {error}")


def _image_faults(good: Mapping[str, Any], image: Image) -> Iterator[Fault]:
    if good.get("port", image.gateway_port) != image.gateway_port:
        expected = f"{image.gateway_port}, on which the image listens (gateway_port): nothing in front translates it"
        yield Fault("port", expected, repr(good["port"]))
    for key, path in (("boot_disk_gib", image.boot_disk), ("model_disk_gib", image.model_disk)):
        if key in good:
            yield from size_faults(key, good[key], path)
