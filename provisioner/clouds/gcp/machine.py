"""One machine, as Google's API takes it: as an instance of its own, and as the template of a group.

Sources, below https://cloud.google.com: /compute/docs/reference/rest/v1/instances,
/confidential-computing/confidential-vm/docs/create-a-confidential-vm-instance,
/compute/docs/metadata/predefined-metadata-keys.
"""

from __future__ import annotations

from typing import Any

from provisioner.clouds.gcp import marks
from provisioner.clouds.gcp.spec import GcpSpec
from provisioner.clouds.interface import short
from provisioner.clouds.resources import DIGEST_SIZE, Mark

# The image listens to none of these doors. They are shut on Google's side too, so that opening one shows.
METADATA = {
    "block-project-ssh-keys": "TRUE",
    "enable-guest-attributes": "FALSE",
    "enable-os-inventory": "FALSE",
    "enable-osconfig": "FALSE",
    "enable-oslogin": "FALSE",
    "serial-port-enable": "FALSE",
    "serial-port-logging-enable": "FALSE",
}
RESERVATION_KEY = "compute.googleapis.com/reservation-name"
CAPACITY_SECONDS = 7200  # how long flex_start may look for a machine


def properties(spec: GcpSpec) -> dict[str, Any]:
    """Return what instance and template have in common, in the template's spelling."""
    names = (image_name(spec.name, disk, spec.image.key) for disk in ("boot", "model"))
    boot_image, model_image = (f"projects/{spec.place.project}/global/images/{name}" for name in names)
    body: dict[str, Any] = {
        "machineType": spec.machine_type,
        "confidentialInstanceConfig": {
            "enableConfidentialCompute": True,
            "confidentialInstanceType": spec.family.confidential_type,
        },
        "shieldedInstanceConfig": {
            "enableVtpm": True,
            "enableIntegrityMonitoring": True,
            "enableSecureBoot": spec.secure_boot is not None,
        },
        "scheduling": scheduling(spec),
        "canIpForward": False,
        "disks": [
            _disk(spec, "boot", boot_image, spec.boot_disk_gib),
            _disk(spec, "model", model_image, spec.model_disk_gib),
        ],
        "networkInterfaces": [_card(spec)],
        "metadata": {"items": [{"key": key, "value": value} for key, value in METADATA.items()]},
        "labels": node_labels(spec),
        "serviceAccounts": [],
    }
    if spec.family.cpu_platform:
        body["minCpuPlatform"] = spec.family.cpu_platform
    if spec.provisioning == "reservation":
        body["reservationAffinity"] = {
            "consumeReservationType": "SPECIFIC_RESERVATION",
            "key": RESERVATION_KEY,
            "values": [spec.reservation],
        }
    elif spec.provisioning in ("spot", "flex_start"):
        body["reservationAffinity"] = {"consumeReservationType": "NO_RESERVATION"}
    return body


def image_name(deployment: str, disk: str, key: str) -> str:
    """Name the image of a disk; another bake is another name."""
    return f"{deployment}-{disk}-{short(key)}"


def meter(spec: GcpSpec) -> str:
    """Say what one machine costs while it exists; the second is billed where the type has such a price.

    https://cloud.google.com/confidential-computing/confidential-vm/pricing
    """
    disks = f"pd-balanced disks of {spec.boot_disk_gib} and {spec.model_disk_gib} GiB x months"
    own = f"{spec.family.meter} ({spec.provisioning}); vCPU-hours and GiB-hours of Confidential VM"
    return f"{own}; {disks}; GiB of traffic out"


def instance(spec: GcpSpec, common: dict[str, Any], address: str) -> dict[str, Any]:
    """Turn the properties of a template into one instance with an address of its own.

    Google translates that address to the one that the machine has from DHCP, so the machine needs to know nothing.
    ``address`` is a URL: the driver puts the address itself in its place, which is all that Google takes here.
    """
    zone = f"zones/{spec.place.zone}"
    disks = [
        disk | {"initializeParams": disk["initializeParams"] | {"diskType": f"{zone}/diskTypes/pd-balanced"}}
        for disk in common["disks"]
    ]
    access = {"type": "ONE_TO_ONE_NAT", "name": "External NAT", "natIP": address, "networkTier": "PREMIUM"}
    card = common["networkInterfaces"][0] | {"accessConfigs": [access]}
    body = common | {
        "name": spec.name,
        "machineType": f"{zone}/machineTypes/{spec.machine_type}",
        "disks": disks,
        "networkInterfaces": [card],
        "displayDevice": {"enableDisplay": False},
        "deletionProtection": False,
    }
    if spec.provisioning == "flex_start":
        body["params"] = {"requestValidForDuration": {"seconds": str(CAPACITY_SECONDS)}}
    return body


def scheduling(spec: GcpSpec) -> dict[str, Any]:
    """Say how the machine is had and when it ends: a confidential machine is never moved to another host alive."""
    model = {"spot": "SPOT", "flex_start": "FLEX_START"}.get(spec.provisioning, "STANDARD")
    stays = model == "STANDARD"
    body: dict[str, Any] = {
        "onHostMaintenance": "TERMINATE",
        "automaticRestart": stays,
        "provisioningModel": model,
    }
    if not stays:
        body["instanceTerminationAction"] = "DELETE"
    if spec.provisioning == "flex_start":
        body["maxRunDuration"] = {"seconds": str(spec.hours * 3600)}
    return body


def node_labels(spec: GcpSpec) -> dict[str, str]:
    """Return what a machine says of itself to people and to us: its image and its port."""
    ours = {marks.IMAGE: spec.image.key[:DIGEST_SIZE], marks.PORT: str(spec.port)}
    return dict(spec.labels) | ours | _made_with(spec)


def _made_with(spec: GcpSpec) -> dict[str, str]:
    """Mark what Google makes along (disks, machines of a group), so that one that stays is found."""
    return marks.labels(Mark(spec.name, spec.image.key[:DIGEST_SIZE]))


def _disk(spec: GcpSpec, name: str, image: str, gib: int) -> dict[str, Any]:
    return {
        "boot": name == "boot",
        "autoDelete": True,
        "deviceName": name,
        "interface": "NVME",
        "mode": "READ_WRITE" if name == "boot" else "READ_ONLY",
        "type": "PERSISTENT",
        "initializeParams": {
            "sourceImage": image,
            "diskType": "pd-balanced",
            "diskSizeGb": str(gib),
            "labels": dict(spec.labels) | _made_with(spec),
        },
    }


def _card(spec: GcpSpec) -> dict[str, Any]:
    place = spec.place
    return {
        "subnetwork": f"projects/{place.project}/regions/{place.region}/subnetworks/{spec.name}",
        "nicType": "GVNIC",
        "stackType": "IPV4_ONLY",
        "accessConfigs": [],
    }
