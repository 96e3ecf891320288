"""The three keys of Secure Boot, made on first use and kept beside the publisher's, readable by their owner alone.

PK may change KEK, KEK may change db and dbx, a key in db signs images. The firmware knows their certificates alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from provisioner.atomic import replace_file
from provisioner.errors import Fault, SpecError

OWNER = UUID("7c1a2f6e-5d0b-8b3e-9a41-76697472696e")  # SignatureOwner of our entries; it proves nothing
NAMES = ("pk", "kek", "db")
_BITS = 2048  # the size that every UEFI firmware has to know
_YEARS = timedelta(days=20 * 365)  # firmware has no clock to trust, so it looks at no dates


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its self-signed certificate."""

    key: RSAPrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate as firmware keeps it."""
        return self.certificate.public_bytes(Encoding.DER)


@dataclass(frozen=True, slots=True)
class Keys:
    """Platform key, key exchange key, and the key whose signature on an image db accepts."""

    pk: Pair
    kek: Pair
    db: Pair


def load_or_create_keys(folder: Path) -> Keys:
    """Return the keys in a folder; those that are missing altogether are made, keys with mode 0600.

    Raises:
        SpecError: a file holds something else, lacks its other half, does not fit it, or others may read a key.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return Keys(*(_load_or_create(folder, name) for name in NAMES))


def _load_or_create(folder: Path, name: str) -> Pair:
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    if not key.exists() and not certificate.exists():
        _create(key, certificate, name)
    for path, other in ((key, certificate), (certificate, key)):
        if not path.exists():
            raise _fault(path, f"the other half of {other}; put it back, or remove both to make new ones", "nothing")
    if key.stat().st_mode & 0o077:
        wanted = "mode 0600: chmod 600 it, and make new keys if others may have read it"
        raise _fault(key, wanted, oct(key.stat().st_mode & 0o777))
    pair = Pair(_read_key(key), _read_certificate(certificate))
    if pair.certificate.public_key() != pair.key.public_key():
        raise _fault(certificate, f"the certificate of {key}", "that of another key")
    return pair


def _read_key(path: Path) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _fault(path, "an unencrypted PEM private key", "something else") from error
    if not isinstance(key, RSAPrivateKey) or key.key_size != _BITS:
        raise _fault(path, f"an RSA key of {_BITS} bits", type(key).__name__)
    return key


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise _fault(path, "a PEM certificate", "something else") from error


def _create(key_path: Path, certificate_path: Path, name: str) -> None:
    key = generate_private_key(public_exponent=65537, key_size=_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Vitrine Secure Boot {name}")])
    start = datetime.now(UTC).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), start, start + _YEARS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    replace_file(key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    replace_file(certificate_path, certificate.public_bytes(Encoding.PEM))


def _fault(path: Path, expected: str, got: str) -> SpecError:
    return SpecError((Fault(str(path), expected, got),))
