"""NVIDIA's RIM service and OCSP: what the report of a GPU or a switch needs.

A RIM file is named by what the device says of itself: a driver's by chip and version, firmware's by project, SKUs and
version. Hopper states no chip and its certificate has the older form of firmware id; Blackwell states it since field 35
(CHIP_INFO) exists. An LS10 switch states no SKUs: NVIDIA's own verifier has them as constants.

OCSP is asked about every certificate between the device's own, which the boot ROM makes, and the root, and about those
of the signers of RIM files. The request has no nonce: the answer is for many readers, who bound its age.
"""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from client_sdk.errors import EvidenceError
from client_sdk.gather.chains import Pair, climb, is_root
from client_sdk.gather.wanted import Kind, Wanted
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.dice import parse_firmware_id
from client_sdk.parse.nvidia import Opaque, parse_transcript
from client_sdk.parse.rim import parse_rim

RIM = "https://rim.attestation.nvidia.com/v1/rim/"
OCSP = "https://ocsp.ndis.nvidia.com/"
CHIP_INFO = 35
_HOPPER, _BLACKWELL = "GH100", "GB100"
_SWITCH = ("5612", "0002", "890")
# These words become parts of an address and of a file's name.
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.]{0,30}[A-Za-z0-9])?")


def plan(
    evidence: bytes, certificates: tuple[bytes, ...], roots: tuple[CertificateFields, ...], where: str
) -> tuple[Wanted, ...]:
    """Say what one device needs.

    Raises:
        EvidenceError: evidence or a certificate cannot be read, or no chain leads from the first one to a root.
    """
    opaque = parse_transcript(evidence, where).opaque
    read = tuple([parse_certificate(der, f"{where} certificate {i}") for i, der in enumerate(certificates)])
    if not read:
        raise EvidenceError(where, "the device has no certificate")
    pairs = climb(read[0], (*read[1:], *roots))
    if not pairs or not is_root(pairs[-1][1]):
        raise EvidenceError(where, "the device's certificates do not lead to a root")
    firmware = parse_firmware_id(read[0], where)
    names = rim_ids(opaque, hopper=firmware is None or firmware.flags is None, where=where)
    return (*(Wanted(Kind.RIM, f"nvidia/rim/{name}.xml", (RIM + name,)) for name in names), *map(_status, pairs[1:]))


def follow(rim: bytes, roots: tuple[CertificateFields, ...]) -> tuple[Wanted, ...]:
    """Say what a RIM file needs: OCSP for its signer and those above.

    Raises:
        EvidenceError: it cannot be read.
    """
    ders = parse_rim(rim, "rim").signature.certificates
    read = tuple([parse_certificate(der, f"rim certificate {i}") for i, der in enumerate(ders)])
    return tuple(map(_status, climb(read[0], (*read[1:], *roots))))


def rim_ids(opaque: Opaque, *, hopper: bool, where: str) -> tuple[str, ...]:
    """Return the names of the RIM files for what a device states.

    Raises:
        EvidenceError: it does not state enough, or something that cannot stand in a name.
    """
    firmware = _word(opaque.vbios_version, "firmware version", where).replace(".", "").upper()
    if opaque.is_switch:
        return ("_".join(("NV_SWITCH_BIOS", *_SWITCH, firmware)),)
    stated = dict(opaque.fields).get(CHIP_INFO, b"").rstrip(b"\0").decode("latin-1")
    chip = _word(stated or (_HOPPER if hopper else _BLACKWELL), "chip", where)
    kind = "NV_GPU_DRIVER" if chip.startswith("GH") else "NV_GPU_CC_DRIVER"
    driver = _word(opaque.driver_version, "driver version", where)
    skus = [_word(word, "SKU", where) for word in (opaque.project, opaque.project_sku, opaque.chip_sku)]
    return f"{kind}_{chip}_{driver}", "_".join(("NV_GPU_VBIOS", *skus, firmware))


def _word(text: str, what: str, where: str) -> str:
    if not _WORD.fullmatch(text):
        raise EvidenceError(where, f"the device states no {what} that could be part of a RIM's name: {text[:32]!r}")
    return text


def _status(pair: Pair) -> Wanted:
    certificate, issuer = pair
    request = ocsp.OCSPRequestBuilder().add_certificate(certificate.certificate, issuer.certificate, SHA384()).build()
    ders = tuple(one.certificate.public_bytes(Encoding.DER) for one in pair)
    path = f"nvidia/ocsp/{certificate.fingerprint.hex()}.der"
    return Wanted(Kind.OCSP, path, (OCSP,), request.public_bytes(Encoding.DER), ders)
