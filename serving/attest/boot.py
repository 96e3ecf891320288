"""The boot sequence, in the order of docs/protocol.md, ending in *sealed*.

    (0) PCR 15 is untouched: nobody extended it before, and this is not a restart
    (1) the self-check has passed
    (2) the platform and its keys are found          → extend ``lockdown``
    (3) the TLS key is born                          → extend ``tls-spki``
    (4) GPU evidence is collected, where there are   → extend ``gpu``
    (5) the machine is closed                        → extend ``sealed``
    (6) the CPU reports about all of it, where it is a TEE: once a boot
    (7) what every evidence of this boot shares is read once and frozen

A step that fails ends the process before the next extend. The unit then powers the machine off: a machine that
cannot be attested serves nobody, and a second try would need a PCR 15 that only a reset gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from client_sdk.binding import (
    DEBUG_LOCKDOWN,
    LOCKDOWN,
    NO_GPU,
    SEALED,
    Place,
    gpu_digest,
    gpu_nonce,
    report_data,
    runtime_digest,
)
from client_sdk.evidence import PCRS, Evidence, GpuEvidence, Quote, RuntimeEvent
from serving.attest.interface import Identity, Machine
from serving.attest.platforms import find_platform
from serving.attest.tls import create_identity
from serving.attest.tpm import RUNTIME_PCR, Tpm
from serving.errors import SealError
from serving.selfcheck.verdict import CCEL, EVENT_LOG, read_passed

CollectGpus = Callable[[bytes], tuple[GpuEvidence, ...]]
_MAX_EVENT_LOG = 1024 * 1024
# Only a debug image has it, in its measured root.
_DEBUG = "usr/lib/vitrine/debug"
_NO_QUOTE = Quote(b"", b"", Place(0, 1, ()))


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a sealed boot answers from: its keys, its TLS key's digest, and evidence that lacks only a quote."""

    identity: Identity
    spki: bytes
    gpu: bytes
    evidence: Evidence
    pcr_digest: bytes


def no_gpus(nonce: bytes) -> tuple[GpuEvidence, ...]:
    """Return the evidence of a machine without GPUs: none, whatever the nonce."""
    _ = nonce
    return ()


def seal(tpm: Tpm, *, selfcheck: Path, tls: Path, root: Path, gpus: CollectGpus = no_gpus) -> Sealed:
    """Carry out the boot sequence; ``root`` is where /dev and /sys lie, ``gpus`` takes the GPUs' evidence.

    Raises:
        SealError: when the order cannot be kept, or the TPM's identity is there in part.
        GpuError: when the GPUs are not what the image states.
        SelfCheckError: when the self-check has not passed.
        TpmError: when the TPM refuses.
    """
    _refuse_restart(tpm)  # (0)
    read_passed(selfcheck)  # (1)
    event_log, machine = _log(selfcheck / EVENT_LOG), Machine(root, _log(selfcheck / CCEL))
    platform, identity = find_platform(tpm)  # (2)
    if platform.has_event_log and not event_log:
        raise SealError("the firmware kept no event log; start the VM with firmware that measures (UEFI, a TPM)")
    events = [_extend(tpm, "lockdown", DEBUG_LOCKDOWN if (root / _DEBUG).exists() else LOCKDOWN)]
    tls_identity = create_identity(tls)  # (3)
    events.append(_extend(tpm, "tls-spki", tls_identity.spki))
    found = gpus(gpu_nonce(identity.ak.name, tls_identity.spki))  # (4)
    gpu = gpu_digest(tuple(one.evidence for one in found))
    events.append(_extend(tpm, "gpu", gpu or NO_GPU))
    events.append(_extend(tpm, "sealed", SEALED))  # (5)
    pcrs = tpm.read_pcrs(PCRS)
    bound = report_data(identity.ak.name, tls_identity.spki, gpu, dict(pcrs)[RUNTIME_PCR])
    tee = platform.report(tpm, machine, bound)  # (6)
    evidence = Evidence(  # (7)
        platform=platform.name,
        tls_certificate=tls_identity.certificate,
        ak_public=identity.ak.public,
        ak_certificates=identity.ak_certificates,
        ek_certificates=identity.ek_certificates,
        quote=_NO_QUOTE,
        pcrs=pcrs,
        event_log=event_log if platform.has_event_log else b"",
        runtime_log=tuple(events),
        tee=tee,
        gpu=found,
    )
    return Sealed(identity, tls_identity.spki, gpu, evidence, _digest(pcrs))


def _refuse_restart(tpm: Tpm) -> None:
    ((_, value),) = tpm.read_pcrs((RUNTIME_PCR,))
    if any(value):
        raise SealError("PCR 15 is not zero: somebody extended it, or this is a restart after sealed")


def _extend(tpm: Tpm, kind: str, data: bytes) -> RuntimeEvent:
    tpm.extend(runtime_digest(kind, data))
    return RuntimeEvent(kind, data)


def _log(path: Path) -> bytes:
    """Read a log that the self-check left; it leaves an empty one where the kernel has none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SealError(f"the firmware's log {path.name} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_EVENT_LOG:
        raise SealError(f"the firmware's log {path.name} has {len(data)} bytes")
    return data


def _digest(pcrs: tuple[tuple[int, bytes], ...]) -> bytes:
    return sha256(b"".join([value for _, value in pcrs])).digest()
