"""Google Cloud: Google put certificates and templates of attestation keys into its virtual TPM (NV 0x01c10000 to 3).

A template makes the same key in each boot of a VM, and in no other TPM. Of the two, the ECC key is taken where it is
complete: it is made in milliseconds where an RSA key needs a search for primes at each boot, its quotes are faster,
and its evidence is smaller; P-256 is no weaker than RSA-2048.

A certificate without its template is refused: nothing makes its key. A template without certificate is no identity, as
Google leaves templates in every virtual TPM: it is passed over where the other key is complete, and refused where not.
The virtual TPM lies outside of the TEE; what binds the two is the report, over bytes that this guest chose.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.evidence import GCP, TeeEvidence
from serving.attest.certified import certificate_of
from serving.attest.interface import Identity, Machine
from serving.attest.tee import make_report
from serving.attest.tpm import Tpm
from serving.errors import SealError

INDEXES = {"ECC": (0x01C10002, 0x01C10003), "RSA": (0x01C10000, 0x01C10001)}
"""Certificate and template of each key, the preferred one first."""


@dataclass(frozen=True, slots=True)
class GoogleCompute:
    """A VM on Google Compute Engine."""

    name: str = GCP
    has_event_log: bool = True

    def find(self, tpm: Tpm) -> Identity | None:
        """Make the key that Google certified.

        Raises:
            SealError: a certificate without template, templates without any certificate, or a key of another
                certificate.
            TpmError: the TPM refuses.
        """
        there = {kind: tuple([tpm.has(index) for index in pair]) for kind, pair in INDEXES.items()}
        if not any(map(any, there.values())):
            return None
        for kind, (certificate, template) in there.items():
            if certificate and not template:
                raise SealError(f"the TPM holds Google's {kind} certificate without its template; recreate the VM")
        for kind, pair in INDEXES.items():
            if all(there[kind]):
                return _identity(tpm, *pair)
        message = "the TPM holds templates of Google's attestation keys without a certificate"
        raise SealError(f"{message}; use a machine type and an image for which Google certifies them")

    def report(self, tpm: Tpm, machine: Machine, report_data: bytes) -> TeeEvidence | None:
        """Ask the CPU, through the kernel.

        Raises:
            SealError: there is a TEE, and no report can be had.
        """
        _ = tpm
        return make_report(machine, report_data)


def _identity(tpm: Tpm, certificate: int, template: int) -> Identity:
    ak = tpm.make_primary(tpm.read_nv(template), f"the template in NV {template:#010x}")
    return Identity(ak, (certificate_of(tpm.read_nv(certificate), ak, f"NV {certificate:#010x}"),))
