"""Machines of the fake: their disks, what listens for them, what is in effect for them."""

from __future__ import annotations

import functools
import re

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_FLAGS = {
    "block-project-ssh-keys": "blockProjectSshKeysMetadataValue",
    "enable-guest-attributes": "enableGuestAttributesMetadataValue",
    "enable-os-inventory": "enableOsInventoryMetadataValue",
    "enable-osconfig": "enableOsconfigMetadataValue",
    "enable-oslogin": "enableOsloginMetadataValue",
    "serial-port-enable": "serialPortEnableMetadataValue",
    "serial-port-logging-enable": "serialPortLoggingEnableMetadataValue",
    "gce-container-declaration": "gceContainerDeclarationMetadataValue",
}


def create(project, url):
    """Make the disks that a machine brings."""
    zone, body = url.split("/")[1], project.resources[url]
    body["zone"] = f"projects/{project.name}/zones/{zone}"
    for card in body["networkInterfaces"]:
        card["networkIP"] = f"10.64.0.{project.next() % 250 + 2}"
    for number, disk in enumerate(body["disks"]):
        name = body["name"] if disk.get("boot") else f"{body['name']}-{number}"
        inner = f"zones/{zone}/disks/{name}"
        started = disk.pop("initializeParams")
        disk["source"] = f"projects/{project.name}/{inner}"
        project.resources[inner] = {
            "name": name, "status": "READY", "sizeGb": started["diskSizeGb"], "labels": started.get("labels", {}),
            "users": [f"projects/{project.name}/{url}"], "sourceImage": started["sourceImage"],
        }  # fmt: skip


def run(project, url):
    """Start what stands behind a machine that has an address of its own."""
    body = project.resources[url]
    for card in body["networkInterfaces"]:
        for access in card.get("accessConfigs", ()):
            where = (access["natIP"], int(body["labels"]["vitrine-port"]))
            project.running[where] = project.start(body, *where)


def remove(project, url):
    """End a machine; disks that go with it go."""
    body = project.resources[url]
    for card in body["networkInterfaces"]:
        for access in card.get("accessConfigs", ()):
            end = project.running.pop((access.get("natIP"), int(body["labels"].get("vitrine-port", 0))), None)
            if end is not None:
                end()
    for disk in body["disks"]:
        inner = disk["source"].removeprefix(f"projects/{project.name}/")
        if disk.get("autoDelete"):
            project.resources.pop(inner, None)
        else:
            project.resources[inner]["users"] = []


def shown(project, body):
    """Return a machine as the API shows it, with the metadata that is in effect."""
    items = body.get("metadata", {}).get("items", ())
    told = {**project.metadata, **{one["key"]: one.get("value", "") for one in items}}
    effective = {field: told[key].upper() == "TRUE" for key, field in _FLAGS.items() if key in told}
    if "gce-container-declaration" in told:
        effective["gceContainerDeclarationMetadataValue"] = True
    return body | {"resourceStatus": {"effectiveInstanceMetadata": effective}}


def network(project, body):
    """Return the network of a machine, by way of its subnetwork."""
    subnetwork = re.sub(r"^projects/[^/]+/", "", body["networkInterfaces"][0]["subnetwork"])
    return re.sub(r"^projects/[^/]+/", "", project.resources[subnetwork]["network"])


@functools.cache
def identity():
    """Return the keys of a vTPM."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return {"signingKey": {"ekPub": pem, "ekCert": ""}, "encryptionKey": {"ekPub": pem, "ekCert": ""}}
