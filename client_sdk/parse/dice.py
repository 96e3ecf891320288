"""The firmware id that a device's certificate states (TCG DICE Attestation Architecture 1.1, section 6.1).

``2.23.133.5.4.1``, as Hopper has it, is a version, the key and one FWID; ``2.23.133.5.4.1.1`` (Blackwell) is a TcbInfo
with a list of FWIDs, of which the first is the firmware's, and operational flags. Whoever signed the certificate says
so: for these devices, the boot ROM about the firmware that it started.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields

COMPOSITE_DEVICE_ID, TCB_INFO = "2.23.133.5.4.1", "2.23.133.5.4.1.1"
MAX_SIZE = 4096
MAX_ELEMENTS = 64
FLAGS = ("notConfigured", "notSecure", "recovery", "debug")
_SEQUENCE, _INTEGER, _OCTETS, _FWIDS, _FLAGS = 0x30, 0x02, 0x04, 0xA6, 0x87
_SHA384 = bytes.fromhex("0609608648016503040202")
FWID_SIZE = 48
Elements = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class FirmwareId:
    """The digest of the firmware, and the flags that are set; ``flags`` is None where the form has none."""

    digest: bytes
    flags: tuple[str, ...] | None


def parse_firmware_id(certificate: CertificateFields, where: str) -> FirmwareId | None:
    """Return what the certificate says about firmware; None where it says nothing.

    Raises:
        EvidenceError: the extension is not what its specification says.
    """
    found = [e for e in certificate.certificate.extensions if e.oid.dotted_string in (COMPOSITE_DEVICE_ID, TCB_INFO)]
    if not found:
        return None
    if len(found) > 1:
        raise EvidenceError(where, "two extensions state a firmware id")
    data, form = found[0].value.public_bytes(), found[0].oid.dotted_string
    ((tag, body),) = _elements(data, where, exactly=1)
    if tag != _SEQUENCE or len(data) > MAX_SIZE:
        raise EvidenceError(where, "the firmware id is not a sequence of a sane size")
    return _tcb_info(body, where) if form == TCB_INFO else _composite(body, where)


def _composite(body: bytes, where: str) -> FirmwareId:
    parts = _elements(body, where, exactly=3)
    if [tag for tag, _ in parts] != [_INTEGER, _SEQUENCE, _SEQUENCE]:
        raise EvidenceError(where, "the device id is not a version, a key and a firmware id")
    return FirmwareId(_fwid(parts[2], where), None)


def _tcb_info(body: bytes, where: str) -> FirmwareId:
    parts = _elements(body, where)
    found = dict(parts)
    if len(found) != len(parts) or _FWIDS not in found:
        raise EvidenceError(where, "the TcbInfo has no list of firmware ids, or a field twice")
    fwids = [_fwid(part, where) for part in _elements(found[_FWIDS], where)]
    if not fwids:
        raise EvidenceError(where, "the list of firmware ids is empty")
    return FirmwareId(fwids[0], _flags(found[_FLAGS], where) if _FLAGS in found else None)


def _fwid(element: tuple[int, bytes], where: str) -> bytes:
    """Return the digest of one FWID, which has to be of SHA-384."""
    tag, body = element
    start = len(_SHA384)
    if tag != _SEQUENCE or body[:start] != _SHA384 or body[start : start + 2] != bytes((_OCTETS, FWID_SIZE)):
        raise EvidenceError(where, "a firmware id is not a SHA-384 digest")
    if len(body) != start + 2 + FWID_SIZE:
        raise EvidenceError(where, "a firmware id has another length")
    return body[start + 2 :]


def _flags(body: bytes, where: str) -> tuple[str, ...]:
    """Return the names of the flags that are set: a BIT STRING's first bit is the highest of its first byte."""
    if not 2 <= len(body) <= 5 or body[0] > 7:
        raise EvidenceError(where, "the operational flags are not a bit string")
    return tuple([name for bit, name in enumerate(FLAGS) if body[1] >> (7 - bit) & 1])


def _elements(data: bytes, where: str, *, exactly: int | None = None) -> Elements:
    """Split DER into its elements, to the last byte; lengths of up to two bytes and tags of one are enough here."""
    found: Elements = []
    offset, end = 0, len(data)
    while offset < end and len(found) < MAX_ELEMENTS:
        head = data[offset : offset + 4]
        if len(head) < 2:
            break
        tag, size, start = head[0], head[1], offset + 2
        if size > 0x7F:
            width = size & 0x7F
            size, start = int.from_bytes(head[2 : 2 + width], "big"), start + width
            if width not in (1, 2) or len(head) < 2 + width or size < (0x80, 0x100)[width - 1]:
                break
        if start + size > end:
            break
        found.append((tag, data[start : start + size]))
        offset = start + size
    if offset != end or (exactly is not None and len(found) != exactly):
        raise EvidenceError(where, "the firmware id is not DER of the expected form")
    return found
