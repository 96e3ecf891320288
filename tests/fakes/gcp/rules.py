"""What Google requires beyond its schema, as far as this project meets it; each with the page that says so."""

from __future__ import annotations

import ipaddress
import re

from tests.fakes.cloud_api import RefusedError
from tests.fakes.gcp.refusal import invalid

DOCS = "https://cloud.google.com"
# .../confidential-computing/confidential-vm/docs/supported-configurations
TECHNOLOGY = (
    (r"a3-highgpu-1g", {"TDX"}),
    (r"c3-standard-\d+", {"TDX"}),
    (r"n2d-standard-\d+", {"SEV", "SEV_SNP"}),
    (r"g4-standard-\d+", {"SEV"}),
)
FEATURE = {"TDX": "TDX_CAPABLE", "SEV_SNP": "SEV_SNP_CAPABLE", "SEV": "SEV_CAPABLE"}
HEALTH_RANGES = ("35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22")


def machine(body, images):
    """Refuse a machine (an instance, or a template's properties) that cannot start; ``images`` by URL."""
    machine_type = body["machineType"].rpartition("/")[2]
    wanted = body.get("confidentialInstanceConfig", {})
    kind = wanted.get("confidentialInstanceType") if wanted.get("enableConfidentialCompute") else None
    _confidential(machine_type, kind, body)
    _scheduling(machine_type, body)
    for disk in body.get("disks", ()):
        _disk(disk, kind, images)
    for card in body.get("networkInterfaces", ()):
        if len(card.get("accessConfigs", ())) > 1:
            raise invalid("At most one access config currently supported.")


def _confidential(machine_type, kind, body):
    supported = next((found for pattern, found in TECHNOLOGY if re.fullmatch(pattern, machine_type)), set())
    if kind is None:
        return
    if kind not in supported:  # .../confidential-vm/docs/supported-configurations
        raise invalid(f"Confidential Instance Config is not supported for machine type {machine_type} with {kind}.")
    if kind == "SEV_SNP" and body.get("minCpuPlatform") != "AMD Milan":
        # .../confidential-vm/docs/create-a-confidential-vm-instance ("--min-cpu-platform")
        raise invalid("SEV_SNP confidential instances require minCpuPlatform AMD Milan.")
    if kind in ("TDX", "SEV_SNP") and body.get("scheduling", {}).get("onHostMaintenance") != "TERMINATE":
        # .../confidential-vm/docs/troubleshoot-live-migration
        raise invalid("Confidential VMs of this type need onHostMaintenance TERMINATE.")
    if not body.get("shieldedInstanceConfig", {}).get("enableVtpm"):
        raise invalid("Confidential VMs need the vTPM.")


def _scheduling(machine_type, body):
    told = body.get("scheduling", {})
    model = told.get("provisioningModel", "STANDARD")
    affinity = body.get("reservationAffinity", {}).get("consumeReservationType")
    if machine_type == "a3-highgpu-1g" and model == "STANDARD" and affinity != "SPECIFIC_RESERVATION":
        # .../compute/docs/accelerator-optimized-machines#a3-high-vms
        raise invalid("Machine type a3-highgpu-1g must use Spot, Flex-start, or a reservation.")
    if model in ("SPOT", "FLEX_START") and told.get("automaticRestart", True):
        # .../compute/docs/instances/create-use-spot
        raise invalid(f"Scheduling with {model} must have automaticRestart false.")
    if model == "FLEX_START":  # .../compute/docs/instances/about-flex-start-vms
        hours = int(told.get("maxRunDuration", {}).get("seconds", 0)) / 3600
        if not 0 < hours <= 168 or told.get("instanceTerminationAction") != "DELETE":
            raise invalid("Flex-start VMs need maxRunDuration of at most 7 days and a termination action.")
        if affinity != "NO_RESERVATION":
            raise invalid("Flex-start VMs may not consume reservations.")
    elif told.get("maxRunDuration"):
        raise invalid("maxRunDuration is not expected here.")


def _disk(disk, kind, images):
    started = disk.get("initializeParams", {})
    image = images[started["sourceImage"]]
    features = {one["type"] for one in image.get("guestOsFeatures", ())}
    if disk.get("boot") and kind is not None:
        if disk.get("interface") != "NVME":  # .../confidential-vm/docs/supported-configurations ("NVMe")
            raise invalid("Confidential VMs need boot disks with interface NVME.")
        lacking = {"UEFI_COMPATIBLE", "GVNIC", FEATURE[kind]} - features
        if lacking:  # .../confidential-vm/docs/create-custom-confidential-vm-images
            raise invalid(f"The source image lacks guest OS features: {', '.join(sorted(lacking))}.")
    if int(started.get("diskSizeGb", 10)) < max(
        10, int(image["diskSizeGb"])
    ):  # .../compute/docs/disks/persistent-disks
        raise invalid(f"Requested disk size cannot be smaller than the image size ({image['diskSizeGb']} GB).")


def image(body, archive):
    """Refuse an image whose archive Google could not import. .../compute/docs/import/import-existing-image."""
    if body.get("rawDisk", {}).get("containerType") != "TAR" or archive is None:
        raise invalid("The resource at 'rawDisk.source' is not a tar that Compute Engine can read.")
    if archive["name"] != "disk.raw" or archive["size"] % (1 << 30) or archive["format"] != b"ustar  \0":
        raise invalid("The tar must hold disk.raw alone, in the oldgnu format, of a whole number of GB.")


def network(body):
    """.../vpc/docs/mtu."""
    if not 1300 <= body.get("mtu", 1460) <= 8896:
        raise invalid(f"Invalid value for field 'resource.mtu': '{body['mtu']}'.")


def subnetwork(body):
    """.../vpc/docs/subnets#valid-ranges."""
    if ipaddress.ip_network(body["ipCidrRange"]).prefixlen > 29:
        raise invalid("ipCidrRange is too small.")


def firewall(body):
    """.../firewall/docs/firewalls#firewall_rule_components."""
    egress = body.get("direction") == "EGRESS"
    if egress == bool(body.get("sourceRanges")) or bool(body.get("allowed")) == bool(body.get("denied")):
        raise invalid("A rule has source ranges (ingress) or destination ranges (egress), and either allows or denies.")
    for one in body.get("sourceRanges", body.get("destinationRanges", ())):
        ipaddress.ip_network(one)


def backend(body):
    """.../load-balancing/docs/network/networklb-backend-service."""
    if body.get("loadBalancingScheme") == "EXTERNAL" and any(
        one.get("balancingMode") != "CONNECTION" or "maxConnections" in one for one in body["backends"]
    ):
        raise invalid("Passthrough balancers take balancingMode CONNECTION without a target capacity.")


def rule(body):
    """.../load-balancing/docs/forwarding-rule-concepts."""
    if len(body.get("ports", ())) > 5:
        raise invalid("At most five ports.")


def label(labels):
    """.../compute/docs/labeling-resources."""
    for key, value in labels.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
            raise invalid(f"Invalid value for field 'resource.labels': '{key}={value}'.")


# What may not go while something refers to it: .../compute/docs/troubleshooting ("resourceInUseByAnotherResource").
HELD_BY = {
    "networks": {"subnetworks", "firewalls", "instances"},
    "subnetworks": {"instances"},
    "instanceTemplates": {"instanceGroupManagers"},
    "healthChecks": {"backendServices"},
    "instanceGroupManagers": {"backendServices"},
    "backendServices": {"forwardingRules"},
    "disks": {"instances"},
    "addresses": {"instances", "forwardingRules"},
}


def in_use(url, user):
    message = f"The {url.split('/')[-2]} resource '{url}' is already being used by '{user}'"
    return RefusedError(400, "resourceInUseByAnotherResource", message)
