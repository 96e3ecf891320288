"""The keys that a firmware shall trust in place of Google's and Microsoft's, read from the operator's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provisioner.clouds.certificate import encoded


@dataclass(frozen=True, slots=True)
class SecureBootKeys:
    """Three certificates as Google takes them: DER in base64. Whose keys they are is not said."""

    pk: str
    kek: str
    db: str


def read_certificate(path: Path) -> str:
    """Return a certificate, PEM or DER, as base64 of its DER.

    Raises:
        ValueError: the file cannot be read, or is no certificate.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    return encoded(raw)
