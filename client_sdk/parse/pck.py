"""What Intel writes about a platform into its PCK certificate: the SGX extensions, strict DER.

Source: Intel SGX PCK Certificate and Certificate Revocation List Profile Specification, section 1.3.5. They are as
true as the certificate is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography import x509

from client_sdk.errors import EvidenceError

SGX_EXTENSIONS = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
COMPONENTS = 16
MAX_EXTENSION = 4096
_ARC = bytes.fromhex("2a864886f84d010d01")
_SEQUENCE, _OID, _INTEGER, _OCTETS, _ENUMERATED, _BOOLEAN = 0x30, 0x06, 0x02, 0x04, 0x0A, 0x01
_PPID, _TCB, _PCE_ID, _FMSPC, _SGX_TYPE, _INSTANCE, _CONFIGURATION = range(1, 8)
_PCE_SVN, _CPU_SVN = 17, 18
_SMT = 3
SGX_TYPES = ("standard", "scalable", "scalable with integrity")


def _small(number: int) -> bytes:
    """Return a pattern for the entry of an integer from 0 to 255 in the TCB: of one byte, or of two."""
    name = re.escape(b"\x06\x0b" + _ARC + bytes((_TCB, number)))
    return b"(?:0\x10" + name + b"\x02\x01([\x00-\x7f])|0\x11" + name + b"\x02\x02\x00([\x80-\xff]))"


# The components as Intel writes them, one after another: each alternative spells its lengths out.
_USUAL = re.compile(b"".join([_small(number) for number in range(1, COMPONENTS + 1)]), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pck:
    """One platform as Intel certified it. ``components`` are the SVNs of the 16 SGX TCB components.

    ``instance`` is empty and ``smt`` None on platforms of one socket, whose certificates do not say.
    """

    ppid: bytes
    components: bytes
    pce_svn: int
    cpu_svn: bytes
    pce_id: bytes
    fmspc: bytes
    sgx_type: str
    instance: bytes
    smt: bool | None


def parse_pck(certificate: x509.Certificate, where: str) -> Pck:
    """Read the SGX extensions of a certificate.

    Raises:
        EvidenceError: there are none, one is missing or comes twice, or one is not in DER.
    """
    try:
        extension = certificate.extensions.get_extension_for_oid(SGX_EXTENSIONS).value
    except x509.ExtensionNotFound as error:
        raise EvidenceError(where, "not a PCK certificate: it has no SGX extensions") from error
    if not isinstance(extension, x509.UnrecognizedExtension):
        raise EvidenceError(where, "the SGX extensions have another type")
    return parse_sgx_extensions(extension.value, where)


def parse_sgx_extensions(value: bytes, where: str) -> Pck:
    """Read the value of the extension to its last byte; entries that are not known are ignored.

    Raises:
        EvidenceError: as for :func:`parse_pck`.
    """
    if len(value) > MAX_EXTENSION:
        raise EvidenceError(where, f"SGX extensions of {len(value)} bytes are over the limit of {MAX_EXTENSION}")
    found = _Entries(value, _ARC, f"{where} SGX extensions")
    components, tcb = _tcb(found.take(_TCB, _SEQUENCE), f"{where} TCB")
    sgx_type = found.take(_SGX_TYPE, _ENUMERATED, 1)[0]
    if sgx_type >= len(SGX_TYPES):
        raise EvidenceError(where, f"SGX type {sgx_type} is not known")
    smt: bool | None = None
    if found.has(_CONFIGURATION):
        inner = found.take(_CONFIGURATION, _SEQUENCE)
        configuration = _Entries(inner, _ARC + bytes((_CONFIGURATION,)), f"{where} configuration", whole=False)
        smt = configuration.boolean(_SMT) if configuration.has(_SMT) else None
    return Pck(
        ppid=found.take(_PPID, _OCTETS, 16),
        components=components,
        pce_svn=tcb.integer(_PCE_SVN, 0xFFFF),
        cpu_svn=tcb.take(_CPU_SVN, _OCTETS, 16),
        pce_id=found.take(_PCE_ID, _OCTETS, 2),
        fmspc=found.take(_FMSPC, _OCTETS, 6),
        sgx_type=SGX_TYPES[sgx_type],
        instance=found.take(_INSTANCE, _OCTETS, 16) if found.has(_INSTANCE) else b"",
        smt=smt,
    )


def _tcb(data: bytes, where: str) -> tuple[bytes, _Entries]:
    """Return the components' SVNs, and the entries of the TCB: in the usual form those that follow the components."""
    arc = _ARC + bytes((_TCB,))
    usual = _USUAL.match(data)
    if usual is None:
        found = _Entries(data, arc, where, whole=False)
        return bytes([found.integer(number, 0xFF) for number in range(1, COMPONENTS + 1)]), found
    rest = _Entries(data[usual.end() :], arc, where, whole=False)
    if any(map(rest.has, range(1, COMPONENTS + 1))):
        raise EvidenceError(where, "a component comes twice")
    return b"".join([svn for svn in usual.groups() if svn]), rest


class _Entries:
    """A SEQUENCE of (OID, value) pairs below one arc, by the last number of the OID."""

    __slots__ = ("_found", "_where")

    def __init__(self, data: bytes, arc: bytes, where: str, *, whole: bool = True) -> None:
        self._where = where
        if whole:
            tag, data, end = _element(data, 0, where)
            if tag != _SEQUENCE or end >= 0:
                raise EvidenceError(where, "not one SEQUENCE")
        self._found: dict[int, tuple[int, bytes]] = {}
        offset = 0
        while offset >= 0:
            offset = self._add(data, offset, arc)

    def _add(self, data: bytes, offset: int, arc: bytes) -> int:
        where = self._where
        tag, pair, after = _element(data, offset, where)
        name_tag, name, rest = _element(pair, 0, where)
        if tag != _SEQUENCE or name_tag != _OID or rest < 0:
            raise EvidenceError(where, "an entry is not an OID and a value")
        value_tag, value, end = _element(pair, rest, where)
        if end >= 0:
            raise EvidenceError(where, "an entry has more than one value")
        number = name[-1] if name[:-1] == arc else -1
        if number in self._found:
            raise EvidenceError(where, f"entry {number} comes twice")
        if number >= 0:
            self._found[number] = (value_tag, value)
        return after

    def has(self, number: int) -> bool:
        return number in self._found

    def take(self, number: int, tag: int, size: int = -1) -> bytes:
        found, value = self._found.get(number, (-1, b""))
        if found != tag or size not in (-1, len(value)):
            raise EvidenceError(self._where, f"entry {number} is missing, or of another type or size")
        return value

    def integer(self, number: int, high: int) -> int:
        value = self.take(number, _INTEGER)
        found = int.from_bytes(value, "big")
        # DER: no sign (they are counters), no leading zero byte that is not needed for the sign.
        if not value or value[0] > 0x7F or (value[0] == 0 and len(value) > 1 and value[1] <= 0x7F) or found > high:
            raise EvidenceError(self._where, f"entry {number} is not an integer from 0 to {high}")
        return found

    def boolean(self, number: int) -> bool:
        value = self.take(number, _BOOLEAN, 1)
        if value not in (b"\0", b"\xff"):
            raise EvidenceError(self._where, f"entry {number} is neither TRUE nor FALSE in DER")
        return value == b"\xff"


def _element(data: bytes, offset: int, where: str) -> tuple[int, bytes, int]:
    """Return tag, content and the offset behind one element, or -1 there for the end of the data."""
    if len(data) < offset + 2:
        raise EvidenceError(where, f"an element is cut short at byte {offset}")
    tag, size, start = data[offset], data[offset + 1], offset + 2
    if size > 0x7F:
        octets = size & 0x7F
        size = int.from_bytes(data[start : start + octets], "big")
        start += octets
        if octets not in (1, 2) or size <= (0x7F if octets == 1 else 0xFF):
            raise EvidenceError(where, f"the length at byte {offset + 1} is not in DER")
    end = start + size
    if end > len(data):
        raise EvidenceError(where, f"the element at byte {offset} runs over the end")
    return tag, data[start:end], -1 if end == len(data) else end
