"""The boot sequence, in the order of docs/protocol.md, ending in *sealed*.

    (0) PCR 15 is untouched: nobody extended it before, and this is not a restart
    (1) the self-check has passed                    → extend ``lockdown``
    (2) the TLS key is born                          → extend ``tls-spki``
    (3) GPU evidence is collected (here: none)       → extend ``gpu``
    (4) the machine is closed                        → extend ``sealed``
    (5) what every evidence of this boot shares is read once and frozen

A step that fails ends the process before the next extend. The unit then powers the machine off: a machine that
cannot be attested serves nobody, and a second try would need a PCR 15 that only a reset gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from client_sdk.binding import LOCKDOWN, NO_GPU, SEALED, Place, runtime_digest
from client_sdk.evidence import PCRS, Evidence, Quote, RuntimeEvent
from serving.attest.tls import TlsIdentity, create_identity
from serving.attest.tpm import RUNTIME_PCR, Keys, Tpm
from serving.errors import SealError
from serving.selfcheck.verdict import EVENT_LOG, read_passed

_MAX_EVENT_LOG = 1024 * 1024
_NO_QUOTE = Quote(b"", b"", Place(0, 1, ()))


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a sealed boot answers from: its keys, its TLS key's digest, and evidence that lacks only a quote."""

    keys: Keys
    spki: bytes
    gpu: bytes
    evidence: Evidence
    pcr_digest: bytes


def seal(tpm: Tpm, *, selfcheck: Path, tls: Path, platform: str) -> Sealed:
    """Carry out the boot sequence.

    Raises:
        SealError: when the order cannot be kept.
        SelfCheckError: when the self-check has not passed.
        TpmError: when the TPM refuses.
    """
    _refuse_restart(tpm)  # (0)
    read_passed(selfcheck)  # (1)
    event_log = _event_log(selfcheck)
    events = [_extend(tpm, "lockdown", LOCKDOWN)]
    identity = create_identity(tls)  # (2)
    events.append(_extend(tpm, "tls-spki", identity.spki))
    events.append(_extend(tpm, "gpu", NO_GPU))  # (3)
    events.append(_extend(tpm, "sealed", SEALED))  # (4)
    return _freeze(tpm, identity, tuple(events), platform=platform, event_log=event_log)  # (5)


def _refuse_restart(tpm: Tpm) -> None:
    ((_, value),) = tpm.read_pcrs((RUNTIME_PCR,))
    if any(value):
        raise SealError("PCR 15 is not zero: somebody extended it, or this is a restart after sealed")


def _extend(tpm: Tpm, kind: str, data: bytes) -> RuntimeEvent:
    tpm.extend(runtime_digest(kind, data))
    return RuntimeEvent(kind, data)


def _event_log(folder: Path) -> bytes:
    try:
        data = (folder / EVENT_LOG).read_bytes()
    except OSError as error:
        raise SealError(f"the firmware's event log cannot be read: {error.strerror}") from error
    if not 0 < len(data) <= _MAX_EVENT_LOG:
        raise SealError(f"the firmware's event log has {len(data)} bytes")
    return data


def _freeze(
    tpm: Tpm, identity: TlsIdentity, events: tuple[RuntimeEvent, ...], *, platform: str, event_log: bytes
) -> Sealed:
    keys = tpm.make_keys()
    pcrs = tpm.read_pcrs(PCRS)
    evidence = Evidence(
        platform=platform,
        tls_certificate=identity.certificate,
        ak_public=keys.ak_public,
        ak_certificates=(),
        ek_certificates=(keys.ek_certificate,),
        quote=_NO_QUOTE,
        pcrs=pcrs,
        event_log=event_log,
        runtime_log=events,
    )
    pcr_digest = sha256(b"".join(value for _, value in pcrs)).digest()
    return Sealed(keys, identity.spki, b"", evidence, pcr_digest)
