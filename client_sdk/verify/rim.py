"""RIM files, and a device's measurements against them.

The file:
(G3.1) Its signature says what NVIDIA's say: over the whole document, by reference to it alone (URI ""), without itself
(enveloped), in inclusive Canonical XML 1.1, SHA-384, ECDSA; nothing else, and nothing besides.
(G3.2) The first certificate's key signed that statement. (G3.3) The document has the digest that it states. One
without the other proves nothing.
(G3.4) The certificates chain to NVIDIA's pinned root for reference values, rule by rule in ``chain.py``. (G3.5) The
first is a signer's: no CA's (G3.5.1), for digital signatures (G3.5.2), with a key on P-384 (G3.5.3).
(G3.9) OCSP responses that come along hold, rule by rule in ``ocsp.py``.

The measurements:
(G3.6) The file is for the driver (G3.6.1: or firmware) version that the device states, and for its kind (G3.6.2).
(G3.7) Every active record of the file finds one of its alternatives in the measurement block that it is about.
(G3.8) Each version has one file (G3.8.1), and no record is in two (G3.8.2).

That both files are there is the policy's to demand (``clauses/nvidia.py``). NVIDIA's own tool leaves record 35 out when
the report says that the video decoder is off; here it is compared as well, for the files list the value it then has.

It proves that NVIDIA published these values for this version, not that the version is free of known faults: what is
outdated is revoked by its signer's certificate, or by a policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha384

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields
from client_sdk.parse.nvidia import Opaque
from client_sdk.parse.rim import Golden, Rim, XmlSignature, parse_rim
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.chain import ChainRules, VerifiedPaths, read_certificate, verify_chain
from client_sdk.verify.nvidia import CURVE, Revocation, VerifiedDevice
from client_sdk.verify.ocsp import OcspRules, ocsp_ids, verify_ocsp

C14N = "http://www.w3.org/2006/12/xml-c14n11"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
ECDSA_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
DIGEST_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#sha384"
DRIVER, FIRMWARE = "driver", "vbios"
EDITIONS = {False: "GPU", True: "SWITCH"}
SIGNATURE_SIZE = 96
_STATEMENT = (C14N, ECDSA_SHA384, (("", (ENVELOPED, C14N), DIGEST_SHA384),))
_SUBJECT = "the RIM's certificate"
_CHAIN = ChainRules("G3.4", _SUBJECT)
_SIGNATURE = ec.ECDSA(SHA384())


@dataclass(frozen=True, slots=True)
class VerifiedRim:
    """A RIM file that :func:`verify_rim` found signed by NVIDIA; ``without_ocsp`` as in ``VerifiedDevice``."""

    rim: Rim
    signer: bytes
    not_after: datetime
    without_ocsp: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True, slots=True)
class Appraisal:
    """A device whose measurements are those of the RIM files for these components: ``driver``, ``vbios``, or both."""

    device: VerifiedDevice
    components: tuple[str, ...]
    rims: tuple[VerifiedRim, ...]


def verify_rim(
    data: bytes,
    anchors: tuple[CertificateFields, ...],
    *,
    revocation: Revocation,
    now: datetime,
    ledger: Ledger,
    where: str = "rim",
    paths: VerifiedPaths | None = None,
) -> VerifiedRim:
    """Check a RIM file's signature and who vouches for it.

    Raises:
        EvidenceError: the file, a certificate in it or a response cannot be read.
        VerificationError: G3.1 to G3.5, G3.9.
    """
    rim = parse_rim(data, where)
    return verify_parsed_rim(rim, anchors, revocation=revocation, now=now, ledger=ledger, where=where, paths=paths)


@keeps(*_CHAIN.ids, *ocsp_ids("G3.9"))
def verify_parsed_rim(
    rim: Rim,
    anchors: tuple[CertificateFields, ...],
    *,
    revocation: Revocation,
    now: datetime,
    ledger: Ledger,
    where: str = "rim",
    paths: VerifiedPaths | None = None,
) -> VerifiedRim:
    """Check a RIM file that was read already, to find the answers about its signers.

    Raises:
        EvidenceError: a certificate in it or a response cannot be read.
        VerificationError: G3.1 to G3.5, G3.9.
    """
    ders = rim.signature.certificates
    read = tuple([read_certificate(der, f"{where} certificate {i}", paths) for i, der in enumerate(ders)])
    verify_statement(rim.signature, ledger=ledger)
    verify_signature(rim, verify_signer(read[0], ledger=ledger), ledger=ledger)
    path = verify_chain(read[0], read[1:], anchors, rules=_CHAIN, now=now, ledger=ledger, paths=paths)
    rules = OcspRules("G3.9", _SUBJECT, revocation.max_age)
    without = verify_ocsp(revocation.responses, path, first=0, rules=rules, now=now, ledger=ledger)
    return VerifiedRim(rim, path[0].fingerprint, min(link.not_after for link in path), without, path[-1].fingerprint)


@keeps("G3.1")
def verify_statement(signature: XmlSignature, *, ledger: Ledger) -> None:
    """Check that the signature is over the whole document and made in the one way that is accepted.

    Raises:
        VerificationError: G3.1.
    """
    references = tuple([(one.uri, one.transforms, one.digest_method) for one in signature.references])
    ledger.equal(
        "G3.1",
        "the RIM's signature is over the whole document, in the one accepted form",
        expected=_STATEMENT,
        got=(signature.canonicalization, signature.method, references),
    )


@keeps("G3.5.1", "G3.5.2", "G3.5.3")
def verify_signer(leaf: CertificateFields, *, ledger: Ledger) -> ec.EllipticCurvePublicKey:
    """Return the key of a certificate that signs files and no certificates.

    Raises:
        VerificationError: G3.5.
    """
    key, usage = leaf.public_key, leaf.key_usage
    ledger.equal("G3.5.1", "the RIM's signer is no CA", expected=False, got=leaf.is_ca)
    ledger.holds(
        "G3.5.2",
        "the RIM signer's key is for digital signatures, and not for certificates",
        expected="digitalSignature alone",
        got=usage or "no keyUsage",
        condition=usage and usage.digital_signature and not usage.key_cert_sign,
    )
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else "RSA"
    ledger.equal("G3.5.3", "the RIM signer's key is on P-384", expected=CURVE, got=curve)
    if not isinstance(key, ec.EllipticCurvePublicKey):  # the line above refused it
        raise EvidenceError("rim certificate 0", "the key is not on an elliptic curve")
    return key


@keeps("G3.2", "G3.3")
def verify_signature(rim: Rim, key: ec.EllipticCurvePublicKey, *, ledger: Ledger) -> None:
    """Check that the key signed the statement and that the document is the one that the statement is about.

    Call it after :func:`verify_statement`, which makes sure of the one reference.

    Raises:
        VerificationError: G3.2 or G3.3.
    """
    value, half = rim.signature.value, SIGNATURE_SIZE // 2
    r, s = int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big")
    try:
        key.verify(encode_dss_signature(r, s), rim.signature.signed, _SIGNATURE)
    except InvalidSignature:
        valid = False
    else:
        valid = len(value) == SIGNATURE_SIZE
    verdict = "valid" if valid else "another key's, or over another statement"
    ledger.equal("G3.2", "the RIM's signer signed its statement", expected="valid", got=verdict)
    stated = rim.signature.references[0].digest
    ledger.equal("G3.3", "the RIM has the stated digest", expected=stated, got=sha384(rim.content).digest())


@keeps("G3.6.1", "G3.6.2", "G3.8.1", "G3.8.2")
def verify_measurements(device: VerifiedDevice, rims: tuple[VerifiedRim, ...], *, ledger: Ledger) -> Appraisal:
    """Compare every golden measurement of the files with the device's; each file has to be for this device's versions.

    Raises:
        VerificationError: G3.6 to G3.8.
    """
    opaque, components = device.transcript.opaque, []
    for verified in rims:
        rim = verified.rim
        component = _component(opaque, rim.version)
        versions = (opaque.driver_version, opaque.vbios_version)
        ledger.holds(
            "G3.6.1",
            "the RIM is for the driver or the firmware that the device states",
            expected=versions,
            got=rim.version,
            condition=component,
        )
        edition = EDITIONS[device.is_switch]
        ledger.equal("G3.6.2", "the RIM is for this kind of device", expected=edition, got=rim.edition)
        _golden(rim, device.transcript.measurements, ledger)
        components.append(component)
    if not rims:
        return Appraisal(device, (), ())
    indexes = [record.index for verified in rims for record in verified.rim.golden]
    twice = sorted({index for index in indexes if indexes.count(index) > 1})
    ledger.equal("G3.8.1", "there is one RIM for each version", expected=len(set(components)), got=len(components))
    ledger.equal("G3.8.2", "no measurement is in two RIMs", expected=[], got=twice)
    return Appraisal(device, tuple(components), rims)


def _component(opaque: Opaque, version: str) -> str:
    """Return what a file of this version is for; empty for none of the device's."""
    if version and version == opaque.driver_version:
        return DRIVER
    return FIRMWARE if version and version == opaque.vbios_version else ""


@keeps("G3.7")
def _golden(rim: Rim, measurements: dict[int, bytes], ledger: Ledger) -> None:
    wrong = [record for record in rim.golden if measurements.get(record.index + 1) not in record.values]
    ledger.holds(
        "G3.7",
        f"the device has all measurements that the RIM names ({len(rim.golden)}, RIM of {rim.version})",
        expected=[_spell(record) for record in wrong] or "all of them",
        got=[measurements.get(record.index + 1, b"") for record in wrong] or "all of them",
        condition=rim.golden and not wrong,
    )


def _spell(record: Golden) -> str:
    return f"record {record.index} ({record.name}): {' or '.join(value.hex() for value in record.values)}"
