"""A baked image as a cloud is told of it; one that a check run did not bake has a name, and no files yet."""

from __future__ import annotations

from pathlib import Path

from provisioner.clouds import Image
from provisioner.image.artefacts import FILES
from provisioner.secure_boot import SignedImage


def image_of(folder: Path, port: int, *, signed: SignedImage | None = None, firmware: Path | None = None) -> Image:
    """Name an image by its folder; ``port`` listens inside.

    ``signed`` is its copy for Secure Boot, ``firmware`` the folder of the local VM's firmware. A cloud brings its own.
    """
    return Image(
        key=folder.name,
        boot_disk=folder / FILES["boot_disk"] if signed is None else signed.boot_disk,
        model_disk=folder / FILES["model_disk"],
        gateway_port=port,
        firmware=firmware or folder,
    )
