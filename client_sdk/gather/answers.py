"""From a vendor's answer to files of the folder, and whether files are an answer to what is wanted.

Each vendor wraps in a way of its own: a chain in PEM of which one certificate is wanted, issuers in a header, a RIM
file in JSON. What is left is the signed thing itself, byte for byte.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from hashlib import sha256

from cryptography.exceptions import InvalidSignature

from client_sdk.encoding import from_base64, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import mapping
from client_sdk.gather import amd
from client_sdk.gather.contents import Contents, load_ocsp, read
from client_sdk.gather.intel import ISSUER_CHAINS
from client_sdk.gather.tpm import FOLDER
from client_sdk.gather.wanted import MAX_RIM, Kind, Wanted
from client_sdk.parse.amd_certificate import parse_vek
from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.intel_collateral import TCB_INFO, parse_statement, parse_tcb_info
from client_sdk.parse.issuer_chain import parse_chain
from client_sdk.parse.names import common_name
from client_sdk.parse.pem import parse_pem_or_der
from client_sdk.verify.chain import verify_issued

Files = dict[str, bytes]
_VCEK_PATH = re.compile(r"amd/vcek/([0-9a-f]{128})-([0-9a-f]{16})\.der")
_CA_PATH = re.compile(r"amd/([a-z]+)/(ask|asvk)\.der")
_CA_NAMES = {"ask": "SEV-", "asvk": "SEV-VLEK-"}


def unpack(wanted: Wanted, headers: Mapping[str, str], body: bytes) -> Files:
    """Return the files in an answer; ``headers`` are those of the response, by name in lower case.

    Raises:
        EvidenceError: the answer has another form.
    """
    if wanted.kind in ISSUER_CHAINS:
        name = ISSUER_CHAINS[wanted.kind]
        chain = parse_chain(headers.get(name.lower(), "").encode("latin-1"), name)
        return {wanted.path: body, chain_path(wanted.path): b"".join(map(_pem, chain))}
    if wanted.kind is Kind.AMD_CA:
        return {wanted.path: _named(parse_pem_or_der(body, "cert_chain"), _ca_name(wanted.path))}
    if wanted.kind is Kind.RIM:
        return {wanted.path: _rim(wanted, body)}
    if wanted.kind in (Kind.VCEK, Kind.ISSUER):
        (der,) = _one(parse_pem_or_der(body, wanted.kind))
        return {f"{FOLDER}{sha256(der).hexdigest()}.der" if wanted.kind is Kind.ISSUER else wanted.path: der}
    return {wanted.path: body}


def check(wanted: Wanted, files: Files) -> tuple[Contents, ...]:
    """Return what the files are, after checking that they are what was wanted.

    Raises:
        EvidenceError: they are not.
    """
    if not files:
        raise EvidenceError(wanted.path, "there is no file")
    if wanted.kind is not Kind.ISSUER and files.keys() != names(wanted):
        raise EvidenceError(wanted.path, "there are other files than the wanted ones")
    found = tuple(read(path, data) for path, data in files.items())
    if fits := _CHECKS.get(wanted.kind):
        fits(wanted, files)
    return found


def names(wanted: Wanted) -> frozenset[str]:
    """Return the paths of the files that answer; for a CA they are not known before."""
    more = {chain_path(wanted.path)} if wanted.kind in ISSUER_CHAINS else set()
    return frozenset({wanted.path} | more)


def chain_path(path: str) -> str:
    """Return where the issuers of a statement of Intel's go."""
    return path.removesuffix(".json") + ".pem"


def _pem(der: bytes) -> bytes:
    text = base64.encodebytes(der).replace(b"\n", b"")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join((b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""))


def _one(ders: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if len(ders) != 1:
        raise EvidenceError("certificate", f"expected one certificate, got {len(ders)}")
    return ders


def _ca_name(path: str) -> str:
    found = _CA_PATH.fullmatch(path)
    if found is None:
        raise EvidenceError(path, "no path of a CA of AMD's")
    return _CA_NAMES[found[2]] + found[1].capitalize()


def _named(ders: tuple[bytes, ...], name: str) -> bytes:
    for der in ders:
        if common_name(parse_certificate(der, "cert_chain").subject, "cert_chain") == name:
            return der
    raise EvidenceError("cert_chain", f"no certificate of {name} among {len(ders)}")


def _rim(wanted: Wanted, body: bytes) -> bytes:
    fields = mapping(strict_json(body, limit=MAX_RIM), "$")
    name = wanted.path.rpartition("/")[2].removesuffix(".xml")
    if fields.get("id") != name:
        raise EvidenceError("$.id", f"the answer is about {str(fields.get('id'))[:64]!r}, not {name}")
    return from_base64(fields.get("rim"), "$.rim", limit=MAX_RIM)


def _vcek(wanted: Wanted, files: Files) -> None:
    path = _VCEK_PATH.fullmatch(wanted.path)
    if path is None or not amd.is_of(parse_vek(files[wanted.path], "vcek"), *map(bytes.fromhex, path.groups())):
        raise EvidenceError(wanted.path, "the certificate is of another chip or TCB")


def _ca(wanted: Wanted, files: Files) -> None:
    _named((files[wanted.path],), _ca_name(wanted.path))


def _tcb_info(wanted: Wanted, files: Files) -> None:
    fmspc = parse_tcb_info(parse_statement(files[wanted.path], TCB_INFO).value).fmspc.hex()
    if wanted.path != f"intel/tcb_info-{fmspc}.json":
        raise EvidenceError(wanted.path, f"the TCB info is for FMSPC {fmspc}")


def _ocsp(wanted: Wanted, files: Files) -> None:
    serial = load_ocsp(wanted.path, files[wanted.path]).serial_number
    if serial != parse_certificate(wanted.about[0], wanted.path).serial:
        raise EvidenceError(wanted.path, f"the answer is about serial number {serial:X}")


def _issuer(wanted: Wanted, files: Files) -> None:
    (path,) = files
    try:
        verify_issued(
            parse_certificate(wanted.about[0], "the certificate below"),
            parse_certificate(files[path], path).public_key,
        )
    except InvalidSignature as error:
        raise EvidenceError(path, "this CA did not issue the certificate that names it") from error


_CHECKS: dict[Kind, Callable[[Wanted, Files], None]] = {
    Kind.VCEK: _vcek,
    Kind.AMD_CA: _ca,
    Kind.TCB_INFO: _tcb_info,
    Kind.OCSP: _ocsp,
    Kind.ISSUER: _issuer,
}
