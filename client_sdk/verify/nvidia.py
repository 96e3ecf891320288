"""One NVIDIA device, GPU or NVSwitch: it is genuine, it answered now, and it runs the firmware that was certified.

(G1.1) The certificates chain to NVIDIA's pinned device root, rule by rule in ``chain.py``. No name is looked at: the
chains of NVSwitches pass through a CA named after a GPU.
(G1.2) The first certificate is a device's: no CA's (G1.2.1), for digital signatures (G1.2.2), with a key on P-384
(G1.2.3).
(G1.3) The request asked for all measurements, signed.
(G1.4) The device's key signed request and response, as received, with SHA-384.
(G1.5) The firmware id in the report, where it has one, is the one that the boot ROM certified.
(G1.6) OCSP responses that come along hold, rule by rule in ``ocsp.py``. The first certificate has none by design: the
device's boot ROM issues it anew for each firmware.
(G2.1) The caller's nonce is 32 bytes, and (G2.2) the signed *request* carries it. The response's own nonce is the
device's and proves nothing.
(G3.12) Devices are told apart by the key of their boot ROM, whatever firmware, and so whatever certificate, each has.
(G5.1) The evidence is what the VM measured into PCR 15 before it was sealed.

What it does not prove: that the firmware is one that NVIDIA released and that debugging is off (``rim.py``: the golden
measurements say both), that revocation was checked for every certificate (``without_ocsp`` says, a policy demands it)
and **that the confidential-computing mode is on and its devtools variant off**: no signed field says so. Since opaque
data version 1 there is a field for the *multi-GPU* mode, which is returned; NVIDIA's own claims ``secboot`` and
``dbgstat`` are nothing but "all golden measurements match". The mode has to be read from the driver by measured code
inside the VM, before it is sealed (rule G5).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.binding import NO_GPU, NONCE_SIZE
from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields
from client_sdk.parse.dice import FirmwareId, parse_firmware_id
from client_sdk.parse.nvidia import Transcript, parse_transcript
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.chain import ChainRules, VerifiedPaths, read_certificate, verify_chain
from client_sdk.verify.ocsp import OcspRules, ocsp_ids, verify_ocsp

MAX_CERTIFICATES = 8
ALL_MEASUREMENTS, SIGNED = 0xFF, 0x01
CURVE = "secp384r1"
_SUBJECT = "the device's certificate"
# The subjectAltName names chip and serial number; no rule relies on it.
_CHAIN = ChainRules("G1.1", _SUBJECT, frozenset({"2.5.29.17"}))
_SIGNATURE = ec.ECDSA(SHA384())


@dataclass(frozen=True, slots=True)
class Revocation:
    """OCSP responses that came with a chain, DER, and how old one may be besides its own dates."""

    responses: tuple[bytes, ...]
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class VerifiedDevice:
    """A device whose report :func:`verify_device` found genuine and fresh.

    ``device`` is the SHA-256 of its boot ROM's public key, the same for its whole life. ``firmware`` is what its
    certificate states. ``without_ocsp`` has the fingerprints of the certificates between device and root for which no
    answer came along; it is empty when OCSP answered *good* for each.
    """

    device: bytes
    serial: str
    is_switch: bool
    transcript: Transcript
    firmware: FirmwareId | None
    without_ocsp: tuple[bytes, ...]
    root: bytes


@keeps(*_CHAIN.ids, *ocsp_ids("G1.6"))
def verify_device(
    evidence: bytes,
    certificates: tuple[bytes, ...],
    anchors: tuple[CertificateFields, ...],
    *,
    nonce: bytes,
    revocation: Revocation,
    now: datetime,
    ledger: Ledger,
    where: str = "gpu",
    paths: VerifiedPaths | None = None,
) -> VerifiedDevice:
    """Check one device's evidence; the first certificate is the device's, the others may help, in any order.

    Raises:
        EvidenceError: evidence, a certificate or a response cannot be read.
        VerificationError: G1 or G2.
    """
    transcript = parse_transcript(evidence, where)
    if not 1 <= len(certificates) <= MAX_CERTIFICATES:
        raise EvidenceError(where, f"expected 1 to {MAX_CERTIFICATES} certificates, got {len(certificates)}")
    read = tuple([read_certificate(der, f"{where} certificate {i}", paths) for i, der in enumerate(certificates)])
    path = verify_chain(read[0], read[1:], anchors, rules=_CHAIN, now=now, ledger=ledger, paths=paths)
    verify_signed(transcript, verify_leaf(path[0], ledger=ledger), ledger=ledger)
    verify_nonce(transcript, nonce, ledger=ledger)
    firmware = verify_firmware(transcript, path[0], ledger=ledger)
    rules = OcspRules("G1.6", _SUBJECT, revocation.max_age)
    without = verify_ocsp(revocation.responses, path, first=1, rules=rules, now=now, ledger=ledger)
    rom = path[1]
    key = rom.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return VerifiedDevice(
        device=sha256(key).digest(),
        serial=f"{rom.certificate.serial_number:X}",
        is_switch=transcript.opaque.is_switch,
        transcript=transcript,
        firmware=firmware,
        without_ocsp=without,
        root=path[-1].fingerprint,
    )


@keeps("G1.2.1", "G1.2.2", "G1.2.3")
def verify_leaf(leaf: CertificateFields, *, ledger: Ledger) -> ec.EllipticCurvePublicKey:
    """Return the device's key: that of a certificate which signs reports and no certificates.

    Raises:
        VerificationError: G1.2.
    """
    key, usage = leaf.public_key, leaf.key_usage
    ledger.equal("G1.2.1", "the first certificate is a device's and not a CA's", expected=False, got=leaf.is_ca)
    ledger.holds(
        "G1.2.2",
        "the device's key is for digital signatures, and not for certificates",
        expected="digitalSignature alone",
        got=usage or "no keyUsage",
        condition=usage and usage.digital_signature and not usage.key_cert_sign,
    )
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else "RSA"
    ledger.equal("G1.2.3", "the device's key is on P-384", expected=CURVE, got=curve)
    if not isinstance(key, ec.EllipticCurvePublicKey):  # the line above refused it
        raise EvidenceError("gpu certificate 0", "the key is not on an elliptic curve")
    return key


@keeps("G1.3", "G1.4")
def verify_signed(transcript: Transcript, key: ec.EllipticCurvePublicKey, *, ledger: Ledger) -> None:
    """Check that the device signed all of its measurements, together with the request for them.

    Raises:
        VerificationError: G1.3 or G1.4.
    """
    ledger.equal(
        "G1.3",
        "the request asked for all measurements, signed",
        expected=(SIGNED, ALL_MEASUREMENTS),
        got=(transcript.param1, transcript.param2),
    )
    try:
        key.verify(encode_dss_signature(transcript.r, transcript.s), transcript.signed, _SIGNATURE)
    except InvalidSignature:
        verdict = "another key's, or over other bytes"
    else:
        verdict = "valid"
    ledger.equal("G1.4", "the device signed request and response", expected="valid", got=verdict)


@keeps("G2.1", "G2.2")
def verify_nonce(transcript: Transcript, nonce: bytes, *, ledger: Ledger) -> None:
    """Check that the signed request carries the caller's nonce.

    Raises:
        VerificationError: G2.
    """
    ledger.equal("G2.1", "the nonce for the GPU is 32 bytes", expected=NONCE_SIZE, got=len(nonce))
    ledger.holds(
        "G2.2",
        "the device answered this nonce",
        expected=nonce,
        got=transcript.nonce,
        condition=hmac.compare_digest(nonce, transcript.nonce),
    )


@keeps("G1.5")
def verify_firmware(transcript: Transcript, leaf: CertificateFields, *, ledger: Ledger) -> FirmwareId | None:
    """Return what the certificate says about firmware, after comparing it with the report where that has a firmware id.

    Reports by drivers of 2023 have none, and the report is signed: nobody can have taken it out.

    Raises:
        EvidenceError: the certificate's extension cannot be read.
        VerificationError: G1.5.
    """
    certified, stated = parse_firmware_id(leaf, "gpu certificate 0"), transcript.opaque.fwid
    if stated:
        ledger.equal(
            "G1.5",
            "the firmware that reports is the one that was certified",
            expected=certified.digest if certified else b"",
            got=stated,
        )
    return certified


@keeps("G3.12")
def verify_distinct(devices: tuple[VerifiedDevice, ...], *, ledger: Ledger) -> None:
    """Check that no device is in the list twice.

    Raises:
        VerificationError: G3.12.
    """
    identities = [device.device for device in devices]
    ledger.equal("G3.12", "the devices are distinct", expected=len(identities), got=len(set(identities)))


@keeps("G5.1")
def verify_measured(event: bytes, digest: bytes, *, ledger: Ledger) -> None:
    """Check the run-time log's ``gpu`` event against the digest of the evidence (``binding.gpu_digest``).

    That the event is in PCR 15, before *sealed*, are rules L11 and L1. That hotplug, rescan and driver binding are off
    and that losing the GPU powers the VM off is conduct of the measured image, which no evidence shows.

    Raises:
        VerificationError: G5.1.
    """
    expected = digest or NO_GPU
    ledger.equal("G5.1", "the GPU evidence was taken before the VM was sealed", expected=expected, got=event)
