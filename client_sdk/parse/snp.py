"""ATTESTATION_REPORT of AMD SEV-SNP, versions 2 to 5 (AMD 56860 rev 1.58, table 23), and what is packed inside it.

Parsing proves nothing: the signature, and what reserved bytes mean, are the verifier's. A TCB stays eight bytes until
the product is known from the certificate chain, because Turin orders its components differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from struct import Struct
from typing import Any, NamedTuple

from client_sdk.errors import EvidenceError

SIZE, SIGNED_SIZE, TCB_SIZE = 1184, 0x2A0, 8
# POLICY (AMD 56860, chapter 4, "Guest Policy").
POLICY_SMT, POLICY_RESERVED_ONE, POLICY_MIGRATE_MA = 1 << 16, 1 << 17, 1 << 18
POLICY_DEBUG, POLICY_SINGLE_SOCKET = 1 << 19, 1 << 20
POLICY_KNOWN = (1 << 26) - 1
# PLATFORM_INFO: SMT, TSME, ECC, RAPL off, ciphertext hiding, alias check, IOMMU write safety, trusted I/O.
PLATFORM_CIPHERTEXT_HIDING, PLATFORM_ALIAS_CHECK = 1 << 4, 1 << 5
PLATFORM_KNOWN = 0xFF
# The 32 bits at 0x48.
FLAG_AUTHOR_KEY, FLAG_MASK_CHIP_KEY, FLAGS_KNOWN = 1 << 0, 1 << 1, 0x1F
ECDSA_P384_SHA384 = 1

# The fields of SnpReport in their order; x is a reserved byte.
_LAYOUT = Struct("<IIQ16s16sII8sQI4x64s48s32s48s48s32s32s8s3s21x64s8s3sx3sx8sQQ152x72s72s368x")
_RESERVED = ((0x4C, 0x50), (0x18B, 0x1A0), (0x1EB, 0x1EC), (0x1EF, 0x1F0), (0x208, 0x2A0), (0x330, SIZE))
_CPUID, _MITIGATIONS = (0x188, 0x18B), (0x1F8, 0x208)  # reserved before the versions that have them
_VERSION_WITH_CPUID, _VERSION_WITH_MITIGATIONS = 3, 4


class Product(StrEnum):
    """A product line, which has its own root key. Bergamo and Siena are of the Genoa line."""

    MILAN = "Milan"
    GENOA = "Genoa"
    TURIN = "Turin"


_PRODUCTS = {(0x19, 0x01): Product.MILAN, (0x19, 0x11): Product.GENOA, (0x19, 0xA0): Product.GENOA}
_TURIN_FAMILY, _TURIN_LAST_MODEL = 0x1A, 0x1F


class Tcb(NamedTuple):
    """The security patch levels of a TCB_VERSION. ``fmc`` exists on Turin alone; ``reserved`` is zero if honest."""

    fmc: int
    bootloader: int
    tee: int
    snp: int
    microcode: int
    reserved: bytes = b""

    def covers(self, floor: Tcb) -> bool:
        """Tell whether no component is below that of the floor."""
        return all(mine >= least for mine, least in zip(self[:5], floor[:5], strict=True))

    def __str__(self) -> str:
        return "fmc {} bootloader {} tee {} snp {} microcode {}".format(*self[:5])


class FirmwareVersion(NamedTuple):
    """A version of the SEV firmware; it compares as it should."""

    major: int
    minor: int
    build: int


def _firmware_version(raw: bytes) -> FirmwareVersion:
    build, minor, major = raw
    return FirmwareVersion(major, minor, build)


def _little(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


@dataclass(frozen=True, slots=True)
class SnpReport:
    """A report's fields. ``cpuid`` is family, model and stepping (zeros before version 3).

    ``reserved_set`` are offsets of reserved fields of this version that are not zero; ``signed`` are the signed bytes.
    """

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algorithm: int
    current_tcb: bytes
    platform_info: int
    flags: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    cpuid: tuple[int, int, int]
    chip_id: bytes
    committed_tcb: bytes
    current_version: FirmwareVersion
    committed_version: FirmwareVersion
    launch_tcb: bytes
    launch_mitigations: int
    current_mitigations: int
    r: int
    s: int
    reserved_set: tuple[int, ...]
    signed: bytes

    @property
    def has_cpuid(self) -> bool:
        """Tell whether this version of the report names the processor."""
        return self.version >= _VERSION_WITH_CPUID

    @property
    def signing_key(self) -> int:
        """SIGNING_KEY: 0 VCEK, 1 VLEK, 7 none."""
        return self.flags >> 2 & 7

    @property
    def policy_abi(self) -> tuple[int, int]:
        """The least ABI version that the guest accepts, major then minor."""
        return self.policy >> 8 & 0xFF, self.policy & 0xFF


_NAMES = tuple(field.name for field in fields(SnpReport))[:-2]  # the last two are no fields of the layout
# Those that are not taken as they lie there.
_CONVERT: dict[str, Callable[[bytes], Any]] = {
    "cpuid": tuple,
    "current_version": _firmware_version,
    "committed_version": _firmware_version,
    "r": _little,
    "s": _little,
}


def parse_report(data: bytes) -> SnpReport:
    """Read a report of exactly 1184 bytes, of any version: which versions are known is rule T4.1.

    Raises:
        EvidenceError: another length.
    """
    if len(data) != SIZE:
        raise EvidenceError(f"report byte {min(len(data), SIZE)}", f"a report has {SIZE} bytes, this has {len(data)}")
    read: dict[str, Any] = dict(zip(_NAMES, _LAYOUT.unpack(data), strict=True))
    for name, convert in _CONVERT.items():
        read[name] = convert(read[name])
    return SnpReport(**read, reserved_set=_reserved_set(data, read["version"]), signed=data[:SIGNED_SIZE])


def _reserved_set(data: bytes, version: int) -> tuple[int, ...]:
    cpuid = (_CPUID,) if version < _VERSION_WITH_CPUID else ()
    mitigations = (_MITIGATIONS,) if version < _VERSION_WITH_MITIGATIONS else ()
    return tuple([start for start, end in (*_RESERVED, *cpuid, *mitigations) if data[start:end].strip(b"\0")])


def parse_tcb(raw: bytes, product: Product) -> Tcb:
    """Read the eight bytes of a TCB_VERSION as the product orders them (AMD 56860, TCB_VERSION).

    Raises:
        EvidenceError: they are not eight.
    """
    if len(raw) != TCB_SIZE:
        raise EvidenceError("TCB_VERSION", f"{len(raw)} bytes instead of {TCB_SIZE}")
    if product is Product.TURIN:
        return Tcb(raw[0], raw[1], raw[2], raw[3], raw[7], raw[4:7])
    return Tcb(0, raw[0], raw[1], raw[6], raw[7], raw[2:6])


def product_of(cpuid: tuple[int, int, int]) -> Product | None:
    """Return the product line of a processor by family and model; None for one that is not known."""
    family, model, _stepping = cpuid
    if family == _TURIN_FAMILY and model <= _TURIN_LAST_MODEL:
        return Product.TURIN
    return _PRODUCTS.get((family, model))
