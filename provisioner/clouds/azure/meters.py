"""What a deployment on Azure costs by meter while it exists: the prices are the vendor's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from provisioner.clouds.azure.api import Api, Json
from provisioner.clouds.azure.driver import DEPLOYMENT_TAG
from provisioner.clouds.azure.kinds import BY_NAME
from provisioner.clouds.azure.names import Names


def machine_meters(holder: Json, count: int) -> Iterator[tuple[str, str]]:
    """Yield where, which size, how many, at which priority."""
    properties = holder["properties"]
    profile = properties.get("virtualMachineProfile") or properties
    yield "location", str(holder.get("location"))
    yield "size", _size(holder)
    yield "machines", str(count)
    yield "priority", str(profile.get("priority", "Regular")).lower()


def disk_meters(api: Api, name: str, machines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the disks, the uploaded ones among them, and the versions of images; ``machines`` are ids.

    Raises:
        CloudError: the API refuses.
    """
    ids = {one.lower() for one in machines}
    yield "disks", _disks([one for one in api.list(BY_NAME["disk"]) if _is_of(one, name, ids)])
    gallery = Names(name, "").gallery
    images = [f"{gallery}/{one['name']}" for one in api.list(BY_NAME["galleryImage"], gallery)]
    count = sum(1 for image in images for _ in api.list(BY_NAME["galleryImageVersion"], image))
    yield "images", f"{count} x image version" if count else "none"


def _is_of(disk: Json, name: str, machines: set[str]) -> bool:
    """Tell whether a disk is an uploaded one of the deployment, or the copy that one of its machines has."""
    return (disk.get("tags") or {}).get(DEPLOYMENT_TAG) == name or str(disk.get("managedBy")).lower() in machines


def _disks(disks: list[Json]) -> str:
    sizes: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for disk in disks:
        kind = str((disk.get("sku") or {}).get("name", "disk"))
        sizes[kind] += _gib(disk.get("properties") or {})
        count[kind] += 1
    return ", ".join(_line(kind, count[kind], sizes[kind]) for kind in sorted(count)) or "none"


def _gib(properties: Json) -> int:
    """Return a disk's size; one that is still uploaded may say only how many bytes are meant."""
    size = properties.get("diskSizeGB") or 0
    return int(size) or int((properties.get("creationData") or {}).get("uploadSizeBytes") or 0) >> 30


def _line(kind: str, count: int, gib: int) -> str:
    return f"{count} x {kind}" + (f", {gib} GiB together" if gib else "")


def _size(holder: Json) -> str:
    hardware = holder["properties"].get("hardwareProfile") or {}
    return str(hardware.get("vmSize") or (holder.get("sku") or {}).get("name", ""))
