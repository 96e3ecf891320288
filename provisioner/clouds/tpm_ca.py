"""The test CA that certifies the software TPMs of one deployment folder.

It stands in for a TPM manufacturer, so that the whole certificate path of a real TPM is exercised. Its
certificates prove nothing about a machine: whoever holds the key, which lies beside it, makes any TPM.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provisioner.atomic import replace_file
from provisioner.clouds.processes import require
from provisioner.errors import CloudError

CERTIFICATE = "tpm-ca.pem"
_YEARS = 10


@dataclass(frozen=True, slots=True)
class TpmCa:
    """Where the CA of one deployment lies."""

    certificate: Path
    directory: Path

    @property
    def key(self) -> Path:
        """The CA's private key, readable by its owner alone."""
        return self.directory / "key.pem"

    @property
    def configuration(self) -> Path:
        """What swtpm_localca reads to find key and certificate."""
        return self.directory / "swtpm_localca.conf"


def ensure_ca(root: Path) -> TpmCa:
    """Return the CA of the deployment in ``root``; make it on first use.

    The certificate is written last, so that an interrupted attempt is repeated as a whole.

    Raises:
        CloudError: the folder cannot be written.
    """
    ca = TpmCa(root / CERTIFICATE, root / "tpm-ca")
    try:
        if not ca.certificate.is_file() or not ca.key.is_file():
            _make(ca)
        replace_file(ca.configuration, _configuration(ca), 0o600)
        replace_file(ca.directory / "swtpm_localca.options", b"", 0o600)
    except OSError as error:
        raise CloudError(f"cannot keep the test TPM CA in {root}: {error}; check the folder's owner") from error
    return ca


def write_setup_configuration(ca: TpmCa, path: Path) -> None:
    """Write the file that makes swtpm_setup ask this CA for certificates."""
    text = (
        f"create_certs_tool = {require('swtpm_localca')}\n"
        f"create_certs_tool_config = {ca.configuration}\n"
        f"create_certs_tool_options = {ca.directory / 'swtpm_localca.options'}\n"
    )
    replace_file(path, text.encode(), 0o600)


def _make(ca: TpmCa) -> None:
    ca.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    replace_file(ca.key, pem, 0o600)
    certificate = _self_signed(key, dt.datetime.now(dt.UTC))
    replace_file(ca.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _self_signed(key: ec.EllipticCurvePrivateKey, now: dt.datetime) -> x509.Certificate:
    # The random part keeps two deployments apart for a person who reads a report.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Vitrine test TPM CA {secrets.token_hex(4)}")])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _configuration(ca: TpmCa) -> bytes:
    lines = (
        f"statedir = {ca.directory}",
        f"signingkey = {ca.key}",
        f"issuercert = {ca.certificate}",
        f"certserial = {ca.directory / 'serial'}",
    )
    return ("\n".join(lines) + "\n").encode()
