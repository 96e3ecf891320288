"""VMLaunchEndorsement: bytes to what Google states about a firmware build. Nothing here checks a signature.

The schema is google/gce-tcb-verifier's ``proto/endorsement.proto``. The outer message is exact: nobody signed it, it
has two fields and no others. In what is signed, fields that this reader does not know are stepped over and told:
``unread`` has their paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import MappingProxyType

from client_sdk.errors import EvidenceError
from provisioner.endorsement.wire import BYTES, VARINT, Field, Message, Schema, parse_message

MAX_SIZE = 256 * 1024  # published ones have about 5 KiB
SHA384_SIZE, UUID_SIZE = 48, 16
_U32, _U64 = (1 << 32) - 1, (1 << 64) - 1
_LATEST = 253_402_300_799  # the last second of the year 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CERTIFICATE, _BUNDLE = 16 * 1024, 64 * 1024

_ENDORSEMENT: Schema = {1: Field("serialized_uefi_golden", BYTES, MAX_SIZE), 2: Field("signature", BYTES, 1024)}
_GOLDEN: Schema = {
    1: Field("timestamp", BYTES, 32),
    2: Field("cl_spec", VARINT, _U64),
    3: Field("commit", BYTES, 64),
    4: Field("cert", BYTES, _CERTIFICATE),
    5: Field("digest", BYTES, SHA384_SIZE),
    6: Field("ca_bundle", BYTES, _BUNDLE),
    7: Field("sev_snp", BYTES, MAX_SIZE),
    8: Field("tdx", BYTES, MAX_SIZE),
}
_TIMESTAMP: Schema = {1: Field("seconds", VARINT, _LATEST), 2: Field("nanos", VARINT, 999_999_999)}
_SEV_SNP: Schema = {
    1: Field("svn", VARINT, _U32),
    2: Field("measurements", BYTES, 128, repeated=True),
    3: Field("family_id", BYTES, UUID_SIZE),
    4: Field("image_id", BYTES, UUID_SIZE),
    5: Field("policy", VARINT, _U64),
    6: Field("ca_bundle", BYTES, _BUNDLE),
}
_ENTRY: Schema = {1: Field("key", VARINT, _U32), 2: Field("value", BYTES, SHA384_SIZE)}
_TDX: Schema = {1: Field("svn", VARINT, _U32), 2: Field("measurements", BYTES, 128, repeated=True)}
_TD: Schema = {
    1: Field("ram_gib", VARINT, _U32),
    2: Field("early_accept", VARINT, 1),
    3: Field("mrtd", BYTES, SHA384_SIZE),
}


@dataclass(frozen=True, slots=True)
class SevSnp:
    """What SEV-SNP measures of the firmware, by the number of virtual CPUs that were measured at launch.

    ``policy`` is the guest policy that Google starts such VMs with; family and image id stand in no report.
    """

    svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    measurements: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class TdMeasurement:
    """One MRTD. ``ram_gib`` is 0 where it holds for any size of RAM: only an older hypervisor of Google's measured it.

    ``early_accept`` says that the firmware accepts all memory before the system runs.
    """

    ram_gib: int
    early_accept: bool
    mrtd: bytes


@dataclass(frozen=True, slots=True)
class Tdx:
    """What TDX measures of the firmware."""

    svn: int
    measurements: tuple[TdMeasurement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """What is signed. ``digest`` is the SHA-384 of the firmware's file; one of the two technologies is there."""

    timestamp: datetime
    cl_spec: int
    commit: bytes
    certificate: bytes
    digest: bytes
    sev_snp: SevSnp | None
    tdx: Tdx | None
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsement:
    """One endorsement, of which nothing is verified. ``sha256`` is the file's, ``signed`` are bytes as they came."""

    sha256: bytes
    signed: bytes
    signature: bytes
    golden: Golden


def parse_endorsement(data: bytes) -> Endorsement:
    """Read a serialised VMLaunchEndorsement to its last byte.

    Raises:
        EvidenceError: with the path of the field.
    """
    if len(data) > MAX_SIZE:
        raise EvidenceError("endorsement", f"{len(data)} bytes are over the limit of {MAX_SIZE}")
    outer = parse_message(data, _ENDORSEMENT, "endorsement")
    if outer.unread:
        raise EvidenceError("endorsement", f"field {outer.unread[0]} does not belong here: nothing signs it")
    for name in ("serialized_uefi_golden", "signature"):
        if not outer.part(name):
            raise EvidenceError(f"endorsement.{name}", "missing")
    signed = outer.part("serialized_uefi_golden")
    golden = parse_golden(signed)
    return Endorsement(sha256=sha256(data).digest(), signed=signed, signature=outer.part("signature"), golden=golden)


def parse_golden(data: bytes) -> Golden:
    """Read a serialised VMGoldenMeasurement to its last byte.

    Raises:
        EvidenceError: with the path of the field.
    """
    message = parse_message(data, _GOLDEN, "golden")
    unread = _unread(message)
    for name in ("timestamp", "cert"):
        if name not in message.parts:
            raise EvidenceError(f"golden.{name}", "missing")
    if not {"sev_snp", "tdx"} & message.parts.keys():
        raise EvidenceError("golden", "neither sev_snp nor tdx: it endorses no measurement")
    return Golden(
        timestamp=_timestamp(message.part("timestamp"), unread),
        cl_spec=message.number("cl_spec"),
        commit=message.part("commit"),
        certificate=message.part("cert"),
        digest=message.sized("digest", SHA384_SIZE),
        sev_snp=_sev_snp(message.part("sev_snp"), unread) if "sev_snp" in message.parts else None,
        tdx=_tdx(message.part("tdx"), unread) if "tdx" in message.parts else None,
        unread=tuple(unread),
    )


def _timestamp(data: bytes, unread: list[str]) -> datetime:
    message = parse_message(data, _TIMESTAMP, "golden.timestamp")
    unread += _unread(message)
    return _EPOCH + timedelta(seconds=message.number("seconds"), microseconds=message.number("nanos") // 1000)


def _sev_snp(data: bytes, unread: list[str]) -> SevSnp:
    message = parse_message(data, _SEV_SNP, "golden.sev_snp")
    unread += _unread(message)
    found: dict[int, bytes] = {}
    for i, part in enumerate(message.parts.get("measurements", ())):
        entry = parse_message(part, _ENTRY, f"golden.sev_snp.measurements[{i}]")
        unread += _unread(entry)
        count = entry.number("key")
        if count == 0 or count in found:
            raise EvidenceError(f"{entry.where}.key", "stands twice" if count else "a measurement for no virtual CPU")
        found[count] = entry.sized("value", SHA384_SIZE)
    return SevSnp(
        svn=message.number("svn"),
        policy=message.number("policy"),
        family_id=message.sized("family_id", 0, UUID_SIZE),
        image_id=message.sized("image_id", 0, UUID_SIZE),
        measurements=MappingProxyType(dict(sorted(found.items()))),
    )


def _tdx(data: bytes, unread: list[str]) -> Tdx:
    message = parse_message(data, _TDX, "golden.tdx")
    unread += _unread(message)
    found: dict[tuple[int, int], TdMeasurement] = {}
    for i, part in enumerate(message.parts.get("measurements", ())):
        entry = parse_message(part, _TD, f"golden.tdx.measurements[{i}]")
        unread += _unread(entry)
        size, early = entry.number("ram_gib"), entry.number("early_accept")
        if (size, early) in found:
            raise EvidenceError(entry.where, "a second measurement of one kind of machine")
        found[size, early] = TdMeasurement(size, bool(early), entry.sized("mrtd", SHA384_SIZE))
    return Tdx(svn=message.number("svn"), measurements=tuple(found[kind] for kind in sorted(found)))


def _unread(message: Message) -> list[str]:
    return [f"{message.where} field {number}" for number in message.unread]
