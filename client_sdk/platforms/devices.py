"""The GPUs of a VM: each genuine and fresh for this boot, distinct, measured before sealing, and as its RIM files say.

RIM files and OCSP answers come from collateral. Without them nothing is compared and nothing is asked: the policy
demands both (rules G1.7, G3.10, G3.11).
"""

from __future__ import annotations

import re
from hashlib import sha256

from client_sdk.binding import RUNTIME_TYPES, gpu_nonce
from client_sdk.collateral import Collateral
from client_sdk.evidence import GpuEvidence
from client_sdk.parse.nvidia import Opaque
from client_sdk.parse.rim import parse_rim
from client_sdk.platforms.interface import Bound, Case
from client_sdk.verify.nvidia import (
    Revocation,
    VerifiedDevice,
    verify_device,
    verify_distinct,
    verify_measured,
)
from client_sdk.verify.rim import Appraisal, VerifiedRim, verify_measurements, verify_parsed_rim

_EVENT = RUNTIME_TYPES.index("gpu")
_DRIVER = re.compile(r"NV_GPU_(?:CC_)?DRIVER_([^_]+)_(.+)")
_FIRMWARE = ("NV_GPU_VBIOS_", "NV_SWITCH_")


def verify_devices(case: Case, bound: Bound) -> tuple[Appraisal, ...]:
    """Check every device of the evidence; call it after the run-time log was found to give PCR 15.

    Raises:
        EvidenceError: evidence, a certificate, a RIM file or an answer cannot be read.
        VerificationError: G1 to G3 or G5.
    """
    if not case.evidence.gpu:  # what the VM measured in its place is the release's to state (L11.3)
        return ()
    verify_measured(case.evidence.runtime_log[_EVENT].data, bound.gpu, ledger=case.ledger)
    nonce = gpu_nonce(bound.tpm.ak_name, bound.spki)
    devices = tuple([_device(case, gpu, nonce, i) for i, gpu in enumerate(case.evidence.gpu)])
    verify_distinct(devices, ledger=case.ledger)
    read: dict[str, VerifiedRim] = {}
    return tuple(
        [
            verify_measurements(device, _rims(case, device.transcript.opaque, gpu, read), ledger=case.ledger)
            for device, gpu in zip(devices, case.evidence.gpu, strict=True)
        ]
    )


def _device(case: Case, gpu: GpuEvidence, nonce: bytes, index: int) -> VerifiedDevice:
    """Check one device, with the answers about its certificates: the first one's is issued anew at each boot."""
    answers = _answers(case.collateral, gpu.certificates[1:])
    return verify_device(
        gpu.evidence,
        gpu.certificates,
        case.roots.nvidia,
        nonce=nonce,
        revocation=Revocation(answers, case.roots.ages.ocsp),
        now=case.now,
        ledger=case.ledger,
        paths=case.paths,
        where=f"gpu[{index}]",
    )


def _answers(collateral: Collateral | None, certificates: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if collateral is None:
        return ()
    found = [collateral.ocsp.get(sha256(der).digest()) for der in certificates]
    return tuple([answer for answer in found if answer is not None])


def _rims(case: Case, opaque: Opaque, gpu: GpuEvidence, read: dict[str, VerifiedRim]) -> tuple[VerifiedRim, ...]:
    """Return the files for a device's driver and firmware; each is verified once for all devices."""
    if case.collateral is None:
        return ()
    names = rim_names(opaque, b"".join(gpu.certificates), tuple(case.collateral.rims))
    for name in names:
        if name not in read:
            read[name] = _rim(case, case.collateral, name)
    return tuple([read[name] for name in names])


def _rim(case: Case, collateral: Collateral, name: str) -> VerifiedRim:
    rim = parse_rim(collateral.rims[name], name)
    signers = rim.signature.certificates
    return verify_parsed_rim(
        rim,
        case.roots.nvidia_rim,
        revocation=Revocation(_answers(collateral, signers), case.roots.ages.ocsp),
        now=case.now,
        ledger=case.ledger,
        paths=case.paths,
        where=name,
    )


def rim_names(opaque: Opaque, certificates: bytes, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the known RIM files are for this device, by NVIDIA's way of naming them.

    ``NV_GPU_DRIVER_<chip>_<version>`` (``CC_DRIVER`` since Blackwell) and
    ``NV_GPU_VBIOS_<project>_<SKU>_<chip SKU>_<version without dots>``. Where several drivers' files are of one version,
    it is that of the chip which the device's certificates or its own fields name. A wrong choice is found out: the
    measurements differ (G3.7), or a file is missing (G3.10).
    """
    driver, firmware = opaque.driver_version, opaque.vbios_version.replace(".", "").upper()
    drivers = [found for name in known if (found := _DRIVER.fullmatch(name)) and driver and found[2] == driver]
    if len(drivers) > 1:
        told = certificates + b"".join([value for _, value in opaque.fields])
        drivers = [found for found in drivers if found[1].encode() in told]
    parts = f"{opaque.project}_{opaque.project_sku}_{opaque.chip_sku}".upper()
    suffix = f"{parts}_{firmware}" if opaque.project else f"_{firmware}"
    firmwares = [name for name in known if firmware and name.startswith(_FIRMWARE) and name.upper().endswith(suffix)]
    return (*[found[0] for found in drivers[:1]], *firmwares[:1])
