"""A TDX platform under test roots: quotes and collateral in Intel's formats. Every attribute is a knob.

``intel`` makes the CAs and what Intel's service would serve, ``platform`` the quotes; both are re-signed at each use.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha384
from urllib.parse import quote as url_encode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.verify.tdx_collateral import Collateral
from tests.fakes.keys import ec_key, ecdsa
from tests.fakes.simulated_vm import usage

NOW = datetime(2030, 5, 20, 12, tzinfo=UTC)
SGX = "1.2.840.113741.1.13.1"
VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
FMSPC, PCE_ID, PPID = bytes.fromhex("90c06f000000"), bytes(2), bytes(range(16))
QE_SIGNER = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")
ATTRIBUTES = 1 << 28  # SEPT_VE_DISABLE
XFAM = 0x602E7
_SIZES = {2: 584, 3: 648}


def name(common: str) -> x509.Name:
    parts = [(NameOID.COMMON_NAME, common), (NameOID.ORGANIZATION_NAME, "Intel Corporation")]
    parts += [
        (NameOID.LOCALITY_NAME, "Santa Clara"),
        (NameOID.STATE_OR_PROVINCE_NAME, "CA"),
        (NameOID.COUNTRY_NAME, "US"),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


@dataclass
class Certified:
    """A key and how its certificate is made."""

    common: str
    key: ec.EllipticCurvePrivateKey
    issuer: Certified | None = None
    ca: bool = False
    path_length: int | None = None
    flags: tuple[str, ...] = ("digital_signature", "content_commitment")
    serial: int = 1
    since: datetime = NOW - timedelta(days=365)
    until: datetime = NOW + timedelta(days=365)
    extension: bytes = b""
    hash: hashes.HashAlgorithm | None = None
    critical: x509.ExtensionType | None = None

    def certificate(self) -> x509.Certificate:
        signer = self.issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(self.common))
            .issuer_name(name(signer.common))
            .public_key(self.key.public_key())
            .serial_number(self.serial)
            .not_valid_before(self.since)
            .not_valid_after(self.until)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.BasicConstraints(ca=self.ca, path_length=self.path_length), critical=True)
        )
        if self.flags:
            builder = builder.add_extension(usage(*self.flags), critical=True)
        if self.extension:
            value = x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX), self.extension)
            builder = builder.add_extension(value, critical=False)
        if self.critical:
            builder = builder.add_extension(self.critical, critical=True)
        return builder.sign(signer.key, self.hash or hashes.SHA256(), ecdsa_deterministic=True)

    @property
    def der(self) -> bytes:
        return self.certificate().public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate().public_bytes(serialization.Encoding.PEM)


@dataclass
class Revocations:
    """A revocation list and how it is made."""

    issuer: Certified
    serials: tuple[int, ...] = (0xBAD,)
    number: int = 1
    since: datetime = NOW - timedelta(days=2)
    until: datetime = NOW + timedelta(days=28)
    signer: Certified | None = None

    @property
    def der(self) -> bytes:
        builder = x509.CertificateRevocationListBuilder().issuer_name(name(self.issuer.common))
        builder = builder.last_update(self.since).next_update(self.until)
        key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.issuer.key.public_key())
        builder = builder.add_extension(key_id, critical=False)
        builder = builder.add_extension(x509.CRLNumber(self.number), critical=False)
        for serial in self.serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(self.since)
            builder = builder.add_revoked_certificate(revoked.build())
        signed = builder.sign((self.signer or self.issuer).key, hashes.SHA256(), ecdsa_deterministic=True)
        return signed.public_bytes(serialization.Encoding.DER)


def element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int) -> bytes:
    return element(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def sgx_pair(numbers: tuple[int, ...], value: bytes) -> bytes:
    return element(0x30, element(6, bytes.fromhex("2a864886f84d010d01") + bytes(numbers)) + value)


class SimulatedIntel:
    """The root, the CAs, the signer of TCB statements, and what is served."""

    def __init__(self) -> None:
        sign = ("key_cert_sign", "crl_sign")
        root = ec_key("intel root")
        self.root = Certified("Intel SGX Root CA", root, None, True, 1, sign, serial=10)
        self.platform_ca = Certified("Intel SGX PCK Platform CA", ec_key("pck ca"), self.root, True, 0, sign, serial=11)
        self.signer = Certified("Intel SGX TCB Signing", ec_key("tcb signing"), self.root, serial=12)
        self.qe_signer = self.signer
        self.pck_crl, self.root_crl = Revocations(self.platform_ca), Revocations(self.root)
        self.tcb_info, self.qe_identity = tcb_info(), qe_identity()
        self.tcb_key = self.qe_key = self.signer.key
        self.url_encoded = True
        self.with_root = True
        self.edit = bytes.strip  # what happens to a document on its way
        self.changes: dict[str, bytes] = {}

    @property
    def anchors(self) -> tuple[CertificateFields, ...]:
        return (parse_certificate(self.root.der, "root"),)

    def chain(self, signer: Certified) -> bytes:
        between = signer.issuer.pem if signer.issuer and signer.issuer is not self.root else b""
        pem = signer.pem + between + (self.root.pem if self.with_root else b"")
        return url_encode(pem.decode()).encode() if self.url_encoded else pem

    def collateral(self) -> Collateral:
        chain = self.chain(self.signer)
        parts = {
            "tcb_info": self.edit(document("tcbInfo", self.tcb_info, self.tcb_key)),
            "tcb_info_issuer_chain": chain,
            "qe_identity": document("enclaveIdentity", self.qe_identity, self.qe_key),
            "qe_identity_issuer_chain": chain if self.qe_signer is self.signer else self.chain(self.qe_signer),
            "pck_crl": self.pck_crl.der,
            "root_crl": self.root_crl.der,
        }
        return Collateral(**parts | self.changes)


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ecdsa(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def document(member: str, value: object, key: ec.EllipticCurvePrivateKey, *, signed: bytes | None = None) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode()
    signature = raw_signature(key, text if signed is None else signed).hex()
    return b'{"' + member.encode() + b'":' + text + b',"signature":"' + signature.encode() + b'"}'


def instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def tcb(sgx: tuple[int, ...], pce_svn: int, tdx: tuple[int, ...]) -> dict:
    def components(svns):
        return [{"svn": svn} for svn in (*svns, *[0] * (16 - len(svns)))]

    return {"sgxtcbcomponents": components(sgx), "pcesvn": pce_svn, "tdxtcbcomponents": components(tdx)}


def tcb_info() -> dict:
    """State what Intel does: two levels, one of them current, and one TDX module with a version."""
    module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
    old = ["INTEL-SA-00837", "INTEL-SA-01036"]
    levels = [{"tcb": {"isvsvn": 6}, "tcbDate": "2030-03-01T00:00:00Z", "tcbStatus": "UpToDate"}]
    levels += [
        {"tcb": {"isvsvn": 4}, "tcbDate": "2029-03-01T00:00:00Z", "tcbStatus": "OutOfDate", "advisoryIDs": old[1:]}
    ]
    return {
        "id": "TDX",
        "version": 3,
        "issueDate": instant(NOW - timedelta(days=2)),
        "nextUpdate": instant(NOW + timedelta(days=28)),
        "fmspc": FMSPC.hex().upper(),
        "pceId": PCE_ID.hex(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": 17,
        "tdxModule": module,
        "tdxModuleIdentities": [{"id": "TDX_01", **module, "tcbLevels": levels}],
        "tcbLevels": [
            {
                "tcb": tcb((3, 3, 2, 2, 4, 1, 0, 5), 13, (5, 0, 3)),
                "tcbDate": "2030-03-01T00:00:00Z",
                "tcbStatus": "UpToDate",
            },
            {
                "tcb": tcb((2, 2, 2, 2, 3, 1, 0, 5), 11, (5, 0, 2)),
                "tcbDate": "2029-03-01T00:00:00Z",
                "tcbStatus": "OutOfDate",
                "advisoryIDs": old,
            },
        ],
    }


def qe_identity() -> dict:
    return {
        "id": "TD_QE",
        "version": 2,
        "issueDate": instant(NOW - timedelta(days=2)),
        "nextUpdate": instant(NOW + timedelta(days=28)),
        "tcbEvaluationDataNumber": 17,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": QE_SIGNER.hex().upper(),
        "isvprodid": 2,
        "tcbLevels": [
            {"tcb": {"isvsvn": 4}, "tcbDate": "2030-03-01T00:00:00Z", "tcbStatus": "UpToDate"},
            {"tcb": {"isvsvn": 2}, "tcbDate": "2029-03-01T00:00:00Z", "tcbStatus": "OutOfDate"},
        ],
    }


class SimulatedTdx:
    """One platform and one TD on it. Change an attribute before :meth:`quote`; what signs it signs the change."""

    def __init__(self, intel: SimulatedIntel | None = None, *, version: int = 4, body_type: int = 2) -> None:
        self.intel = intel or SimulatedIntel()
        self.version, self.body_type, self.key_type, self.tee_type = version, body_type, 2, 0x81
        self.vendor, self.user_data = VENDOR, bytes(20)
        self.tee_tcb_svn = bytes((6, 1, 3)) + bytes(13)
        self.tee_tcb_svn_2 = self.tee_tcb_svn
        self.mr_seam, self.mr_signer_seam, self.seam_attributes = b"\x5b" * 48, bytes(48), bytes(8)
        self.attributes, self.xfam = ATTRIBUTES, XFAM
        self.mr_td, self.mr_config_id, self.mr_owner = b"\x01" * 48, bytes(48), bytes(48)
        self.mr_owner_config, self.mr_service_td = bytes(48), bytes(48)
        self.rtmrs = [b"\x10" * 48, b"\x11" * 48, b"\x12" * 48, bytes(48)]
        self.report_data = bytes(range(64))
        self.ak = ec_key("tdx ak")
        self.ak_bytes: bytes | None = None
        self.qe_auth_data = bytes(range(32))
        self.qe_misc_select, self.qe_attributes = bytes(4), bytes.fromhex("15000000000000000700000000000000")
        self.qe_signer, self.qe_product, self.qe_svn = QE_SIGNER, 2, 6
        self.qe_report_data: bytes | None = None
        self.components, self.pce_svn = bytes((3, 3, 2, 2, 4, 1, 0, 5)) + bytes(8), 13
        self.pck = Certified("Intel SGX PCK Certificate", ec_key("pck"), self.intel.platform_ca, serial=20)
        self.fmspc, self.pce_id, self.ppid, self.sgx_type = FMSPC, PCE_ID, PPID, 1
        self.extension: bytes | None = None
        self.chain: tuple[Certified, ...] = (self.intel.platform_ca, self.intel.root)
        self.pem_tail = b"\0"
        self.certification_types = (6, 5)
        self.sign_quote_with = self.sign_qe_with = None
        self.padding = bytes(70)

    def change(self, path: str, value: object) -> SimulatedTdx:
        """Set one thing by its path: attributes, keys and list indexes, ``intel.tcb_info.tcbLevels.0.tcbStatus``."""
        *way, last = path.split(".")
        found: object = self
        for step in way:
            found = _inside(found, step)
        if isinstance(found, dict):
            found[last] = value
        elif isinstance(found, list):
            found[int(last)] = value
        else:
            assert hasattr(found, last), path
            setattr(found, last, value)
        return self

    def sgx_extensions(self) -> bytes:
        tcb = b"".join(sgx_pair((2, i), integer(svn)) for i, svn in enumerate(self.components, 1))
        tcb += sgx_pair((2, 17), integer(self.pce_svn)) + sgx_pair((2, 18), element(4, self.components))
        configuration = b"".join(sgx_pair((7, i), element(1, b"\xff")) for i in (1, 2, 3))
        return element(
            0x30,
            sgx_pair((1,), element(4, self.ppid))
            + sgx_pair((2,), element(0x30, tcb))
            + sgx_pair((3,), element(4, self.pce_id))
            + sgx_pair((4,), element(4, self.fmspc))
            + sgx_pair((5,), element(0x0A, bytes((self.sgx_type,))))
            + sgx_pair((6,), element(4, bytes(16)))
            + sgx_pair((7,), element(0x30, configuration)),
        )

    def header(self) -> bytes:
        head = struct.pack("<HHI4x", self.version, self.key_type, self.tee_type) + self.vendor + self.user_data
        return head + (struct.pack("<HI", self.body_type, _SIZES[self.body_type]) if self.version == 5 else b"")

    def body(self) -> bytes:
        body = self.tee_tcb_svn + self.mr_seam + self.mr_signer_seam + self.seam_attributes
        body += struct.pack("<QQ", self.attributes, self.xfam)
        body += self.mr_td + self.mr_config_id + self.mr_owner + self.mr_owner_config
        body += b"".join(self.rtmrs) + self.report_data
        return body + (self.tee_tcb_svn_2 + self.mr_service_td if self.body_type == 3 else b"")

    def attestation_key(self) -> bytes:
        if self.ak_bytes is not None:
            return self.ak_bytes
        numbers = self.ak.public_key().public_numbers()
        return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    def qe_report(self) -> bytes:
        named = sha256(self.attestation_key() + self.qe_auth_data).digest() + bytes(32)
        report = bytes(16) + self.qe_misc_select + bytes(28) + self.qe_attributes + bytes(32) + bytes(32)
        report += self.qe_signer + bytes(96) + struct.pack("<HH", self.qe_product, self.qe_svn) + bytes(60)
        return report + (self.qe_report_data or named)

    def pck_chain(self) -> bytes:
        self.pck.extension = self.sgx_extensions() if self.extension is None else self.extension
        return b"".join(link.pem for link in (self.pck, *self.chain)) + self.pem_tail

    def quote(self) -> bytes:
        signed = self.header() + self.body()
        report, outer, inner = self.qe_report(), *self.certification_types
        certification = report + raw_signature(self.sign_qe_with or self.pck.key, report)
        certification += struct.pack("<H", len(self.qe_auth_data)) + self.qe_auth_data
        pem = self.pck_chain()
        certification += struct.pack("<HI", inner, len(pem)) + pem
        data = raw_signature(self.sign_quote_with or self.ak, signed) + self.attestation_key()
        data += struct.pack("<HI", outer, len(certification)) + certification
        return signed + struct.pack("<I", len(data)) + data + self.padding


def _inside(value: object, step: str) -> object:
    if isinstance(value, dict):
        return value[step]
    return value[int(step)] if isinstance(value, list) else getattr(value, step)


# ---- event logs of TDs ----

GLOBAL = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
SECURITY = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")


def variable(vendor: bytes, text: str, value: bytes = b"") -> bytes:
    return vendor + struct.pack("<QQ", len(text), len(value)) + text.encode("utf-16-le") + value


@dataclass
class Logged:
    """One event; without a digest of its own it is of its data."""

    register: int
    kind: int
    data: bytes
    digest: bytes | None = None

    @property
    def measured(self) -> bytes:
        return sha384(self.data).digest() if self.digest is None else self.digest


def td_log() -> list[Logged]:
    """Log what EDK2 does for a TD with Secure Boot off that boots a kernel."""
    boot = variable(GLOBAL, "Boot0000", b"\1\0\0\0\2\0A\0\0\0")
    order = variable(GLOBAL, "BootOrder", b"\0\0")
    return [
        Logged(1, 0x8000000B, b"\x09TdxTable\0" + bytes(32), sha384(b"memory map").digest()),
        Logged(1, 0x8000000A, b")Fv(XXXXXXXX)" + bytes(16), sha384(b"configuration").digest()),
        Logged(1, 0x80000001, variable(GLOBAL, "SecureBoot", b"\0")),
        Logged(1, 0x80000001, variable(GLOBAL, "PK")),
        Logged(1, 0x80000001, variable(GLOBAL, "KEK")),
        Logged(1, 0x80000001, variable(SECURITY, "db")),
        Logged(1, 0x80000001, variable(SECURITY, "dbx")),
        Logged(1, 0x4, bytes(4)),
        Logged(1, 0xA, b"ACPI DATA", sha384(b"DSDT").digest()),
        Logged(2, 0x80000003, b"image", sha384(b"authenticode").digest()),
        Logged(1, 0x80000002, order, sha384(b"\0\0").digest()),
        Logged(1, 0x8000000C, boot),
        Logged(2, 0x80000007, b"Calling EFI Application from Boot Option"),
        Logged(1, 0x4, bytes(4)),
        Logged(3, 0x6, b"command line", sha384(b"command line").digest()),
        Logged(0, 0x3, b"SP800-155 Event3", bytes(48)),
    ]


def serialise(events: list[Logged], *, padding: bytes = b"\xff" * 4096, banks: tuple[int, ...] = (0xC,)) -> bytes:
    sizes = {0xC: 48, 0xB: 32}
    spec = struct.pack("<16sIBBBBI", b"Spec ID Event03\0", 0, 0, 2, 0, 2, len(banks))
    spec += b"".join(struct.pack("<HH", bank, sizes[bank]) for bank in banks) + b"\0"
    log = struct.pack("<II20sI", 1, 3, bytes(20), len(spec)) + spec
    for event in events:
        log += struct.pack("<III", event.register, event.kind, len(banks))
        log += b"".join(struct.pack("<H", bank) + event.measured.ljust(48, b"\0")[: sizes[bank]] for bank in banks)
        log += struct.pack("<I", len(event.data)) + event.data
    return log + padding


def extended(events: list[Logged]) -> tuple[bytes, bytes, bytes, bytes]:
    """Return what the TDX module holds after these events."""
    values = [bytes(48)] * 4
    for event in events:
        if event.kind != 3 and event.register:
            values[event.register - 1] = sha384(values[event.register - 1] + event.measured).digest()
    return tuple(values)
