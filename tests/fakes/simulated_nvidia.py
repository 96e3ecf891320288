"""NVIDIA devices and RIM files of real form, signed under test roots. Every attribute is a knob that breaks one thing.

The canonical form of a RIM file is written here as well, from the same parts as the file and by another way than the
verifier's: the parts are listed in canonical order, the file has them in another.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha384

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from client_sdk.parse.certificate import CertificateFields, parse_certificate
from tests.fakes.keys import ec_key, ecdsa, settled_ocsp
from tests.fakes.simulated_vm import usage

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
NONCE = bytes(range(32))
HOPPER, BLACKWELL = "2.23.133.5.4.1", "2.23.133.5.4.1.1"
SHA384_OID = bytes.fromhex("0609608648016503040202")
SWID = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
HASH = "http://www.w3.org/2001/04/xmlenc#sha384"
C14N = "http://www.w3.org/2006/12/xml-c14n11"
TCG = "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/"


def p384(name: str) -> ec.EllipticCurvePrivateKey:
    return ec_key(name, ec.SECP384R1)


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ecdsa(hashes.SHA384())))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


@dataclass(frozen=True, slots=True)
class Certified:
    """A key and what vouches for it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def fields(self) -> CertificateFields:
        return parse_certificate(self.der, "test")


def ca_extensions() -> dict[str, tuple[x509.ExtensionType, bool]]:
    return {
        "constraints": (x509.BasicConstraints(ca=True, path_length=None), True),
        "usage": (usage("key_cert_sign", "crl_sign"), True),
    }


def signer_extensions() -> dict[str, tuple[x509.ExtensionType, bool]]:
    return {"usage": (usage("digital_signature"), True)}


def issue(
    name: str,
    parent: Certified | None,
    extensions: dict[str, tuple[x509.ExtensionType, bool]],
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    dates: tuple[datetime, datetime] = (datetime(2022, 3, 1, tzinfo=UTC), FOREVER),
    algorithm: hashes.HashAlgorithm | None = None,
) -> Certified:
    """Issue a certificate; self-signed without a parent."""
    key = key or p384(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above = parent.certificate.subject if parent else subject
    signing = parent.key if parent else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(name.encode()[-8:], "big") | 1)
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    for value, critical in extensions.values():
        builder = builder.add_extension(value, critical)
    return Certified(key, builder.sign(signing, algorithm or hashes.SHA384(), ecdsa_deterministic=True))


@cache
def device_root() -> Certified:
    return issue("device root", None, ca_extensions())


@cache
def authorities() -> tuple[Certified, Certified]:
    """Return the two CAs between every device and the root: family, then factory."""
    family = issue("family", device_root(), ca_extensions())
    return family, issue("factory", family, ca_extensions())


@cache
def rim_root() -> Certified:
    return issue("rim root", None, ca_extensions())


@cache
def rim_authority() -> Certified:
    return issue("rim authority", rim_root(), ca_extensions())


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def fwid(digest: bytes) -> bytes:
    return der(0x30, SHA384_OID, der(0x04, digest))


def firmware_extension(form: str, digest: bytes, flags: int, key: ec.EllipticCurvePublicKey) -> x509.ExtensionType:
    """Make what a boot ROM writes into a device's certificate: one of the two forms in the field."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if form == HOPPER:
        value = der(0x30, der(0x02, b"\x01"), spki, fwid(digest))
    else:
        fwids = der(0xA6, fwid(digest), fwid(bytes(48)))
        value = der(0x30, der(0x80, b"NVIDIA"), der(0x83, b"\x01"), fwids, der(0x87, bytes([0, flags, 0, 0, 1])))
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(form), value)


def text(value: str) -> bytes:
    return value.encode() + b"\0"


class SimulatedGpu:
    """One Hopper GPU. Change an attribute before :meth:`evidence`; each is used where the real part would use it."""

    def __init__(self, name: str = "gpu"):
        self.name = name
        self.fwid, self.stated_fwid = sha384(b"firmware").digest(), sha384(b"firmware").digest()
        self.form, self.flags = HOPPER, 0x80
        self.rom_extensions, self.leaf_extensions = ca_extensions(), signer_extensions()
        self.rom_dates = (datetime(2022, 3, 1, tzinfo=UTC), FOREVER)
        self.leaf_hash: hashes.HashAlgorithm = hashes.SHA384()
        self.leaf_key: ec.EllipticCurvePrivateKey | None = None
        self.firmware = "firmware"  # another firmware has another key and another certificate
        self.family, self.factory = authorities()
        self.request = (0x11, 0xE0, 1, 0xFF)
        self.response = (0x11, 0x60, 0, 0)
        self.measurements = {index: sha384(b"measurement %d" % index).digest() for index in range(1, 65)}
        self.header = b""  # what stands before the opaque entries
        self.opaque = {
            6: bytes.fromhex("00a5009601000000"),
            15: text("885"),
            17: text("G520"),
            18: text("0200"),
            3: text("590.12"),
            11: b"\x55",
            20: self.stated_fwid,
            21: b"\x55",
            34: b"\1\0",
            36: b"\0\0",
        }
        self.sign_with: ec.EllipticCurvePrivateKey | None = None
        self.nonce: bytes | None = None  # None: the nonce that is asked with
        self.signed_request: bytes | None = None
        self.trailing = b""

    @classmethod
    def switch(cls, name: str = "switch") -> SimulatedGpu:
        """Make an LS10 switch."""
        made = cls(name)
        made.measurements = {index: sha384(b"switch %d" % index).digest() for index in range(1, 32)}
        made.opaque = {6: b"96.10.55.00.01", 22: name.encode()[:8].ljust(8, b"-"), 24: b"\2\0", 25: b"\1\0"}
        return made

    @property
    def rom(self) -> Certified:
        return issue(f"rom {self.name}", self.factory, self.rom_extensions, dates=self.rom_dates)

    @property
    def leaf(self) -> Certified:
        key = self.leaf_key or p384(f"leaf {self.name} {self.firmware}")
        extensions = dict(self.leaf_extensions)
        if self.form:
            public = p384("any").public_key()
            extensions["fwid"] = (firmware_extension(self.form, self.fwid, self.flags, public), False)
        return issue(f"leaf {self.name}", self.rom, extensions, key=key, algorithm=self.leaf_hash)

    def certificates(self) -> tuple[bytes, ...]:
        return (self.leaf.der, self.rom.der, self.factory.der, self.family.der, device_root().der)

    def opaque_data(self) -> bytes:
        kind = [b"\0\0"] if self.header else []
        entries = [
            b"".join([struct.pack("<H", field), *kind, struct.pack("<H", len(value)), value])
            for field, value in self.opaque.items()
        ]
        return self.header + b"".join(entries)

    def record(self) -> bytes:
        return b"".join(
            struct.pack("<BBHBH", index, 1, len(value) + 3, 1, len(value)) + value
            for index, value in self.measurements.items()
        )

    def evidence(self, nonce: bytes = NONCE) -> bytes:
        request = bytes(self.request) + (nonce if self.nonce is None else self.nonce) + b"\0"
        record, opaque = self.record(), self.opaque_data()
        response = bytes(self.response) + bytes([len(self.measurements)]) + len(record).to_bytes(3, "little") + record
        response += sha384(b"the device's own nonce").digest()[:32] + struct.pack("<H", len(opaque)) + opaque
        key = self.sign_with or self.leaf_key or p384(f"leaf {self.name} {self.firmware}")
        signed = (request if self.signed_request is None else self.signed_request) + response
        return request + response + raw_signature(key, signed) + self.trailing

    def path(self) -> tuple[Certified, ...]:
        """Return who has to be unrevoked, each followed by its issuer."""
        return (self.rom, self.factory, self.family, device_root())

    def ocsp(self) -> tuple[bytes, ...]:
        path = self.path()
        return tuple(SimulatedOcsp(path[i], path[i + 1]).response() for i in range(3))


class SimulatedOcsp:
    """An OCSP answer about a certificate, by its issuer or a responder of the issuer's."""

    def __init__(self, subject: Certified, issuer: Certified):
        self.subject, self.issuer = subject, issuer
        self.status = ocsp.OCSPCertStatus.GOOD
        self.this_update, self.next_update = NOW - timedelta(hours=1), NOW + timedelta(days=2)
        self.delegate = False
        self.responder_extensions = {
            **signer_extensions(),
            "eku": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),
        }
        self.responder_issuer = issuer
        self.responder_dates = (NOW - timedelta(days=1), NOW + timedelta(days=30))
        self.responder_hash: hashes.HashAlgorithm = hashes.SHA384()
        self.signer: Certified | None = None  # somebody else, who does not show a certificate
        self.algorithm: hashes.HashAlgorithm = hashes.SHA384()
        self.named_by: hashes.HashAlgorithm = hashes.SHA1()  # noqa: S303  an index, as responders use it

    def response(self) -> bytes:
        revoked = self.status == ocsp.OCSPCertStatus.REVOKED
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=self.subject.certificate,
            issuer=self.issuer.certificate,
            algorithm=self.named_by,
            cert_status=self.status,
            this_update=self.this_update,
            next_update=self.next_update,
            revocation_time=NOW - timedelta(days=3) if revoked else None,
            revocation_reason=None,
        )
        signer = self.signer or self.issuer
        if self.delegate:
            dates, used = self.responder_dates, self.responder_hash
            signer = issue("responder", self.responder_issuer, self.responder_extensions, dates=dates, algorithm=used)
            builder = builder.certificates([signer.certificate])
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        made = builder.sign(signer.key, self.algorithm)
        return settled_ocsp(made.public_bytes(Encoding.DER), signer.key, self.algorithm)


class SimulatedRim:
    """A RIM file for a device's driver (the default) or firmware."""

    def __init__(self, version: str = "590.12", golden: dict[int, tuple[bytes, ...]] | None = None):
        gpu = SimulatedGpu()
        indexes = range(20, 40) if version == "590.12" else range(8)
        self.version, self.edition, self.product = version, "GPU", "GH100"
        self.golden = golden or {index: (bytes(48), gpu.measurements[index + 1]) for index in indexes}
        self.inactive: dict[int, tuple[bytes, ...]] = {63: (bytes(48),)}
        self.canonicalization, self.method = C14N, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
        self.transforms = (f"{DSIG}enveloped-signature", C14N)
        self.digest_method = "http://www.w3.org/2001/04/xmldsig-more#sha384"
        self.uri: str | None = ""
        self.references = 1
        self.signer_extensions = signer_extensions()
        self.signer_dates = (NOW - timedelta(days=100), NOW + timedelta(days=600))
        self.signer_key: ec.EllipticCurvePrivateKey | None = None
        self.authority = rim_authority()
        self.extra_certificates: tuple[Certified, ...] = ()
        self.sign_with: ec.EllipticCurvePrivateKey | None = None
        self.stated_digest: bytes | None = None
        self.value: Callable[[bytes], bytes] = bytes  # what the signature's value is turned into
        self.replace_after: tuple[str, str] = ("", "")  # edits the finished file
        self.prologue = ""

    @classmethod
    def firmware(cls, version: str = "96.00.A5.00.01") -> SimulatedRim:
        made = cls(version)
        made.signer_dates = (
            NOW - timedelta(days=99),
            NOW + timedelta(days=600),
        )  # each file has a certificate of its own
        return made

    @property
    def signer(self) -> Certified:
        return issue(
            "rim signer",
            self.authority,
            self.signer_extensions,
            key=self.signer_key,
            dates=self.signer_dates,
        )

    def ocsp(self) -> tuple[bytes, ...]:
        path = (self.signer, self.authority, rim_root())
        return tuple(SimulatedOcsp(path[i], path[i + 1]).response() for i in range(2))

    def document(self, *, canonical: bool, signature: str = "") -> str:
        """Write the document, with its signature, in canonical form or as NVIDIA writes it."""
        records = {
            **{i: (v, "True") for i, v in self.golden.items()},
            **{i: (v, "False") for i, v in self.inactive.items()},
        }
        resources = [self._resource(index, *records[index], canonical=canonical) for index in sorted(records)]
        meta = [
            ("PayloadType", "direct"),
            ("colloquialVersion", self.version),
            ("edition", self.edition),
            ("product", self.product),
            ("ns1:BindingSpec", "RIMIM"),
            ("ns1:PlatformModel", "GH100"),
        ]
        payload = element(
            "ns0:Payload", [("xmlns:SHA384", HASH)], [], "\n".join(["", *resources, ""]), canonical=canonical
        )
        entity = element(
            "ns0:Entity", [], [("name", "NVIDIA Corporation"), ("role", "tagCreator")], "", canonical=canonical
        )
        parts = [
            "",
            entity,
            element("ns0:Meta", [("xmlns:ns1", TCG)], meta, "", canonical=canonical),
            payload,
            signature,
        ]
        return element(
            "SoftwareIdentity",
            [("xmlns", SWID), ("xmlns:ns0", SWID), ("xmlns:ns2", HASH)],
            [("corpus", "false"), ("name", "GH100"), ("tagId", "0123"), ("tagVersion", "0"), ("version", "1.0")],
            "\n".join(parts),
            canonical=canonical,
        )

    def _resource(self, index: int, values: tuple[bytes, ...], active: str, *, canonical: bool) -> str:
        attributes = [
            ("active", active),
            ("alternatives", str(len(values))),
            ("index", str(index)),
            ("name", f"Measurement_{index}"),
            ("size", str(len(values[0]))),
            ("type", "Measurement"),
            *[(f"ns2:Hash{i}", value.hex()) for i, value in enumerate(values)],
        ]
        return element("ns0:Resource", [], attributes, "", canonical=canonical)

    def signed_info(self, digest: bytes, *, canonical: bool) -> str:
        """Write SignedInfo; its canonical form has the namespaces around it, its place in the file does not."""
        around = [("xmlns", SWID), ("xmlns:ds", DSIG), ("xmlns:ns0", SWID), ("xmlns:ns2", HASH)]

        def algorithm(name: str, value: str) -> str:
            return element(f"ds:{name}", [], [("Algorithm", value)], "", canonical=canonical)

        transforms = element(
            "ds:Transforms", [], [], "".join(algorithm("Transform", t) for t in self.transforms), canonical=True
        )
        value = element("ds:DigestValue", [], [], base64.b64encode(digest).decode(), canonical=True)
        uri = [] if self.uri is None else [("URI", self.uri)]
        inside = transforms + algorithm("DigestMethod", self.digest_method) + value
        reference = element("ds:Reference", [], uri, inside, canonical=True) * self.references
        methods = algorithm("CanonicalizationMethod", self.canonicalization) + algorithm("SignatureMethod", self.method)
        return element("ds:SignedInfo", around if canonical else [], [], methods + reference, canonical=True)

    def data(self) -> bytes:
        digest = self.stated_digest or sha384(self.document(canonical=True).encode()).digest()
        signer = self.signer
        statement = self.signed_info(digest, canonical=True).encode()
        value = base64.encodebytes(self.value(raw_signature(self.sign_with or signer.key, statement))).decode()
        certificates = "".join(
            f"<ds:X509Certificate>{base64.encodebytes(one.der).decode()}</ds:X509Certificate>"
            for one in (signer, self.authority, *self.extra_certificates, rim_root())
        )
        signature = (
            f'<ds:Signature xmlns:ds="{DSIG}">{self.signed_info(digest, canonical=False)}'
            f"<ds:SignatureValue>{value}</ds:SignatureValue>"
            f"<ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>"
        )
        file = self.prologue + self.document(canonical=False, signature=signature)
        old, new = self.replace_after
        assert old in file
        return file.replace(old, new, 1).encode() if old else file.encode()


def element(
    tag: str, declarations: list[tuple[str, str]], attributes: list[tuple[str, str]], inside: str, *, canonical: bool
) -> str:
    """Write one element from parts in canonical order; a file has attributes before declarations and backwards."""
    words = [*declarations, *attributes] if canonical else [*attributes[::-1], *declarations[::-1]]
    start = tag + "".join(f' {name}="{value}"' for name, value in words)
    return f"<{start}/>" if not canonical and not inside else f"<{start}>{inside}</{tag}>"
