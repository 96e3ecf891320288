"""TPMS_ATTEST: what a TPM signs (TPM 2.0 Library, part 2, sections 10.12.8 and 10.12.1).

Parsing proves nothing: magic, type and signature are the verifier's to check.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from client_sdk.parse.reader import Reader

MAX_NAME = 68
MAX_EXTRA_DATA = 64
MAX_DIGEST = 64
MAX_SELECTIONS = 16
_SELECT_SIZES = (3, 4)
_HEAD, _CLOCK = Struct(">IH"), Struct(">QIIBQ")
_COUNT, _SELECTION = Struct(">I"), Struct(">HB")


@dataclass(frozen=True, slots=True)
class Attest:
    """The header that every kind of attestation has; ``body`` depends on ``kind``."""

    magic: int
    kind: int
    qualified_signer: bytes
    extra_data: bytes
    clock: int
    reset_count: int
    restart_count: int
    safe: int
    firmware_version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class PcrSelection:
    """One bank and the PCR indexes selected in it, ascending."""

    bank: int
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class QuoteInfo:
    """TPMS_QUOTE_INFO: the PCRs that were quoted and the digest over their values."""

    selections: tuple[PcrSelection, ...]
    pcr_digest: bytes


def parse_attest(data: bytes) -> Attest:
    """Split the signed bytes into their header and a body.

    Raises:
        EvidenceError: with the offset.
    """
    reader = Reader(data, "attest")
    magic, kind = reader.unpack(_HEAD)
    qualified_signer, extra_data = reader.sized(MAX_NAME), reader.sized(MAX_EXTRA_DATA)
    start = reader.offset
    clock, reset_count, restart_count, safe, firmware_version = reader.unpack(_CLOCK)
    if safe > 1:
        raise reader.error(start + _CLOCK.size - 9, f"TPMI_YES_NO is {safe}")
    return Attest(
        magic=magic,
        kind=kind,
        qualified_signer=qualified_signer,
        extra_data=extra_data,
        clock=clock,
        reset_count=reset_count,
        restart_count=restart_count,
        safe=safe,
        firmware_version=firmware_version,
        body=reader.rest(),
    )


def parse_quote_info(body: bytes) -> QuoteInfo:
    """Read the body of a quote to its last byte.

    Raises:
        EvidenceError: with the offset inside the body.
    """
    reader = Reader(body, "attest.quote")
    (count,) = reader.unpack(_COUNT)
    if count > MAX_SELECTIONS:
        raise reader.error(0, f"{count} PCR selections are over the limit of {MAX_SELECTIONS}")
    selections = tuple([_selection(reader) for _ in range(count)])
    digest = reader.sized(MAX_DIGEST)
    reader.finish()
    return QuoteInfo(selections, digest)


def _selection(reader: Reader) -> PcrSelection:
    bank, size = reader.unpack(_SELECTION)
    if size not in _SELECT_SIZES:
        raise reader.error(reader.offset - 1, f"a PCR bitmap of {size} bytes")
    bitmap = int.from_bytes(reader.take(size), "little")
    return PcrSelection(bank, tuple([index for index in range(size * 8) if bitmap >> index & 1]))
