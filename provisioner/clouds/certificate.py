"""A certificate as clouds take it: DER in base64."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding


def encoded(raw: bytes) -> str:
    """Return one certificate, PEM or DER, as base64 of its DER. Whose it is, is not said.

    Raises:
        ValueError: it is not one certificate.
    """
    if b"-----BEGIN" in raw:
        certificate, *others = x509.load_pem_x509_certificates(raw)
        if others:
            raise ValueError(f"{1 + len(others)} certificates instead of one")
    else:
        certificate = x509.load_der_x509_certificate(raw)
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
