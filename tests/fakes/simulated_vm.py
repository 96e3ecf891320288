"""A VM that signs real-format evidence under test roots. Every attribute is a knob that breaks one thing."""

from __future__ import annotations

import hmac
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.x509.oid import NameOID

from client_sdk.binding import LOCKDOWN, NO_GPU, SEALED, extra_data, merkle_tree, runtime_digest
from client_sdk.dsse import sign
from client_sdk.evidence import PCRS, Evidence, Quote, RuntimeEvent
from client_sdk.publisher import Publisher
from client_sdk.release import EXACT_PCRS, Measurement, Release, TemplateEvent
from client_sdk.verifier import challenge
from client_sdk.verify.activation import Activation, ActivationRequest
from tests.fakes import boot_log
from tests.fakes.keys import ec_key, ecdsa, rsa_key

NOW = datetime.now(UTC).replace(microsecond=0)  # tests over the network judge by the real clock
DIRECTORY = [("2.23.133.2.1", "id:00001014"), ("2.23.133.2.2", "swtpm"), ("2.23.133.2.3", "id:20191023")]
AK_ATTRIBUTES = 0x00050072
PHASES = ("sysinit", "ready")


@cache
def publisher_key(name: str = "publisher") -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def usage(*flags: str) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign "
        "crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: name in flags for name in names.split()})


class TestCa:
    """A TPM maker's CA: self-signed, as launch makes it for swtpm."""

    __test__ = False

    def __init__(self, name: str = "test CA", *, key=None, extensions=None, parent: TestCa | None = None, since=NOW):
        self.key, self.name = key or ec_key(f"ca {name}"), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.since, signer = since, parent or self
        builder = self._builder(signer.name)
        for value, critical in extensions or self.default_extensions():
            builder = builder.add_extension(value, critical)
        repeatable = True if isinstance(signer.key, ec.EllipticCurvePrivateKey) else None
        self.certificate = builder.sign(signer.key, hashes.SHA256(), ecdsa_deterministic=repeatable)

    def _builder(self, issuer):
        return (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(self.since - timedelta(days=30))
            .not_valid_after(self.since + timedelta(days=3650))
        )

    def default_extensions(self, path_length: int | None = 0):
        return [
            (x509.BasicConstraints(ca=True, path_length=path_length), True),
            (usage("key_cert_sign"), True),
            (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
        ]

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@cache
def default_ca() -> TestCa:
    """Return the one CA of VMs that do not care: a self-signed certificate differs each time it is made."""
    return TestCa()


def ek_extensions(ca: TestCa) -> dict[str, tuple[x509.ExtensionType, bool]]:
    """Return the extensions that swtpm_localca writes into an EK certificate, by a short name."""
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), text) for oid, text in DIRECTORY])
    return {
        "eku": (x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.23.133.8.1")]), False),
        "san": (x509.SubjectAlternativeName([x509.DirectoryName(name)]), True),
        "constraints": (x509.BasicConstraints(ca=False, path_length=None), True),
        "aki": (x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), False),
        "usage": (usage("key_encipherment"), True),
    }


def tls_certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vitrine")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(9999, 12, 31, tzinfo=UTC))
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def spki(certificate: bytes) -> bytes:
    key = x509.load_der_x509_certificate(certificate).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).digest()


class SimulatedVm:
    """One VM. Change an attribute before :meth:`evidence`; each is used where the real part would use it."""

    def __init__(self, name: str = "vm", ca: TestCa | None = None):
        self.ca = ca or default_ca()
        self.platform = "local-qemu"
        self.ek, self.ak, self.tls = rsa_key(f"ek {name}"), ec_key(f"ak {name}"), ec_key(f"tls {name}")
        self.ek_extensions = ek_extensions(self.ca)
        self.ek_dates = (NOW - timedelta(hours=1), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
        self.ek_hash: hashes.HashAlgorithm = hashes.SHA256()
        self.intermediates: tuple[bytes, ...] = ()
        self.tls_certificate = tls_certificate(self.tls)
        self.log = boot_log.boot_log()
        self.told_log: list[boot_log.Logged] | None = None  # None: the log that was extended
        self.start = {0: bytes(32)}
        self.phases = PHASES
        self.runtime = [
            RuntimeEvent("lockdown", LOCKDOWN),
            RuntimeEvent("tls-spki", spki(self.tls_certificate)),
            RuntimeEvent("gpu", NO_GPU),
            RuntimeEvent("sealed", SEALED),
        ]
        self.told_runtime: list[RuntimeEvent] | None = None
        self.extra_extends: dict[int, bytes] = {}  # an event that no log tells
        self.ak_attributes, self.ak_scheme = AK_ATTRIBUTES, (0x0018, 0x000B)
        self.magic, self.kind = 0xFF544347, 0x8018
        self.bank, self.selected = 0x000B, PCRS
        self.selections: list[bytes] | None = None
        self.signature_head = (0x0018, 0x000B)
        self.attest_tail = self.signature_tail = self.public_tail = b""
        self.gpu_digest = b""
        self.clock = (1000, 3, 0, 1)  # clock, resetCount, restartCount, safe
        self.changes: dict[str, object] = {}  # fields of the evidence, changed at the end
        self.sign_with: ec.EllipticCurvePrivateKey | None = None

    def pcrs(self) -> dict[int, bytes]:
        """Return what the TPM holds."""
        values = {pcr: boot_log.replay(self.log, pcr, self.start.get(pcr, bytes(32))) for pcr in PCRS}
        for phase in self.phases:
            values[11] = sha256(values[11] + sha256(phase.encode()).digest()).digest()
        for event in self.runtime:
            values[15] = sha256(values[15] + runtime_digest(event.kind, event.data)).digest()
        for pcr, digest in self.extra_extends.items():
            values[pcr] = sha256(values[pcr] + digest).digest()
        return values

    def public(self) -> bytes:
        numbers = self.ak.public_key().public_numbers()
        body = struct.pack(">HHIH", 0x0023, 0x000B, self.ak_attributes, 0)
        body += struct.pack(">HHHHH", 0x0010, *self.ak_scheme, 0x0003, 0x0010)
        return body + b"".join(_tpm2b(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y)) + self.public_tail

    def ak_name(self) -> bytes:
        return b"\x00\x0b" + sha256(self.public()).digest()

    def ek_certificate(self) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "unknown")]))
            .issuer_name(self.ca.name)
            .public_key(self.ek.public_key())
            .serial_number(3)
            .not_valid_before(self.ek_dates[0])
            .not_valid_after(self.ek_dates[1])
        )
        for value, critical in self.ek_extensions.values():
            builder = builder.add_extension(value, critical)
        return builder.sign(self.ca.key, self.ek_hash).public_bytes(serialization.Encoding.DER)

    def attest(self, signed: bytes, pcrs: dict[int, bytes]) -> bytes:
        body = struct.pack(">IH", self.magic, self.kind) + _tpm2b(b"\x00\x0b" + bytes(32)) + _tpm2b(signed)
        body += struct.pack(">QIIBQ", *self.clock, 0x20191023_00163636)
        selections = self.selections or [selection(self.bank, self.selected)]
        body += struct.pack(">I", len(selections)) + b"".join(selections)
        digest = sha256(b"".join(pcrs.get(index, bytes(32)) for index in self.selected)).digest()
        return body + _tpm2b(digest) + self.attest_tail

    def signature(self, message: bytes) -> bytes:
        der = (self.sign_with or self.ak).sign(message, ecdsa(hashes.SHA256()))
        parts = b"".join(_tpm2b(n.to_bytes(32, "big")) for n in decode_dss_signature(der))
        return struct.pack(">HH", *self.signature_head) + parts + self.signature_tail

    def evidence(self, nonce: bytes, others: tuple[bytes, ...] = ()) -> Evidence:
        """Answer one nonce, together with others that wait (behind it in the tree)."""
        pcrs = self.pcrs()
        root, places = merkle_tree((nonce, *others))
        signed = extra_data(root, 1 + len(others), spki(self.tls_certificate), self.gpu_digest)
        attest = self.attest(signed, pcrs)
        runtime = self.runtime if self.told_runtime is None else self.told_runtime
        evidence = Evidence(
            platform=self.platform,
            tls_certificate=self.tls_certificate,
            ak_public=self.public(),
            ak_certificates=(),
            ek_certificates=(self.ek_certificate(), *self.intermediates),
            quote=Quote(attest, self.signature(attest), places[0]),
            pcrs=tuple((index, pcrs[index]) for index in PCRS),
            event_log=boot_log.serialise(self.log if self.told_log is None else self.told_log),
            runtime_log=tuple(runtime),
        )
        return replace(evidence, **self.changes)

    def activate(self, request: ActivationRequest) -> bytes:
        """Do what TPM2_ActivateCredential does; another name or key gives nothing back."""
        blob, seed = request.credential_blob, request.encrypted_secret
        (integrity,), identity = _split(blob, 1), blob[2 + int.from_bytes(blob[:2], "big") :]
        seed = self.ek.decrypt(seed, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\0"))
        name = self.ak_name()
        if hmac.digest(_kdfa(seed, b"INTEGRITY", b"", 256), identity + name, "sha256") != integrity:
            raise ValueError("TPM_RC_INTEGRITY")
        cipher = Cipher(AES(_kdfa(seed, b"STORAGE", name, 128)), CFB(bytes(16))).decryptor()
        return _split(cipher.update(identity) + cipher.finalize(), 1)[0]

    def activation(self, evidence: Evidence, random) -> Activation:
        request, state = challenge(evidence, random)
        return Activation(state, self.activate(request))


def selection(bank: int, indexes: tuple[int, ...]) -> bytes:
    bitmap = sum(1 << index for index in indexes)
    return struct.pack(">HB", bank, 3) + bitmap.to_bytes(3, "little")


def measurement(vm: SimulatedVm | None = None) -> Measurement:
    """State what a VM that nobody touched measures."""
    vm = vm or SimulatedVm()
    pcrs = vm.pcrs()
    return Measurement(
        platform="local-qemu",
        boot_mode="uefi",
        image_pcr=4,
        image_authenticode=boot_log.authenticode(b"uki"),
        pcrs=tuple((index, pcrs[index]) for index in EXACT_PCRS),
        pcr0_allowed=(),
        phases=PHASES,
        pcr15_template=(
            TemplateEvent("lockdown", LOCKDOWN),
            TemplateEvent("tls-spki", None),
            TemplateEvent("gpu", NO_GPU),
            TemplateEvent("sealed", SEALED),
        ),
    )


def release(number: int = 1, measured: Measurement | None = None, *, since: datetime = NOW) -> Release:
    return Release(
        number=number,
        not_before=since - timedelta(days=1),
        not_after=since + timedelta(days=30),
        supersedes=None,
        revokes=(),
        service="vitrine",
        manifest_sha256=sha256(b"manifest").digest(),
        measurements=(measured or measurement(),),
    )


def signed(value: Release, key: Ed25519PrivateKey | None = None) -> bytes:
    return sign(value.to_statement(), (key or publisher_key(),))


def publisher(key: Ed25519PrivateKey | None = None) -> Publisher:
    return Publisher(keys=((key or publisher_key()).public_key(),))


def _tpm2b(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _split(data: bytes, count: int) -> tuple[bytes, ...]:
    found, offset = [], 0
    for _ in range(count):
        size = int.from_bytes(data[offset : offset + 2], "big")
        found.append(data[offset + 2 : offset + 2 + size])
        offset += 2 + size
    return tuple(found)


def _kdfa(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    message = (1).to_bytes(4, "big") + label + b"\0" + context + bits.to_bytes(4, "big")
    return hmac.digest(key, message, "sha256")[: bits // 8]
