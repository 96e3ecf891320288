"""The local platform: a TPM that knows its maker's certificate of the endorsement key, and no cloud.

The attestation key is made anew in each boot; that it lies in the TPM of the certificate, a client finds out by
activation. There is no CPU TEE, and nothing would bind one.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.evidence import LOCAL_QEMU, TeeEvidence
from serving.attest.interface import Identity, Machine
from serving.attest.tpm import Tpm


@dataclass(frozen=True, slots=True)
class LocalQemu:
    """QEMU and swtpm, or a bare TPM."""

    name: str = LOCAL_QEMU
    has_event_log: bool = True

    def find(self, tpm: Tpm) -> Identity:
        """Make an attestation key, and the endorsement key with its certificate.

        Raises:
            TpmError: the TPM refuses, or holds no endorsement certificate.
        """
        ak = tpm.make_ak()
        ek, certificate = tpm.make_ek()
        return Identity(ak, ek=ek, ek_certificates=(certificate,))

    def report(self, tpm: Tpm, machine: Machine, report_data: bytes) -> TeeEvidence | None:
        """Return nothing: a report that no rule of this platform binds would be refused (C6)."""
        _ = tpm, machine, report_data
        return None
