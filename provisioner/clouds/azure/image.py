"""The image of a deployment: two uploaded disks, and a gallery's image version of both, which scale sets take as well.

The definition is Specialized: nobody has to provision the VM, so it needs no agent and no osProfile, and there is no
field in which anything could be passed to it. The version's source has no guest state of its own
(ConfidentialVMSupported, not ConfidentialVM): each VM gets a fresh one.

Sources: learn.microsoft.com/azure/virtual-machines/{shared-image-galleries,linux/no-agent,
linux/disks-upload-vhd-to-managed-disk-cli,trusted-launch-secure-boot-custom-uefi},
learn.microsoft.com/rest/api/compute/gallery-image-versions/create-or-update.
"""

from __future__ import annotations

from typing import Any

from provisioner.clouds.azure.names import Names
from provisioner.clouds.azure.spec import AzureSpec
from provisioner.clouds.azure.vhd import FOOTER_SIZE
from provisioner.clouds.certificate import encoded
from provisioner.clouds.disks import GIB
from provisioner.clouds.resources import Key, Resource

MODEL_LUN = 0
IMAGE_TAG = "vitrine-image"


def image(spec: AzureSpec, needs: tuple[Key, ...]) -> tuple[Resource, ...]:
    """Plan gallery, disks, definition and version; the gallery is the first, and every image's."""
    names = Names(spec.name, spec.image.key)
    disks = (
        Resource(
            key=Key("disk", names.disk("boot")),
            body=_disk(spec, spec.boot_disk_gib),
            needs=needs,
            source=spec.image.boot_disk,
            meter=f"1 managed disk of {spec.boot_disk_gib} GiB x hours (Standard_LRS)",
            note="kernel and root file system, uploaded; what the image version is made from",
        ),
        Resource(
            key=Key("disk", names.disk("model")),
            body=_disk(spec, spec.model_disk_gib),
            needs=needs,
            source=spec.image.model_disk,
            meter=f"1 managed disk of {spec.model_disk_gib} GiB x hours (Standard_LRS)",
            note="the model, uploaded; what the image version is made from",
        ),
    )
    gallery = Resource(key=Key("gallery", names.gallery), body={"location": spec.location}, needs=needs)
    definition = Resource(
        key=Key("galleryImage", names.definition), body=_definition(spec, names), needs=(*needs, gallery.key)
    )
    version = Resource(
        key=Key("galleryImageVersion", names.version),
        body=_version(spec, *(spec.place.id_of(f"Microsoft.Compute/disks/{disk.key.name}") for disk in disks)),
        needs=(*needs, *(disk.key for disk in disks), definition.key),
        meter=f"1 image version of {spec.boot_disk_gib + spec.model_disk_gib} GiB x hours (Standard_LRS)",
        note="both disks: a machine gets its own copies of them",
    )
    return (gallery, *disks, definition, version)


def image_keys(spec: AzureSpec, key: str) -> tuple[Key, ...]:
    """Return what is there of one image alone."""
    names = Names(spec.name, key)
    disks = (Key("disk", names.disk(use)) for use in ("boot", "model"))
    return (*disks, Key("galleryImage", names.definition), Key("galleryImageVersion", names.version))


def _disk(spec: AzureSpec, gib: int) -> dict[str, Any]:
    return {
        "location": spec.location,
        "tags": {IMAGE_TAG: spec.image.key},
        "sku": {"name": "Standard_LRS"},
        "properties": {
            "osType": "Linux",
            "hyperVGeneration": "V2",
            "creationData": {"createOption": "Upload", "uploadSizeBytes": gib * GIB + FOOTER_SIZE},
        },
    }


def _definition(spec: AzureSpec, names: Names) -> dict[str, Any]:
    identifier = {"publisher": "vitrine", "offer": spec.name, "sku": names.definition.rpartition("/")[2]}
    return {
        "location": spec.location,
        "tags": {IMAGE_TAG: spec.image.key},
        "properties": {
            "osType": "Linux",
            "osState": "Specialized",
            "hyperVGeneration": "V2",
            "architecture": "x64",
            "features": [{"name": "SecurityType", "value": "ConfidentialVMSupported"}],
            "identifier": identifier,
        },
    }


def _version(spec: AzureSpec, boot: str, model: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "publishingProfile": {
            "targetRegions": [{"name": spec.location, "regionalReplicaCount": 1, "storageAccountType": "Standard_LRS"}],
        },
        "storageProfile": {
            "osDiskImage": {"hostCaching": "ReadOnly", "source": {"id": boot}},
            "dataDiskImages": [{"lun": MODEL_LUN, "hostCaching": "ReadOnly", "source": {"id": model}}],
        },
    }
    if spec.secure_boot:
        keys = [{"type": "x509", "value": [encoded(text.encode())]} for text in spec.secure_boot_certificates]
        # None of Microsoft's keys: what they signed could be booted instead.
        own = {"signatureTemplateNames": ["NoSignatureTemplate"], "additionalSignatures": _own(keys)}
        properties["securityProfile"] = {"uefiSettings": own}
    return {"location": spec.location, "tags": {IMAGE_TAG: spec.image.key}, "properties": properties}


def _own(keys: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a whole set of keys of the operator's own: platform key, exchange keys, signatures."""
    return {"pk": keys[0], "kek": keys, "db": keys}
