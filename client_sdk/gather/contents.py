"""What a file of a collateral folder is, by its path: read as its format says, with its dates.

Reading proves nothing: whoever verifies evidence verifies the signature of each file. It keeps out error pages,
truncated answers and mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import ocsp

from client_sdk.errors import EvidenceError
from client_sdk.parse.amd_certificate import parse_vek
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.intel_collateral import QE_IDENTITY, TCB_INFO, parse_statement, parse_tcb_info
from client_sdk.parse.issuer_chain import parse_chain
from client_sdk.parse.names import common_name
from client_sdk.parse.rim import parse_rim

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    UserWarning,
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What one file is, in words, and from when to when it is good by what it says itself."""

    what: str
    since: datetime
    until: datetime


def read(path: str, data: bytes) -> Contents:
    """Read a file as what its path says it is.

    Raises:
        EvidenceError: it is something else, or the path is none of a collateral folder.
    """
    if reader := _reader(path):
        return reader(path, data)
    raise EvidenceError(path, "no file of a collateral folder has this name")


def belongs(path: str) -> bool:
    """Tell whether a file of a collateral folder can have this path."""
    return _reader(path) is not None


def load_crl(path: str, data: bytes) -> x509.CertificateRevocationList:
    """Read a revocation list that says when the next one comes.

    Raises:
        EvidenceError: it is not one.
    """
    try:
        crl = x509.load_der_x509_crl(data)
        _ = crl.extensions, crl.issuer, crl.last_update_utc
        end = crl.next_update_utc
    except _UNREADABLE as error:
        raise EvidenceError(path, "not a certificate revocation list that can be read") from error
    if end is None:
        raise EvidenceError(path, "the revocation list does not say until when it is good")
    return crl


def load_ocsp(path: str, data: bytes) -> ocsp.OCSPResponse:
    """Read an OCSP response that answers about one certificate.

    Raises:
        EvidenceError: it is not one, or the responder refused to answer.
    """
    try:
        response = ocsp.load_der_ocsp_response(data)
        status = response.response_status
        if status is ocsp.OCSPResponseStatus.SUCCESSFUL:
            _ = response.serial_number, response.certificate_status, response.this_update_utc, response.next_update_utc
    except _UNREADABLE as error:
        raise EvidenceError(path, "not an OCSP response that can be read") from error
    if status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise EvidenceError(path, f"the responder refused to answer ({status.name})")
    if response.next_update_utc is None:
        raise EvidenceError(path, "the OCSP response does not say until when it is good")
    return response


def _certificate(path: str, data: bytes) -> Contents:
    return _dated(parse_certificate(data, path), "certificate of", path)


def _vek(path: str, data: bytes) -> Contents:
    vek = parse_vek(data, path)
    owner = f"chip {vek.hwid.hex()[:16]}" if vek.hwid else vek.csp_id
    return Contents(f"{vek.product_name}, key of {owner}", vek.fields.not_before, vek.fields.not_after)


def _crl(path: str, data: bytes) -> Contents:
    crl = load_crl(path, data)
    if (until := crl.next_update_utc) is None:  # load_crl refused it
        raise EvidenceError(path, "no nextUpdate")
    name = common_name(crl.issuer.public_bytes(), path)
    return Contents(f"revocation list of {name}, {len(crl)} revoked", crl.last_update_utc, until)


def _statement(path: str, data: bytes) -> Contents:
    name = TCB_INFO if path.startswith("intel/tcb_info") else QE_IDENTITY
    statement = parse_statement(data, name)
    what = f"{statement.id} {name}, evaluation {statement.evaluation}"
    if name == TCB_INFO:
        what = f"{what}, FMSPC {parse_tcb_info(statement.value).fmspc.hex()}"
    return Contents(what, statement.issued, statement.next_update)


def _chain(path: str, data: bytes) -> Contents:
    read = [parse_certificate(der, path) for der in parse_chain(data, path)]
    return _dated(min(read, key=lambda found: found.not_after), "issuers, the first to expire", path)


def _rim(path: str, data: bytes) -> Contents:
    rim = parse_rim(data, path)
    read = [parse_certificate(der, path) for der in rim.signature.certificates]
    first = min(read, key=lambda found: found.not_after)
    what = f"{rim.product} {rim.edition} {rim.version}, {len(rim.golden)} measurements"
    return Contents(what, read[0].not_before, first.not_after)


def _ocsp(path: str, data: bytes) -> Contents:
    response = load_ocsp(path, data)
    if (until := response.next_update_utc) is None:  # load_ocsp refused it
        raise EvidenceError(path, "no nextUpdate")
    what = f"certificate {response.serial_number:X} is {response.certificate_status.name.lower()}"
    return Contents(what, response.this_update_utc, until)


def _dated(certificate: CertificateFields, what: str, where: str) -> Contents:
    name = common_name(certificate.subject, where)
    return Contents(f"{what} {name}", certificate.not_before, certificate.not_after)


def _reader(path: str) -> Reader | None:
    return next((reader for pattern, reader in _READERS if pattern.fullmatch(path)), None)


Reader = Callable[[str, bytes], Contents]
_READERS: tuple[tuple[re.Pattern[str], Reader], ...] = (
    (re.compile(r"amd/(?:milan|genoa|turin)/(?:ask|asvk)\.der"), _certificate),
    (re.compile(r"amd/(?:milan|genoa|turin)/crl\.der"), _crl),
    (re.compile(r"amd/vcek/[0-9a-f]{128}-[0-9a-f]{16}\.der"), _vek),
    (re.compile(r"amd/vlek/[A-Za-z0-9._=-]{1,127}-[0-9a-f]{16}\.der"), _vek),
    (re.compile(r"intel/tcb_info-[0-9a-f]{12}\.json|intel/qe_identity\.json"), _statement),
    (re.compile(r"intel/tcb_info-[0-9a-f]{12}\.pem|intel/qe_identity\.pem"), _chain),
    (re.compile(r"intel/(?:pck_crl-(?:platform|processor)|root_crl)\.der"), _crl),
    (re.compile(r"tpm/[0-9a-f]{64}\.der"), _certificate),
    (re.compile(r"nvidia/rim/NV_[A-Z]{1,8}(?:_[A-Za-z0-9.]{1,32}){1,8}\.xml"), _rim),
    (re.compile(r"nvidia/ocsp/[0-9a-f]{64}\.der"), _ocsp),
)
