"""The TLS key of this boot and its self-signed certificate.

The certificate proves nothing by itself: a client trusts it because a quote holds its key (rule C3). Nothing in it
comes from the host: subject, name and validity are constants, since the VM's clock is the host's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from serving.errors import SealError

KEY, CERTIFICATE = "key.pem", "cert.pem"
NAME = "vitrine.invalid"
_NOT_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """The public half of the TLS key: the certificate as DER, and SHA-256 of its SubjectPublicKeyInfo."""

    certificate: bytes
    spki: bytes


def create_identity(folder: Path) -> TlsIdentity:
    """Make the TLS key of this boot, write it for the gateway, and forget its private half.

    Raises:
        SealError: when a key is there already, or the file would not belong to the folder's group.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(folder / CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
    _write(folder / KEY, private)
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return TlsIdentity(certificate.public_bytes(serialization.Encoding.DER), sha256(spki).digest())


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vitrine")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=_NOT_BEFORE,
        not_valid_after=_NOT_AFTER,
    )
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(subject_key, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, data: bytes) -> None:
    """Write a file of this boot; its group is the folder's (setgid), which is how the gateway may read it."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o440)
    except OSError as error:
        raise SealError(f"{path.name} cannot be made: {error.strerror}") from error
    with os.fdopen(number, "wb") as file:
        if os.fstat(number).st_gid != path.parent.stat().st_gid:
            raise SealError(f"{path.name} does not belong to the group of its folder; the folder needs setgid")
        file.write(data)
