"""Trust anchors: who may vouch for a TPM. They come from a policy in the caller's code, never from evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client_sdk.parse.certificate import CertificateFields, parse_certificate


@dataclass(frozen=True, slots=True)
class Roots:
    """The CAs that a policy pins, by their very certificates.

    ``simulated`` says that they certify software TPMs: evidence under them proves nothing about a host (rules D1, D2).
    """

    tpm: tuple[x509.Certificate, ...]
    simulated: bool
    anchors: tuple[CertificateFields, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        read = tuple(
            parse_certificate(certificate.public_bytes(Encoding.DER), f"roots.tpm[{i}]")
            for i, certificate in enumerate(self.tpm)
        )
        object.__setattr__(self, "anchors", read)
