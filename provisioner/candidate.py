"""From an inventory to the candidate of a release: its platform, and what of it does not follow from the image.

The local platform follows from the image alone. A cloud's firmware does not: its values come out of a file that the
publisher signed (``platform_values.py``). Without such a file there is no release, and so nothing that a client could
accept; the machine may run all the same, to be observed for the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from client_sdk.evidence import LOCAL_QEMU
from provisioner.clouds import Guest, Image, cloud_of
from provisioner.errors import Fault, SpecError
from provisioner.image.firmware import Firmware
from provisioner.platform_values import PlatformValues, read_values
from provisioner.platforms import LOCAL, Platform, cloud_platform, local_secure_boot
from provisioner.publish import Candidate, make_publisher, prepare, publisher_of, withdraw
from provisioner.reading import read_spec
from provisioner.secure_boot import SignedImage, signed_image
from provisioner.spec import VmIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a release is to be made of. ``values`` is the file of signed platform values, where the cloud needs one."""

    variables: Mapping[str, Any]
    image: Image
    folder: Path
    service: str
    firmware: Firmware | None
    values: Path | None
    revokes: tuple[int, ...] = ()


def prepare_candidate(wanted: Wanted, root: Path, *, now: datetime) -> Candidate | None:
    """Write the candidate of a release for the inventory's platform; None where its values are still to be observed.

    Raises:
        SpecError: the inventory is wrong, or the values are of another platform, unsigned or malformed.
        MeasureError: the artefacts cannot be measured.
    """
    cloud = cloud_of(wanted.variables, root)
    signed = sign_for(wanted.variables, wanted.folder, root, wanted.firmware)
    guest = cloud.guest(read_spec(cloud, wanted.variables, wanted.image, root))
    if guest.platform == LOCAL_QEMU:
        platform = LOCAL if signed is None else local_secure_boot(signed)
    elif wanted.values is None:
        make_publisher(root)
        withdraw(root, wanted.folder)
        return None
    else:
        platform = _of_cloud(guest, _values(wanted.values, guest, root, now), signed)
    return prepare(wanted.folder, root, service=wanted.service, now=now, platforms=(platform,), revokes=wanted.revokes)


def sign_for(variables: Mapping[str, Any], image: Path, root: Path, firmware: Firmware | None) -> SignedImage | None:
    """Return the signed copy of the image where the inventory wants Secure Boot; clouds bring their own firmware."""
    if variables.get("secure_boot") is not True:
        return None
    return signed_image(image, root, firmware if VmIdentity.from_vars(variables).cloud == "qemu" else None)


def _of_cloud(guest: Guest, values: PlatformValues, signed: SignedImage | None) -> Platform:
    return cloud_platform(
        values,
        signer=b"" if signed is None else signed.signer,
        artefacts=None if signed is None else signed.folder,
        gpus=guest.gpus > 0,
    )


def _values(path: Path, guest: Guest, root: Path, now: datetime) -> PlatformValues:
    make_publisher(root)
    values = read_values(path, publisher_of(root), now=now)
    if (values.platform, values.tee) != (guest.platform, guest.tee):
        wanted = f"values of {guest.platform}/{guest.tee}, which the inventory asks for"
        raise SpecError((Fault(str(path), wanted, f"{values.platform}/{values.tee}"),))
    return values
