"""A baked image as Secure Boot wants it: a copy of UKI and boot disk that carries a signature, and firmware with keys.

The image folder stays as it was baked and as its manifest names it. The copy lies in the deployment's folder; the
partition table, the root file system and the UKI's Authenticode digest are those of the image.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from provisioner.atomic import replace_file
from provisioner.errors import MeasureError
from provisioner.image.firmware import SECURE_CODE, VARIABLES, Firmware
from provisioner.measure.gpt import read_table
from provisioner.measure.secure_boot import ON, SecureBootVariables
from provisioner.measure.signature_list import list_of
from provisioner.secure_boot.authenticode import sign
from provisioner.secure_boot.esp import replace_uki
from provisioner.secure_boot.keys import OWNER, Keys, load_or_create_keys
from provisioner.secure_boot.variable_store import enrol

UKI, DISK, STAMP = "uki.efi", "boot.raw", "made-from"
FOLDER, KEYS = "secure-boot", "keys"


@dataclass(frozen=True, slots=True)
class SignedImage:
    """A folder with uki.efi and boot.raw, whose ``signer`` is a certificate (DER).

    ``variables`` are those of a machine with these keys and nothing else. Where the folder has firmware, they are in
    its store; what a cloud makes of the keys that it is given is for its platform values to say.
    """

    folder: Path
    variables: SecureBootVariables
    signer: bytes

    @property
    def boot_disk(self) -> Path:
        """The disk whose UKI is signed."""
        return self.folder / DISK


def signed_image(image: Path, root: Path, firmware: Firmware | None = None) -> SignedImage:
    """Return the signed copy of an image in a deployment's folder, made where it is missing; the keys lie beside it.

    Without ``firmware`` it is for a cloud, which has its own.

    Raises:
        SpecError: a key is not what it should be.
        MeasureError: see ``sign_image``.
    """
    folder = root / FOLDER
    return sign_image(image, folder / image.resolve().name, firmware, load_or_create_keys(folder / KEYS))


def enrolled(keys: Keys) -> SecureBootVariables:
    """Return the variables of a machine with these keys and nothing else."""
    pk, kek, db = (list_of(pair.der, OWNER) for pair in (keys.pk, keys.kek, keys.db))
    return SecureBootVariables(state=ON, pk=pk, kek=kek, db=db)


def sign_image(image: Path, folder: Path, firmware: Firmware | None, keys: Keys) -> SignedImage:
    """Sign an image's UKI and put it into a copy of its boot disk; a folder that is complete already is left alone.

    Raises:
        MeasureError: the image or the firmware's store is not as a bake leaves it, or the disk is full.
    """
    variables = enrolled(keys)
    try:
        made = {UKI: sign((image / UKI).read_bytes(), keys.db)}
        if firmware is not None:
            made[SECURE_CODE] = firmware.secure_code.read_bytes()
            made[VARIABLES] = enrol(firmware.variables.read_bytes(), variables)
        stamp = _stamp(image, made)
        if not (folder / STAMP).exists() or (folder / STAMP).read_text() != stamp:
            _fill(image, folder, made)
            replace_file(folder / STAMP, stamp.encode())
    except OSError as error:
        raise MeasureError(f"cannot sign {image}: {error}; bake the image first, or free some space") from error
    return SignedImage(folder, variables, keys.db.der)


def _stamp(image: Path, made: Mapping[str, bytes]) -> str:
    """Name what the folder is made from; the disk by its identity, since it is large."""
    disk = (image / DISK).stat()
    lines = [f"{name} {sha256(content).hexdigest()}" for name, content in made.items()]
    return "\n".join([*lines, f"{DISK} {disk.st_ino} {disk.st_size} {disk.st_mtime_ns}", ""])


def _fill(image: Path, folder: Path, made: Mapping[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(image / DISK, folder / DISK)
    with (folder / DISK).open("r+b") as disk:
        table = read_table(DISK, disk)
        if not table.partitions:
            raise MeasureError(f"{image / DISK}: no partitions; bake the image again")
        replace_uki(disk, table.partitions[0].offset, made[UKI])
    for name, content in made.items():
        replace_file(folder / name, content)
