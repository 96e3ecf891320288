"""The report of Azure's paravisor (HCL), as its vTPM keeps it in NV index 0x01400001; little-endian.

::

    0 "HCLA"   4 version   8 report size   12 request type   16 status   20 reserved   32 hardware report, 1184 bytes
    1216 size of what follows   1220 version   1224 report type   1228 hash type   1232 size of the runtime data
    1236 runtime data, then zero bytes

The hardware report is an SNP report, or a TDREPORT of 1024 bytes and zeros. Nothing in the headers is signed: the
hardware report vouches for the hash of the runtime data and for nothing else here. (Microsoft, "Confidential VM guest
attestation design"; checked against reports of both kinds.)
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from client_sdk.encoding import strict_json
from client_sdk.errors import EvidenceError

SNP, TDX = 2, 4
AK_KID, EK_KID = "HCLAkPub", "HCLEkPub"
USER_DATA_SIZE = 64
MAX_REPORT = 65_536
MAX_RUNTIME_DATA = 16_384
MAX_KEYS = 16
_HEAD, _TAIL = Struct("<4sIIII12s"), Struct("<IIIII")
_SLOT, _DATA = 32, 1216
_RUNTIME = _DATA + _TAIL.size
SNP_SIZE, TDREPORT_SIZE = 1184, 1024
_REPORT_DATA = {SNP: 0x50, TDX: 128}
_TDREPORT_TYPE = 0x81  # the first byte of a TDREPORT; an SNP report begins with its version, a small number
_HEADER_VERSIONS, _DATA_VERSION, _HASH_TYPES = (1, 2), 1, (1, 2, 3)
_USER_DATA = re.compile(r"[0-9A-F]{128}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{1,1368}")
_MODULUS_BITS = (2048, 3072, 4096)


@dataclass(frozen=True, slots=True)
class RuntimeClaims:
    """What the paravisor says of the VM: keys by ``kid``, the guest's 64 bytes (None in old reports), and its flags."""

    keys: Mapping[str, rsa.RSAPublicKey]
    user_data: bytes | None
    configuration: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HclReport:
    """One report. ``runtime_data`` are the bytes exactly as received, ``report_data`` is the hardware report's."""

    version: int
    kind: int
    hash_type: int
    hardware_report: bytes
    report_data: bytes
    runtime_data: bytes
    claims: RuntimeClaims


def parse_hcl_report(data: bytes) -> HclReport:
    """Read a report to its last byte, zero padding included.

    Raises:
        EvidenceError: with the offset, or the path in the runtime data.
    """
    if not _RUNTIME <= len(data) <= MAX_REPORT:
        raise EvidenceError("hcl_report", f"{len(data)} bytes are not a report")
    signature, version, size, _request, status, reserved = _HEAD.unpack_from(data)
    if signature != b"HCLA":
        raise EvidenceError("hcl_report byte 0", "not an HCL report")
    if version not in _HEADER_VERSIONS or status or reserved.strip(b"\0"):
        raise EvidenceError("hcl_report byte 4", f"header version {version}, status {status}")
    kind, hash_type, variable = _tail(data)
    end = _RUNTIME + variable
    if size != end or data[end:].strip(b"\0"):
        raise EvidenceError("hcl_report byte 8", f"a report of {size} bytes, of which {end} are told of")
    runtime_data = data[_RUNTIME:end]
    hardware, start = _hardware_report(data[_SLOT:_DATA], kind), _REPORT_DATA[kind]
    return HclReport(
        version=version,
        kind=kind,
        hash_type=hash_type,
        hardware_report=hardware,
        report_data=hardware[start : start + 64],
        runtime_data=runtime_data,
        claims=parse_runtime_claims(runtime_data),
    )


def _tail(data: bytes) -> tuple[int, int, int]:
    """Return the kind of the hardware report, the hash type, and the size of the runtime data."""
    size, version, kind, hash_type, variable = _TAIL.unpack_from(data, _DATA)
    if version != _DATA_VERSION or hash_type not in _HASH_TYPES:
        raise EvidenceError(f"hcl_report byte {_DATA + 4}", f"data version {version}, hash type {hash_type}")
    if kind not in _REPORT_DATA:
        raise EvidenceError(f"hcl_report byte {_DATA + 8}", f"report type {kind} is neither SNP nor TDX")
    if variable > min(len(data) - _RUNTIME, MAX_RUNTIME_DATA) or size != _TAIL.size + variable:
        raise EvidenceError(f"hcl_report byte {_DATA + 16}", f"runtime data of {variable} bytes in {size}")
    return kind, hash_type, variable


def _hardware_report(slot: bytes, kind: int) -> bytes:
    """Return the report in its slot, after checking that it is of the kind that the header says."""
    if (slot[0] == _TDREPORT_TYPE) != (kind == TDX):
        raise EvidenceError(f"hcl_report byte {_SLOT}", "the hardware report is of another kind than the header says")
    if kind == SNP:
        return slot
    if slot[TDREPORT_SIZE:].strip(b"\0"):
        raise EvidenceError(f"hcl_report byte {_SLOT + TDREPORT_SIZE}", "bytes other than zero follow the TDREPORT")
    return slot[:TDREPORT_SIZE]


def parse_runtime_claims(data: bytes) -> RuntimeClaims:
    """Read runtime data; what else is in it is signed too, and of no use here.

    Raises:
        EvidenceError: with the path of the field.
    """
    where = "runtime_data"
    try:
        claims = strict_json(data, limit=MAX_RUNTIME_DATA)
    except EvidenceError as error:
        raise EvidenceError(f"{where}: {error.where}", "not strict JSON") from error
    if not isinstance(claims, dict):
        raise EvidenceError(where, "not an object")
    configuration = claims.get("vm-configuration", {})
    if not isinstance(configuration, dict):
        raise EvidenceError(f"{where}.vm-configuration", "not an object")
    return RuntimeClaims(_keys(claims.get("keys"), f"{where}.keys"), _user_data(claims), configuration)


def _keys(value: Any, where: str) -> dict[str, rsa.RSAPublicKey]:
    """Read the keys by kid: whoever looks one up finds the only one of that name, at whatever index."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_KEYS:
        raise EvidenceError(where, f"not a list of 1 to {MAX_KEYS} keys")
    found: dict[str, rsa.RSAPublicKey] = {}
    for index, item in enumerate(value):
        place = f"{where}[{index}]"
        if not isinstance(item, dict) or not isinstance(kid := item.get("kid"), str):
            raise EvidenceError(place, "not a key with a kid")
        if kid in found:
            raise EvidenceError(place, "the kid comes twice")
        found[kid] = _rsa_key(item, place)
    return found


def _rsa_key(item: dict[str, Any], where: str) -> rsa.RSAPublicKey:
    """Read a JWK (RFC 7518, section 6.3.1)."""
    if item.get("kty") != "RSA":
        raise EvidenceError(f"{where}.kty", "not RSA")
    modulus, exponent = _number(item.get("n"), f"{where}.n"), _number(item.get("e"), f"{where}.e")
    if modulus.bit_length() not in _MODULUS_BITS or exponent.bit_length() > 32:
        raise EvidenceError(f"{where}.n", f"{modulus.bit_length()} bits")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise EvidenceError(f"{where}.n", "not an RSA key") from error


def _number(value: Any, where: str) -> int:
    """Read base64url without padding, in its one spelling, without leading zero bytes."""
    if not isinstance(value, str) or not _BASE64URL.fullmatch(value):
        raise EvidenceError(where, "not base64url")
    try:
        data = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except binascii.Error as error:
        raise EvidenceError(where, "not base64url") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != value or data[:1] == b"\0":
        raise EvidenceError(where, "base64url is not canonical")
    return int.from_bytes(data, "big")


def _user_data(claims: dict[str, Any]) -> bytes | None:
    if "user-data" not in claims:
        return None
    value = claims["user-data"]
    if not isinstance(value, str) or not _USER_DATA.fullmatch(value):
        raise EvidenceError("runtime_data.user-data", "not 128 upper-case hex digits")
    return bytes.fromhex(value)
