"""TPMs of clouds under test CAs: keys, certificates, quotes, logs and Azure's report. Every attribute is a knob."""

from __future__ import annotations

import base64
import json
import struct
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from client_sdk.parse.gce import INSTANCE_INFO
from client_sdk.parse.public import parse_public
from client_sdk.verify.quote import AttestationKey
from tests.fakes import boot_log
from tests.fakes.boot_log import Logged
from tests.fakes.instance_info import instance_info
from tests.fakes.keys import REPEATABLE, ecdsa, pss_signature, rsa_key
from tests.fakes.simulated_vm import TestCa as CaOfAnyTime
from tests.fakes.simulated_vm import selection, usage

NOW = datetime(2026, 6, 1, tzinfo=UTC)

ALL_PCRS = tuple(range(24))
RSASSA, RSAPSS, ECDSA = 0x0014, 0x0016, 0x0018
HASHES: dict[int, hashes.HashAlgorithm] = {
    0x0004: hashes.SHA1(),  # noqa: S303 - what a verifier must refuse has to be made
    0x000B: hashes.SHA256(),
    0x000C: hashes.SHA384(),
    0x000D: hashes.SHA512(),
    0x0012: hashes.SM3(),
}
SIZES = {0x0004: 20, 0x000B: 32, 0x000C: 48, 0x000D: 64, 0x0012: 32}
AK_PURPOSE, EK_PURPOSE = "2.23.133.8.3", "2.23.133.8.1"
TestCa = partial(CaOfAnyTime, since=NOW)
Extension = tuple[x509.ExtensionType, bool]


def eku(*oids: str) -> Extension:
    return x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in oids]), False


@cache
def google_root() -> CaOfAnyTime:
    return TestCa("EK/AK CA Root", key=rsa_key("google root"), extensions=_ca_extensions(rsa_key("google root"), None))


@cache
def azure_root() -> CaOfAnyTime:
    key = rsa_key("azure root")
    return TestCa("Azure Virtual TPM Root", key=key, extensions=_ca_extensions(key, None))


def intermediate(
    name: str, parent: CaOfAnyTime, *, path_length: int | None = None, purposes: tuple[str, ...] = ()
) -> CaOfAnyTime:
    key = rsa_key(name)
    return TestCa(name, key=key, parent=parent, extensions=_ca_extensions(key, path_length, *purposes))


def _ca_extensions(key, path_length: int | None, *purposes: str) -> list[Extension]:
    found: list[Extension] = [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (usage("key_cert_sign", "crl_sign"), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    return found + ([eku(*purposes)] if purposes else [])


class CloudTpm:
    """A TPM whose attestation key a cloud certified."""

    def __init__(self, root: CaOfAnyTime, ca: CaOfAnyTime, name: str):
        self.root, self.ca, self.others = root, ca, (ca.der,)
        self.ak: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = rsa_key(f"ak {name}")
        self.sign_with: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None
        self.scheme, self.attributes = (RSASSA, 0x000B), 0x00050072
        self.symmetric = b"\0\x10"  # TPM_ALG_NULL
        self.told_scheme: tuple[int, int] | None = None
        self.size: int | None = None  # None: the key's own
        self.bank, self.selected = 0x000B, ALL_PCRS
        self.digested: tuple[int, ...] | None = None  # None: what is selected
        self.pcrs = {pcr: bytes([pcr + 1]) * SIZES[self.bank] for pcr in ALL_PCRS}
        self.magic, self.kind = 0xFF544347, 0x8018
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.dates: tuple[datetime, datetime] = (NOW - timedelta(days=1), NOW + timedelta(days=365))
        self.hash: hashes.HashAlgorithm = hashes.SHA256()
        self.extensions: dict[str, Extension] = {"usage": (usage("digital_signature"), True)}

    def certificate(self) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(self.ca.name)
            .public_key(self.ak.public_key())
            .serial_number(7)
            .not_valid_before(self.dates[0])
            .not_valid_after(self.dates[1])
        )
        for value, critical in self.extensions.values():
            builder = builder.add_extension(value, critical)
        return builder.sign(self.ca.key, self.hash).public_bytes(serialization.Encoding.DER)

    @property
    def certificates(self) -> tuple[bytes, ...]:
        return (self.certificate(), *self.others)

    def public(self) -> bytes:
        """Return the key's public area."""
        numbers, scheme = self.ak.public_key().public_numbers(), self.symmetric + struct.pack(">HH", *self.scheme)
        if isinstance(numbers, rsa.RSAPublicNumbers):
            head, size = 0x0001, self.ak.key_size
            body = struct.pack(">HI", self.size or size, 0) + _tpm2b(numbers.n.to_bytes(size // 8, "big"))
        else:
            head, size = 0x0023, (self.ak.curve.key_size + 7) // 8
            curve = {"secp256r1": 3, "secp384r1": 4, "secp521r1": 5}[self.ak.curve.name]
            body = struct.pack(">HH", self.size or curve, 0x0010)
            body += _tpm2b(numbers.x.to_bytes(size, "big")) + _tpm2b(numbers.y.to_bytes(size, "big"))
        return struct.pack(">HHIH", head, 0x000B, self.attributes, 0) + scheme + body

    def ak_name(self) -> bytes:
        return parse_public(self.public()).name

    def key(self) -> AttestationKey:
        return AttestationKey(self.ak.public_key(), *self.scheme)

    def attest(self, nonce: bytes) -> bytes:
        body = struct.pack(">IH", self.magic, self.kind) + _tpm2b(b"\x00\x0b" + bytes(32)) + _tpm2b(nonce)
        body += struct.pack(">QIIBQ", 1000, 3, 0, 1, 0x2020031200120003)
        body += struct.pack(">I", 1) + selection(self.bank, self.selected)
        digest = hashes.Hash(HASHES[self.scheme[1]])  # the signature's hash, whatever the bank's is
        digest.update(b"".join(self.pcrs[pcr] for pcr in self.digested or self.selected))
        return body + _tpm2b(digest.finalize())

    def raw_signature(self, message: bytes) -> bytes:
        key, used = self.sign_with or self.ak, HASHES[self.scheme[1]]
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, ecdsa(used))
        if self.scheme[0] == RSAPSS and REPEATABLE["signatures"]:
            return pss_signature(key, message, used)
        if self.scheme[0] == RSAPSS:
            return key.sign(message, padding.PSS(padding.MGF1(used), padding.PSS.MAX_LENGTH), used)
        return key.sign(message, padding.PKCS1v15(), used)

    def signature(self, message: bytes) -> bytes:
        raw, head = self.raw_signature(message), struct.pack(">HH", *(self.told_scheme or self.scheme))
        if self.scheme[0] == ECDSA:
            size = (self.ak.curve.key_size + 7) // 8
            return head + b"".join(_tpm2b(number.to_bytes(size, "big")) for number in decode_dss_signature(raw))
        return head + _tpm2b(raw)


class GoogleTpm(CloudTpm):
    """A virtual TPM of Google's, in the hierarchy of today; :meth:`make_legacy` turns it into one of before 2022."""

    def __init__(self, name: str = "218557372616137117"):
        root = google_root()
        super().__init__(root, intermediate("EK/AK CA Intermediate", root, purposes=(EK_PURPOSE,)), name)
        self.extensions |= {
            "constraints": (x509.BasicConstraints(ca=False, path_length=None), True),
            "instance": self.instance(),
        }

    @staticmethod
    def instance(**changes) -> Extension:
        return x509.UnrecognizedExtension(x509.ObjectIdentifier(INSTANCE_INFO), instance_info(**changes)), False

    def make_legacy(self) -> None:
        model = [("2.23.133.2.1", "id:474F4F47"), ("2.23.133.2.2", "vTPM"), ("2.23.133.2.3", "id:20160511")]
        name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), text) for oid, text in model])
        self.subject = x509.Name([])
        self.extensions["eku"] = eku(EK_PURPOSE)  # as Google wrote it on attestation keys, too
        self.extensions["san"] = (x509.SubjectAlternativeName([x509.DirectoryName(name)]), True)


class AzureTpm(CloudTpm):
    """A virtual TPM of Azure's paravisor, with the report that binds it to the CPU's."""

    def __init__(self, name: str = "0.ConfidentialVM.Azure.test", report_type: int = 2):
        root, purposes = azure_root(), (EK_PURPOSE, AK_PURPOSE)
        ca = intermediate("Global Virtual TPM CA - 03", root, path_length=0, purposes=purposes)
        super().__init__(root, ca, name)
        self.extensions["eku"] = eku("1.3.6.1.4.1.311.10.3.12", AK_PURPOSE)
        self.report_type, self.slot_type = report_type, report_type
        self.user_data = bytes(range(64))
        self.claims: dict[str, object] = {
            "keys": [jwk("HCLAkPub", self.ak.public_key()), jwk("HCLEkPub", rsa_key("ek azure").public_key())],
            "vm-configuration": {
                "console-enabled": False,
                "root-cert-thumbprint": "",
                "secure-boot": True,
                "tpm-enabled": True,
                "tpm-persisted": True,
                "vmUniqueId": "390CBCF5-6C67-4D9B-98EF-C3F1699CC8FC",
            },
            "user-data": self.user_data.hex().upper(),
        }
        self.runtime: bytes | None = None  # None: the claims as JSON
        self.report_data: bytes | None = None  # None: as the paravisor makes it
        self.header: dict[int, bytes] = {}  # offset → bytes that are written over the report

    @property
    def vm_id(self) -> str:
        return str(self.claims["vm-configuration"].get("vmUniqueId", ""))

    def make_four_deep(self) -> None:
        """Put a second intermediate between root and leaf, as Azure has since 2026."""
        policy = intermediate("Azure Cloud Virtual TPM CA", self.root, path_length=1, purposes=(AK_PURPOSE,))
        self.ca = intermediate("Azure Cloud Virtual TPM CA - 24", policy, path_length=0, purposes=(AK_PURPOSE,))
        self.others = (policy.der, self.ca.der)

    def runtime_data(self) -> bytes:
        return self.runtime if self.runtime is not None else json.dumps(self.claims, separators=(",", ":")).encode()

    def signed_data(self) -> bytes:
        """Return the report data of the CPU's report."""
        return self.report_data or sha256(self.runtime_data()).digest() + bytes(32)

    def hcl_report(self) -> bytes:
        runtime = self.runtime_data()
        slot = bytearray(1184)
        slot[0] = {2: 3, 4: 0x81}[self.slot_type]
        start = {2: 0x50, 4: 128}[self.slot_type]
        slot[start : start + 64] = self.signed_data()
        size = 1236 + len(runtime)
        report = struct.pack("<4sIIII12x", b"HCLA", 2, size, 2, 0) + slot
        report += struct.pack("<IIIII", 20 + len(runtime), 1, self.report_type, 1, len(runtime)) + runtime
        changed = bytearray(report.ljust(2600, b"\0"))
        for offset, data in self.header.items():
            changed[offset : offset + len(data)] = data
        return bytes(changed)

    def td_quote(self, version: int = 4) -> bytes:
        """Return as much of a TD quote as names the report data."""
        start = {4: 48, 5: 54}[version] + 520
        return (struct.pack("<H", version).ljust(start, b"\0") + self.signed_data()).ljust(5000, b"\0")


def jwk(kid: str, key: rsa.RSAPublicKey) -> dict[str, object]:
    numbers = key.public_numbers()
    return {"kid": kid, "key_ops": ["sign"], "kty": "RSA", "e": base64url(numbers.e), "n": base64url(numbers.n)}


def base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def gce_log(*, technology: int = 3, version: str = "2", image_pcr: int = 2, image: bytes = b"uki") -> list[Logged]:
    """Return a boot on Google's firmware: what it measures differently from OVMF, then our image as everywhere."""
    events = [event for event in boot_log.boot_log(image=image) if event.pcr or event.kind == boot_log.SEPARATOR]
    told = f"GCE Virtual Firmware v{version}".encode("utf-16-le") + b"\0\0"
    events[:0] = [
        Logged(0, 0x8, told),
        Logged(0, 0x11, b"GCE NonHostInfo\0" + bytes([technology]) + bytes(15)),
    ]
    if image_pcr == 4:
        return events
    moved = []
    for event in events:
        first = event.kind == boot_log.IMAGE and event.extended() == boot_log.authenticode(image)
        place = image_pcr if first or event.kind == boot_log.GPT else event.pcr
        moved.append(Logged(place, event.kind, event.data, event.digest))
    return moved


def many_banks(events: list[Logged], *banks: int, legacy: bool = False) -> bytes:
    """Write a log with these banks, or in the SHA-1 form that had no header."""

    def digest(bank: int, event: Logged) -> bytes:
        if event.digest and bank == 0x000B:
            return event.digest
        computed = hashes.Hash(HASHES[bank])
        computed.update(event.digest or event.data)
        return computed.finalize()

    if legacy:
        return b"".join(struct.pack("<II20sI", e.pcr, e.kind, digest(4, e), len(e.data)) + e.data for e in events)
    table = b"".join(struct.pack("<HH", bank, SIZES[bank]) for bank in banks)
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 0, 2, len(banks)) + table + b"\0"
    out = struct.pack("<II20sI", 0, boot_log.NO_ACTION, bytes(20), len(spec)) + spec
    for event in events:
        digests = b"".join(struct.pack("<H", bank) + digest(bank, event) for bank in banks)
        out += struct.pack("<III", event.pcr, event.kind, len(banks)) + digests
        out += struct.pack("<I", len(event.data)) + event.data
    return out


def replayed(events: list[Logged]) -> dict[int, bytes]:
    """Return what the SHA-256 bank holds for the PCRs that the events extend."""
    return {pcr: boot_log.replay(events, pcr) for pcr in {e.pcr for e in events if e.kind != boot_log.NO_ACTION}}


def _tpm2b(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
