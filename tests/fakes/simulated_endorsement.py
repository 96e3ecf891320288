"""Google's signing of firmware, under a test root: endorsements in the real format, every part a knob.

Names, extensions, key sizes, algorithms and which fields are there follow google/gce-tcb-verifier
(``sign/ops/certificates.go``, ``endorse/endorse.go``, ``proto/endorsement.proto``); what stands in them is made up.
Messages are written by Google's own library for protocol buffers, so that our reader is held to another's writing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha384
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.fakes.keys import EXPONENT, rsa_key
from tests.fakes.simulated_vm import usage

SIGNED = datetime(2026, 5, 21, 12, 0, tzinfo=UTC)
FIRMWARE = b"firmware that nobody ever ran"
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
FAMILY = bytes.fromhex("f73a6949e8f3473b9553e40e056fa3a2")
VCPUS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 224, 240)
SCHEMA = {
    "Timestamp": ("seconds int64 1", "nanos int32 2"),
    "VMLaunchEndorsement": ("serialized_uefi_golden bytes 1", "signature bytes 2"),
    "VMGoldenMeasurement": (
        *("timestamp Timestamp 1", "cl_spec uint64 2", "commit bytes 3", "cert bytes 4", "digest bytes 5"),
        *("ca_bundle bytes 6", "sev_snp VMSevSnp 7", "tdx VMTdx 8"),
    ),
    "VMSevSnp": (
        *("svn uint32 1", "measurements Entry* 2", "family_id bytes 3", "image_id bytes 4", "policy uint64 5"),
        *("ca_bundle bytes 6", "svsm_measurement bytes 7"),
    ),
    "Entry": ("key uint32 1", "value bytes 2"),  # what a map's entry is on the wire
    "VMTdx": ("svn uint32 1", "measurements Measurement* 2"),
    "Measurement": ("ram_gib uint32 1", "early_accept bool 2", "mrtd bytes 3"),
}


@cache
def messages() -> dict[str, Any]:
    """Make the classes of the schema's messages, without a compiler."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="endorsement.proto", package="simulated", syntax="proto3")
    for name, lines in SCHEMA.items():
        message = file.message_type.add(name=name)
        for line in lines:
            title, kind, number = line.split()
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            made = message.field.add(name=title, number=int(number), label=label)
            kind = kind.rstrip("*")
            if kind in SCHEMA:
                made.type, made.type_name = kinds.TYPE_MESSAGE, f".simulated.{kind}"
            else:
                made.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"simulated.{name}")) for name in SCHEMA}


def digest(name: str) -> bytes:
    return sha384(name.encode()).digest()


@cache
def signing_key(name: str = "signer", bits: int = 3072) -> rsa.RSAPrivateKey:
    """Make a key of a size that is taken; Google's have 4096 bits, which take seconds to find."""
    return rsa.generate_private_key(EXPONENT, bits)


def google_name(common_name: str) -> x509.Name:
    """Write a name as Google's CA does; three letters for a country are one too many, which the library says."""
    told = {
        NameOID.COUNTRY_NAME: "USA",
        NameOID.STATE_OR_PROVINCE_NAME: "WA",
        NameOID.LOCALITY_NAME: "Kirkland",
        NameOID.ORGANIZATION_NAME: "Google",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "Engineering",
        NameOID.COMMON_NAME: common_name,
        NameOID.SERIAL_NUMBER: "1",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.Name([x509.NameAttribute(oid, text, _validate=False) for oid, text in told.items()])


class Issuer:
    """A root like Google's: self-signed, for 25 years, with room for nothing between it and a signing key."""

    def __init__(self, name: str = "gce tcb root", **knobs: Any):
        self.key = knobs.get("key") or rsa_key(name)
        self.name = google_name("GCE-cc-tcb-root")
        start = knobs.get("start", datetime(2023, 9, 1, tzinfo=UTC))
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        extensions = [
            (knobs.get("usage", usage("key_cert_sign", "crl_sign")), True),
            (knobs.get("constraints", constraints), True),
            (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
        ]
        end = knobs.get("end", start + timedelta(days=25 * 365))
        self.certificate = self.certify(self.key.public_key(), self.name, (start, end), extensions)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def certify(self, key, name, dates, extensions, *, scheme=PSS, used=hashes.SHA256()):  # noqa: B008
        builder = x509.CertificateBuilder(self.name, name, key, 2, *dates)
        for value, critical in extensions:
            if value is not None:
                builder = builder.add_extension(value, critical)
        return builder.sign(self.key, used, rsa_padding=scheme)


@cache
def google() -> Issuer:
    return Issuer()


@dataclass
class SimulatedEndorsement:
    """One endorsement; each attribute is what an attack changes."""

    issuer: Issuer = field(default_factory=google)
    key: Any = field(default_factory=signing_key)
    dates: tuple[datetime, datetime] = (SIGNED - timedelta(days=30), SIGNED + timedelta(days=5 * 365 + 1))
    usage: x509.KeyUsage | None = field(default_factory=lambda: usage("digital_signature"))
    constraints: x509.BasicConstraints | None = field(
        default_factory=lambda: x509.BasicConstraints(ca=False, path_length=None)
    )
    purposes: tuple[str, ...] = ()
    more: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    certificate_scheme: Any = field(default_factory=lambda: PSS)
    certificate_hash: Any = field(default_factory=hashes.SHA256)

    timestamp: datetime = SIGNED
    cl_spec: int = 123456789
    commit: bytes = bytes.fromhex("988881adc9fc3655077dc2d4d757d480b5ea0e11")
    firmware: bytes = FIRMWARE
    snp: dict[int, bytes] = field(default_factory=lambda: {count: digest(f"snp {count}") for count in VCPUS})
    tds: list[tuple[int, bool, bytes]] = field(default_factory=lambda: [(0, False, digest("td"))])
    more_snp: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)

    scheme: Any = field(default_factory=lambda: PSS)
    used: Any = field(default_factory=hashes.SHA256)
    signer: Any = None

    def certificate(self) -> bytes:
        purposes = [x509.ObjectIdentifier(one) for one in self.purposes]
        extensions = [
            (self.usage, True),
            (self.constraints, True),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.issuer.key.public_key()), False),
            (x509.ExtendedKeyUsage(purposes) if purposes else None, False),
            *self.more,
        ]
        name, how = (
            google_name("GCE-uefi-signing-key"),
            {"scheme": self.certificate_scheme, "used": self.certificate_hash},
        )
        made = self.issuer.certify(self.key.public_key(), name, self.dates, extensions, **how)
        return made.public_bytes(serialization.Encoding.DER)

    def golden(self) -> bytes:
        """Serialise what is signed; ``changes`` go over every other knob, None takes a field away."""
        known = messages()
        fields = {
            "timestamp": known["Timestamp"](seconds=int(self.timestamp.timestamp())),
            "cl_spec": self.cl_spec,
            "commit": self.commit,
            "cert": self.certificate(),
            "digest": sha384(self.firmware).digest(),
            "ca_bundle": self.issuer.pem,
            "sev_snp": self.sev_snp() if self.snp else None,
            "tdx": self.tdx() if self.tds else None,
        } | self.changes
        made = known["VMGoldenMeasurement"](**{name: value for name, value in fields.items() if value is not None})
        return made.SerializeToString()

    def sev_snp(self) -> Any:
        entries = [messages()["Entry"](key=count, value=value) for count, value in self.snp.items()]
        told = {"svn": 2, "family_id": FAMILY, "image_id": bytes(range(16)), "policy": 0x70000} | self.more_snp
        return messages()["VMSevSnp"](measurements=entries, **told)

    def tdx(self) -> Any:
        made = [messages()["Measurement"](ram_gib=g, early_accept=e, mrtd=value) for g, e, value in self.tds]
        return messages()["VMTdx"](svn=2, measurements=made)

    def sign(self, golden: bytes) -> bytes:
        key = self.signer or self.key
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(golden, self.scheme, self.used)
        return key.sign(golden, self.scheme)

    def data(self) -> bytes:
        """Return the file."""
        golden = self.golden()
        return wrapped(golden, self.sign(golden))


def wrapped(golden: bytes, signature: bytes) -> bytes:
    return messages()["VMLaunchEndorsement"](serialized_uefi_golden=golden, signature=signature).SerializeToString()


# --- by hand, for what no library writes


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def part(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def count(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)
