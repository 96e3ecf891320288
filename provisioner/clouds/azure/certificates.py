"""The operator's own Secure Boot keys, as the gallery takes them: certificates in PEM, to DER in base64."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

_EXPECTED = "a list of X.509 certificates in PEM, one a text"


def expected_certificates(value: object) -> str | None:
    """Return what was expected where a value is no list of certificates, else None."""
    if not isinstance(value, list | tuple):
        return _EXPECTED
    try:
        for text in value:
            to_der(text)
    except (TypeError, ValueError):
        return _EXPECTED
    return None


def to_der(text: str) -> str:
    """Return a PEM certificate as the API takes it.

    Raises:
        TypeError: it is no text.
        ValueError: it is not one certificate.
    """
    if not isinstance(text, str):
        raise TypeError("a certificate is a text")
    (certificate,) = x509.load_pem_x509_certificates(text.encode())
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
