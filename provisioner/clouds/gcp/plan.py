"""The plan of one deployment in Google Cloud: every resource, in the words of Google's own API, without effects.

One machine has a static address of its own, which Google translates: the least that works, and nothing to pay or to
trust beside it. Several are a managed group behind a passthrough load balancer, which does not end connections: TLS
ends in the machine. Such a balancer sends packets on with its own address as their destination and the machine answers
the client itself, so the machines need no addresses of their own; the image takes packets for whatever address.
https://cloud.google.com/load-balancing/docs/network/networklb-backend-service

The group is in one zone: confidential machines with GPUs are in one or two zones of a region.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioner.clouds import addresses
from provisioner.clouds.gcp import endpoint, group, kinds, machine, marks
from provisioner.clouds.gcp.kinds import located
from provisioner.clouds.gcp.spec import GcpSpec
from provisioner.clouds.interface import Rolling, require_group
from provisioner.clouds.resources import Key, Resource, ResourcePlan

# https://cloud.google.com/load-balancing/docs/health-check-concepts#ip-ranges, external passthrough balancers
HEALTH_RANGES = ("209.85.152.0/22", "209.85.204.0/22", "35.191.0.0/16")
_MTU = 1500  # the image takes no MTU from DHCP


def plan(spec: GcpSpec, rolling: Rolling | None = None) -> ResourcePlan:
    """Plan everything, each after what it needs; ``rolling`` is an older group that stays beside this one for a while.

    Raises:
        PlanError: something is to stay beside a machine that is no group.
    """
    if rolling is not None:
        require_group(spec.name, spec.replicas)
    images = tuple(_images(spec)) if rolling is None or rolling.makes_new else ()
    machines = tuple(_single(spec) if spec.replicas == 1 else group.resources(spec, rolling, _machine_needs(spec)))
    return ResourcePlan(
        deployment=spec.name,
        resources=(_bucket(spec), *images, *_network(spec), *machines),
        warnings=tuple(_warnings(spec)),
        kept=() if rolling is None else (*_uploaded(spec, rolling.old), *group.keys(spec, rolling.old)),
    )


def _uploaded(spec: GcpSpec, key: str) -> Iterator[Key]:
    """Yield what an older image was made from and is."""
    for disk in ("boot", "model"):
        name = machine.image_name(spec.name, disk, key)
        yield from (Key(kinds.OBJECT, f"{spec.bucket}/{name}.tar.gz"), Key("image", name))


def _warnings(spec: GcpSpec) -> Iterator[str]:
    yield from addresses.warnings("client_ranges", spec.client_ranges)
    if spec.family.confidential_type == "SEV_SNP":
        yield (
            "on n2d the CPU proves the firmware and the TLS key, and only Google's word says which image runs: clients "
            "need the policy CloudVouchedBoot"
        )
    if spec.secure_boot is not None:
        yield "Secure Boot: the image's UKI must bear a signature by the key of secure_boot_db, else nothing boots"
    if spec.provisioning == "flex_start":
        yield f"flex_start: Google deletes the machine after {spec.hours} h"
    if spec.provisioning == "spot":
        yield "spot: Google may delete a machine at any time; deploy again to have it back"


def image_key(spec: GcpSpec, disk: str) -> Key:
    """Name an image."""
    return Key("image", machine.image_name(spec.name, disk, spec.image.key))


def _bucket(spec: GcpSpec) -> Resource:
    return Resource(
        key=Key(kinds.BUCKET, spec.bucket),
        body={
            "name": spec.bucket,
            "location": spec.place.region.upper(),
            "storageClass": "STANDARD",
            "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": True},
                "publicAccessPrevention": "enforced",
            },
            "softDeletePolicy": {"retentionDurationSeconds": "0"},
            "labels": dict(spec.labels),
        },
        meter="nothing by itself: see its objects",
        note="disks on their way to images",
    )


def _images(spec: GcpSpec) -> Iterator[Resource]:
    bucket = Key(kinds.BUCKET, spec.bucket)
    for disk, path in (("boot", spec.image.boot_disk), ("model", spec.image.model_disk)):
        name = f"{image_key(spec, disk).name}.tar.gz"
        upload = Key(kinds.OBJECT, f"{spec.bucket}/{name}")
        yield Resource(
            key=upload,
            body={"name": name, "contentType": "application/gzip", "metadata": {marks.IMAGE: spec.image.key}},
            needs=(bucket,),
            source=path,
            meter="GiB-months of storage, per compressed GiB",
            note=f"the {disk} disk as disk.raw in a tar; kept, so that an image can be made again without an upload",
        )
        yield Resource(
            key=image_key(spec, disk),
            body=_image(spec, disk, f"{spec.bucket}/{name}"),
            needs=(upload,),
            meter="GiB-months of image storage",
        )


def _image(spec: GcpSpec, disk: str, source: str) -> dict[str, Any]:
    # https://cloud.google.com/compute/docs/images/create-custom#guest-os-features
    features = ["UEFI_COMPATIBLE", "GVNIC", spec.family.image_feature]
    body: dict[str, Any] = {
        "name": image_key(spec, disk).name,
        "architecture": "X86_64",
        "rawDisk": {"containerType": "TAR", "source": f"https://storage.googleapis.com/{source}"},
        "guestOsFeatures": [{"type": feature} for feature in features],
        "labels": dict(spec.labels),
    }
    if spec.secure_boot is not None and disk == "boot":
        keys = spec.secure_boot
        body["shieldedInstanceInitialState"] = {
            "pk": {"content": keys.pk, "fileType": "X509"},
            "keks": [{"content": keys.kek, "fileType": "X509"}],
            "dbs": [{"content": keys.db, "fileType": "X509"}],
        }
    return body


def _network(spec: GcpSpec) -> Iterator[Resource]:
    place, network = spec.place, Key("network", spec.name)
    yield Resource(
        key=network,
        body={
            "name": spec.name,
            "autoCreateSubnetworks": False,
            "mtu": _MTU,
            "routingConfig": {"routingMode": "REGIONAL"},
        },
        note="nothing else is in it",
    )
    yield Resource(
        key=located(kinds.SUBNETWORK, place.region, spec.name),
        body={
            "name": spec.name,
            "network": f"projects/{place.project}/global/networks/{spec.name}",
            "ipCidrRange": spec.subnet,
            "privateIpGoogleAccess": False,
            "stackType": "IPV4_ONLY",
            "enableFlowLogs": False,
        },
        needs=(network,),
    )
    yield from _firewalls(spec, network)


def _firewalls(spec: GcpSpec, network: Key) -> Iterator[Resource]:
    port = [{"IPProtocol": "tcp", "ports": [str(spec.port)]}]
    # Priority 0: no other rule of the network comes before it.
    yield _firewall(
        spec,
        network,
        "no-egress",
        {"direction": "EGRESS", "priority": 0, "denied": [{"IPProtocol": "all"}], "destinationRanges": ["0.0.0.0/0"]},
        "no machine opens a connection; the image sees to it itself, this is the second lock",
    )
    yield _firewall(
        spec,
        network,
        "service",
        {"direction": "INGRESS", "priority": 1000, "allowed": port, "sourceRanges": list(spec.client_ranges)},
        "who may connect; all else is denied",
    )
    if spec.replicas > 1:
        yield _firewall(
            spec,
            network,
            "health",
            {"direction": "INGRESS", "priority": 1000, "allowed": port, "sourceRanges": list(HEALTH_RANGES)},
            "the balancer's health checks",
        )


def _firewall(spec: GcpSpec, network: Key, what: str, rule: dict[str, Any], note: str) -> Resource:
    name = f"{spec.name}-{what}"
    body = {
        "name": name,
        "network": f"projects/{spec.place.project}/global/networks/{spec.name}",
        "logConfig": {"enable": False},
    }
    return Resource(key=Key("firewall", name), body=body | rule, needs=(network,), note=note)


def _machine_needs(spec: GcpSpec) -> tuple[Key, ...]:
    firewalls = ("no-egress", "service") if spec.replicas == 1 else ("no-egress", "service", "health")
    return (
        image_key(spec, "boot"),
        image_key(spec, "model"),
        located(kinds.SUBNETWORK, spec.place.region, spec.name),
        *(Key("firewall", f"{spec.name}-{what}") for what in firewalls),
    )


def _single(spec: GcpSpec) -> Iterator[Resource]:
    address = endpoint.address(spec, spec.name, "the endpoint; stays when machines are made anew")
    yield address
    yield Resource(
        key=located(kinds.INSTANCE, spec.place.zone, spec.name),
        body=machine.instance(spec, machine.properties(spec), address=endpoint.address_url(spec, spec.name)),
        needs=(*_machine_needs(spec), address.key),
        meter=machine.meter(spec),
    )
