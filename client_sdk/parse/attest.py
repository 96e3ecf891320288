"""TPMS_ATTEST: what a TPM signs (TPM 2.0 Library, part 2, sections 10.12.8 and 10.12.1).

Parsing proves nothing: magic, type and signature are the verifier's to check.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.errors import EvidenceError
from client_sdk.parse.reader import Reader

MAX_NAME = 68
MAX_EXTRA_DATA = 64
MAX_DIGEST = 64
MAX_SELECTIONS = 16
_SELECT_SIZES = (3, 4)


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
    return Attest(
        magic=reader.unsigned(4),
        kind=reader.unsigned(2),
        qualified_signer=reader.sized(MAX_NAME),
        extra_data=reader.sized(MAX_EXTRA_DATA),
        clock=reader.unsigned(8),
        reset_count=reader.unsigned(4),
        restart_count=reader.unsigned(4),
        safe=_yes_no(reader),
        firmware_version=reader.unsigned(8),
        body=reader.rest(),
    )


def parse_quote_info(body: bytes) -> QuoteInfo:
    """Read the body of a quote to its last byte.

    Raises:
        EvidenceError: with the offset inside the body.
    """
    reader = Reader(body, "attest.quote")
    where = reader.where
    count = reader.unsigned(4)
    if count > MAX_SELECTIONS:
        raise EvidenceError(where, f"{count} PCR selections are over the limit of {MAX_SELECTIONS}")
    selections = tuple(_selection(reader) for _ in range(count))
    digest = reader.sized(MAX_DIGEST)
    reader.finish()
    return QuoteInfo(selections, digest)


def _yes_no(reader: Reader) -> int:
    where = reader.where
    value = reader.unsigned(1)
    if value > 1:
        raise EvidenceError(where, f"TPMI_YES_NO is {value}")
    return value


def _selection(reader: Reader) -> PcrSelection:
    bank = reader.unsigned(2)
    where = reader.where
    size = reader.unsigned(1)
    if size not in _SELECT_SIZES:
        raise EvidenceError(where, f"a PCR bitmap of {size} bytes")
    bitmap = int.from_bytes(reader.take(size), "little")
    return PcrSelection(bank, tuple(index for index in range(size * 8) if bitmap >> index & 1))
