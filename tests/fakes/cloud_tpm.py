"""A real software TPM, prepared as a cloud prepares a VM's: keys, certificates and reports where the VM looks for them.

``make_google_like`` and ``make_azure_like`` take the folder of a swtpm's state that nothing runs on, and a test CA. The
VM that boots on it then takes itself for one of that cloud; a client believes it under that very CA alone.

What differs from the clouds: the certificate is the CA's own and not an intermediate's, NV indices hold at most 2048
bytes (Azure's have 4096), and the owner may write them. No CPU signs anything: a report is what the caller brings.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from client_sdk.parse.gce import INSTANCE_INFO
from tests.fakes.instance_info import instance_info
from tests.fakes.tpm_commands import MAX_NV, RawTpm, open_tpm

GOOGLE = {"ECC": (0x01C10002, 0x01C10003), "RSA": (0x01C10000, 0x01C10001)}
"""Certificate and template of each of Google's keys."""
AZURE_AK, AZURE_CERTIFICATE, AZURE_REPORT, AZURE_USER_DATA = 0x81000003, 0x01C101D0, 0x01400001, 0x01400002
AK_PURPOSE = "2.23.133.8.3"
_RESTRICTED_SIGNING = 0x00050072
TEMPLATES = {
    "RSA": struct.pack(">HHIHHHHHIH", 0x0001, 0x000B, _RESTRICTED_SIGNING, 0, 0x0010, 0x0014, 0x000B, 2048, 0, 0),
    "ECC": struct.pack(
        ">HHIHHHHHHHH", 0x0023, 0x000B, _RESTRICTED_SIGNING, 0, 0x0010, 0x0018, 0x000B, 0x0003, 0x0010, 0, 0
    ),
}
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
Extensions = tuple[tuple[x509.ExtensionType, bool], ...]


@dataclass(frozen=True, slots=True)
class CloudCa:
    """A CA that stands in for a cloud's: whoever has its key makes any TPM say anything."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def certify(self, key: PublicKey, extensions: Extensions) -> bytes:
        """Certify an attestation key."""
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self.certificate.subject,
            subject_name=_name("attestation key of a test"),
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + timedelta(days=365),
        )
        for value, critical in ((x509.BasicConstraints(ca=False, path_length=None), True), *extensions):
            builder = builder.add_extension(value, critical)
        usage = _usage(digital_signature=True)
        return builder.add_extension(usage, critical=True).sign(self.key, hashes.SHA256()).public_bytes(DER)


DER = serialization.Encoding.DER


def make_ca(name: str = "test CA of a cloud") -> CloudCa:
    """Make a self-signed CA."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=_name(name),
        subject_name=_name(name),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=3650),
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage(key_cert_sign=True), critical=True)
    subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return CloudCa(builder.add_extension(subject, critical=False).sign(key, hashes.SHA256()), key)


def make_google_like(
    state: Path,
    ca: CloudCa,
    *,
    kinds: tuple[str, ...] = ("ECC", "RSA"),
    leave_out: frozenset[int] = frozenset(),
    certified: PublicKey | None = None,
    instance: bytes | None = None,
) -> None:
    """Leave Google's certificates and templates in a TPM.

    ``leave_out`` are indices that are not written, ``certified`` is a key to certify in place of the TPM's own,
    ``instance`` what the certificate says of the VM (``instance_info``).
    """
    information = x509.UnrecognizedExtension(x509.ObjectIdentifier(INSTANCE_INFO), instance or instance_info())
    with open_tpm(state) as tpm:
        for kind in kinds:
            certificate, template = GOOGLE[kind]
            handle, public = tpm.make_primary(TEMPLATES[kind])
            tpm.flush(handle)
            signed = ca.certify(certified or public_key(public), ((information, False),))
            for index, data in ((certificate, signed), (template, TEMPLATES[kind])):
                if index not in leave_out:
                    tpm.write_nv(index, data)


def make_azure_like(
    state: Path,
    ca: CloudCa,
    *,
    leave_out: frozenset[int] = frozenset(),
    certified: PublicKey | None = None,
    report: Callable[[rsa.RSAPublicKey], bytes] | None = None,
) -> None:
    """Leave Azure's persistent key and its padded certificate in a TPM, and a paravisor's report where one is given.

    ``report`` makes it for the attestation key. A swtpm is no paravisor: what the guest writes to NV 0x01400002
    changes nothing about it. ``leave_out`` and ``certified`` are as for :func:`make_google_like`.
    """
    purpose = x509.ExtendedKeyUsage([x509.ObjectIdentifier(AK_PURPOSE)])
    with open_tpm(state) as tpm:
        handle, public = tpm.make_primary(TEMPLATES["RSA"])
        _persist(tpm, handle, leave_out)
        key = public_key(public)
        assert isinstance(key, rsa.RSAPublicKey)
        if AZURE_CERTIFICATE not in leave_out:
            signed = ca.certify(certified or key, ((purpose, False),))
            tpm.write_nv(AZURE_CERTIFICATE, signed.ljust(MAX_NV, b"\0"))
        if report is not None:
            tpm.write_nv(AZURE_REPORT, report(key))


def public_key(public: bytes) -> PublicKey:
    """Read the key out of a public area that one of the templates gave."""
    if public[:2] == b"\x00\x01":
        return rsa.RSAPublicNumbers(65537, int.from_bytes(public[-256:], "big")).public_key()
    size = int.from_bytes(public[20:22], "big")
    x, y = public[22 : 22 + size], public[24 + size :]
    point = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
    return point.public_key()


def _persist(tpm: RawTpm, handle: int, leave_out: frozenset[int]) -> None:
    if AZURE_AK in leave_out:
        tpm.flush(handle)
    else:
        tpm.persist(handle, AZURE_AK)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(**flags: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign "
        "crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: flags.get(name, False) for name in names.split()})
