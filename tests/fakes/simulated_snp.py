"""An SEV-SNP guest under test roots: reports and certificates in AMD's formats. Every attribute is a knob."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha512

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.snp import Product
from tests.fakes.keys import REPEATABLE, ec_key, ecdsa, element, elements, pss_signature, rsa_key, settled
from tests.fakes.simulated_vm import usage

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ARC = "1.3.6.1.4.1.3704.1."
CPUIDS = {Product.MILAN: (0x19, 0x01, 1), Product.GENOA: (0x19, 0x11, 1), Product.TURIN: (0x1A, 0x02, 1)}
NAMES = {Product.MILAN: b"Milan-B0", Product.GENOA: b"Genoa", Product.TURIN: b"Turin"}
TCBS = {
    Product.MILAN: bytes([4, 0, 0, 0, 0, 0, 24, 219]),
    Product.GENOA: bytes([10, 0, 0, 0, 0, 0, 23, 84]),
    Product.TURIN: bytes([1, 1, 1, 4, 0, 0, 0, 81]),
}
# Which extension under .1.3 holds which byte of the TCB.
ORDER = {
    Product.MILAN: (1, 2, 4, 5, 6, 7, 3, 8),
    Product.GENOA: (1, 2, 4, 5, 6, 7, 3, 8),
    Product.TURIN: (9, 1, 2, 3, 5, 6, 7, 8),
}
CSP_ID = b"CN=cc-test.example"


def chip_key(name: str, curve: type[ec.EllipticCurve] = ec.SECP384R1) -> ec.EllipticCurvePrivateKey:
    return ec_key(name, curve)


def integer(value: int) -> bytes:
    """Write a DER INTEGER of one byte of value."""
    return bytes([2, 2, 0, value]) if value >= 0x80 else bytes([2, 1, value])


def ia5(text: bytes) -> bytes:
    return bytes([0x16, len(text)]) + text


def pss(hash_algorithm: hashes.HashAlgorithm) -> padding.PSS:
    return padding.PSS(padding.MGF1(hash_algorithm), hash_algorithm.digest_size)


def with_serial_zero(certificate: x509.Certificate, key, hash_algorithm: hashes.HashAlgorithm) -> bytes:
    """Return the DER of a certificate of serial number 1 with serial number 0, signed anew: no library makes these."""
    old = certificate.tbs_certificate_bytes
    place = old.index(b"\xa0\x03\x02\x01\x02\x02\x01\x01") + 7
    new = old[:place] + b"\0" + old[place + 1 :]
    der = certificate.public_bytes(serialization.Encoding.DER)
    repeatable = REPEATABLE["signatures"]
    sign = pss_signature if repeatable else lambda key, message, used: key.sign(message, pss(used), used)
    signature = sign(key, new, hash_algorithm)
    return der.replace(old, new).replace(certificate.signature, signature)


class AmdCa:
    """An ARK, ASK or ASVK. Without a parent it signs itself."""

    def __init__(self, name: str, *, parent: AmdCa | None = None, key=None, **knobs):
        self.name, self.parent = name, parent
        self.key = key or rsa_key(f"amd {name}")
        self.dates = knobs.pop("dates", (NOW - 1000 * DAY, NOW + 8000 * DAY))
        self.hash = knobs.pop("hash", hashes.SHA384())
        self.extensions = knobs.pop("extensions", None) or self.default_extensions(0 if parent else None)
        self.serial = knobs.pop("serial", 0x10001 if parent else 0x10000)
        assert not knobs

    @staticmethod
    def default_extensions(path_length: int | None = None):
        return [
            (x509.BasicConstraints(ca=True, path_length=path_length), True),
            (usage("key_cert_sign", "crl_sign"), True),
        ]

    @property
    def subject(self) -> x509.Name:
        company = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Advanced Micro Devices")
        return x509.Name([company, x509.NameAttribute(NameOID.COMMON_NAME, self.name)])

    @property
    def der(self) -> bytes:
        signer = self.parent or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(signer.subject)
            .public_key(self.key.public_key())
            .serial_number(self.serial)
            .not_valid_before(self.dates[0])
            .not_valid_after(self.dates[1])
        )
        for value, critical in self.extensions:
            builder = builder.add_extension(value, critical)
        signed = builder.sign(signer.key, self.hash, rsa_padding=pss(self.hash))
        return settled(signed.public_bytes(serialization.Encoding.DER), signer.key, self.hash)

    @property
    def fields(self) -> CertificateFields:
        return parse_certificate(self.der, self.name)

    def endless_crl(self) -> bytes:
        """Return a list that names no day of the next one: the library makes none."""
        ((_, parts),) = elements(self.crl())
        (tbs, inside), algorithm, *_ = elements(parts)
        kept = [part for number, (part, _) in enumerate(elements(inside)) if number != 4]  # nextUpdate
        changed = element(0x30, *kept)
        sign = pss_signature(self.key, changed, hashes.SHA384())
        return element(0x30, changed, algorithm[0], element(3, b"\0", sign))

    def crl(self, *, revoked: tuple[int, ...] = (), number: int = 5, dates=(NOW - 30 * DAY, NOW + 300 * DAY)) -> bytes:
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.subject)
        builder = builder.last_update(dates[0]).next_update(dates[1]).add_extension(x509.CRLNumber(number), False)
        for serial in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(dates[0]).build()
            builder = builder.add_revoked_certificate(entry)
        signed = builder.sign(self.key, hashes.SHA384(), rsa_padding=pss(hashes.SHA384()))
        return settled(signed.public_bytes(serialization.Encoding.DER), self.key, hashes.SHA384())


@cache
def ark(product: Product) -> AmdCa:
    return AmdCa(f"ARK-{product}")


@cache
def ark_fields(product: Product) -> CertificateFields:
    """Return the one pinned certificate of a product: PSS gives another signature each time."""
    return ark(product).fields


class SimulatedSnp:
    """A guest on a chip of a product line, whose report is signed by the chip's VCEK or by a loaded VLEK."""

    def __init__(self, product: Product = Product.MILAN, *, vlek: bool = False):
        self.product, self.vlek = product, vlek
        turin = product is Product.TURIN
        self.hwid = sha512(product.encode()).digest()[: 8 if turin else 64]
        self.key = chip_key(f"{product} {vlek}")
        # The certificate.
        self.ark = ark(product)
        self.ask = AmdCa(f"SEV-VLEK-{product}" if vlek else f"SEV-{product}", parent=self.ark)
        self.chain: tuple[bytes, ...] | None = None
        self.arks = (ark_fields(product),)
        self.vek_dates = (NOW - 10 * DAY, NOW + 355 * DAY)
        self.vek_hash: hashes.HashAlgorithm = hashes.SHA384()
        self.serial_zero = True
        self.vek_extra: list[tuple[x509.ExtensionType, bool]] = []
        self.levels = dict(zip(ORDER[product], TCBS[product], strict=True))
        self.extensions = {"1": integer(1 if turin else 0), "2": ia5(NAMES[product])}
        self.extensions |= {"5": ia5(CSP_ID)} if vlek else {"4": self.hwid}
        # The report.
        self.version, self.guest_svn, self.policy, self.vmpl, self.algorithm = (5 if turin else 3), 2, 0x3001F, 0, 1
        self.platform_info, self.flags = 0x25, (4 if vlek else 0)
        self.report_data = sha512(b"report data").digest()
        self.measurement, self.host_data = b"\x11" * 48, b"\x22" * 32
        self.id_key_digest, self.author_key_digest = b"\x33" * 48, bytes(48)
        self.reported_tcb = self.current_tcb = self.committed_tcb = self.launch_tcb = TCBS[product]
        self.cpuid = CPUIDS[product]
        self.chip_id = bytes(64) if vlek else self.hwid.ljust(64, b"\0")
        self.current_version = self.committed_version = (29, 55, 1)  # build, minor, major
        self.mitigations = (0x3F, 0x3F) if turin else (0, 0)
        self.patches: dict[int, bytes] = {}  # before the report is signed
        self.late_patches: dict[int, bytes] = {}  # and after it
        self.sign_with: ec.EllipticCurvePrivateKey | None = None

    def certificate(self) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SEV-VLEK" if self.vlek else "SEV-VCEK")]))
            .issuer_name(self.ask.subject)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(self.vek_dates[0])
            .not_valid_after(self.vek_dates[1])
        )
        levels = {f"3.{number}": integer(level) for number, level in self.levels.items()}
        for name, value in (self.extensions | levels).items():
            builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(ARC + name), value), False)
        for value, critical in self.vek_extra:
            builder = builder.add_extension(value, critical)
        signed = builder.sign(self.ask.key, self.vek_hash, rsa_padding=pss(self.vek_hash))
        if self.serial_zero:
            return with_serial_zero(signed, self.ask.key, self.vek_hash)
        return settled(signed.public_bytes(serialization.Encoding.DER), self.ask.key, self.vek_hash)

    def others(self) -> tuple[bytes, ...]:
        return (self.ask.der, self.ark.der) if self.chain is None else self.chain

    def body(self) -> bytes:
        head = struct.pack("<IIQ", self.version, self.guest_svn, self.policy) + bytes(32)
        head += struct.pack("<II8sQII", self.vmpl, self.algorithm, self.current_tcb, self.platform_info, self.flags, 0)
        names = self.report_data + self.measurement + self.host_data + self.id_key_digest + self.author_key_digest
        tail = b"\x44" * 32 + b"\xff" * 32 + self.reported_tcb + bytes(self.cpuid) + bytes(21) + self.chip_id
        tail += self.committed_tcb + bytes(self.current_version) + b"\0" + bytes(self.committed_version) + b"\0"
        return head + names + tail + self.launch_tcb + struct.pack("<QQ", *self.mitigations) + bytes(152)

    def report(self) -> bytes:
        body = bytearray(self.body())
        for offset, value in self.patches.items():
            body[offset : offset + len(value)] = value
        r, s = decode_dss_signature((self.sign_with or self.key).sign(bytes(body), ecdsa(hashes.SHA384())))
        report = body + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(368)
        for offset, value in self.late_patches.items():
            report[offset : offset + len(value)] = value
        return bytes(report)
