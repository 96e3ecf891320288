"""Platforms and boot modes that a release is made for: what of a measurement does not come out of the image.

For a cloud::

    values = read_values(path, publisher, now=now)  # signed: provisioner/platform_values.py
    signed = signed_image(image, root)  # only where the values have Secure Boot on
    platform = cloud_platform(values, signer=signed.signer, artefacts=signed.folder)
    prepare(image, root, service=service, platforms=(platform,), now=now)

Without Secure Boot it is ``cloud_platform(values)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client_sdk.evidence import GCP, LOCAL_QEMU
from provisioner.measure import LOCAL_BOOT, Boot
from provisioner.platform_values import TDX, PlatformValues
from provisioner.secure_boot import SignedImage

UEFI, SECURE_BOOT = "uefi", "secure-boot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One platform in one boot mode, on one kind of CPU.

    ``artefacts`` is a folder with a signed uki.efi and boot.raw; without one, the image is predicted as it was baked
    (a signature changes no measurement). ``gpus`` says that the VM has GPUs, whose evidence goes into PCR 15. Where one
    of the lists is empty, the release leaves that open: production clients refuse it, the local platform has nothing.
    """

    name: str
    boot: Boot
    tee: str = ""
    artefacts: Path | None = None
    pcr0_allowed: tuple[bytes, ...] = ()
    acpi_allowed: tuple[bytes, ...] = ()
    launch_measurements: tuple[bytes, ...] = ()
    gpus: bool = False

    @property
    def boot_mode(self) -> str:
        """What the release calls it; PCR 7 is what shows it."""
        return SECURE_BOOT if self.boot.variables.is_on else UEFI

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the others of a release, which are in this order."""
        return (self.name, self.boot_mode, self.tee)


LOCAL = Platform(name=LOCAL_QEMU, boot=LOCAL_BOOT)


def local_secure_boot(signed: SignedImage) -> Platform:
    """Return the local VM with Secure Boot on and these keys enrolled."""
    boot = Boot(variables=signed.variables, signer=signed.signer)
    return Platform(name=LOCAL_QEMU, boot=boot, artefacts=signed.folder)


def cloud_platform(
    values: PlatformValues, *, signer: bytes = b"", artefacts: Path | None = None, gpus: bool = False
) -> Platform:
    """Return a cloud's platform out of signed values; ``signer`` is the certificate (DER) that signs the UKI.

    Raises:
        MeasureError: the values have Secure Boot on and there is no signer.
    """
    boot = Boot(
        variables=values.secure_boot,
        signer=signer,
        image_pcr=values.image_pcr,
        golden=tuple((pcr, one.value) for pcr, one in values.golden),
        # Azure's paravisor leaves the TD's registers at zero, and clients want them so.
        tdx=(values.platform, values.tee) == (GCP, TDX),
    )
    return Platform(
        name=values.platform,
        boot=boot,
        tee=values.tee,
        artefacts=artefacts,
        pcr0_allowed=tuple(one.value for one in values.pcr0_allowed),
        acpi_allowed=tuple(one.value for one in values.acpi_allowed),
        launch_measurements=tuple(one.value for one in values.launch_measurements),
        gpus=gpus,
    )
