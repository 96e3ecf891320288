"""An Intel TDX quote, versions 4 and 5, from its header to the PCK certificates inside.

Source: Intel TDX DCAP Quoting Library API, appendix A.3 and A.4. Everything before the signature data is signed by
the attestation key, once that key is proven; the signature data is not. Quotes come with padding behind them: those
bytes belong to nothing and are never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from client_sdk.parse.reader import Reader

VERSIONS = (4, 5)
BODY_TDX_10, BODY_TDX_15 = 2, 3
_BODIES = {BODY_TDX_10: 584, BODY_TDX_15: 648}
CERTIFICATION_QE_REPORT, CERTIFICATION_PCK_CHAIN = 6, 5
MAX_SIGNATURE_DATA = 64 * 1024
MAX_AUTH_DATA = 1024
QE_REPORT_SIZE = 384
_HEADER = Struct("<HHI4x16s20s")
_DESCRIPTOR = Struct("<HI")
_BODY = Struct("<16s48s48s8sQQ48s48s48s48s48s48s48s48s64s")
_BODY_15 = Struct("<16s48s")
_SIZE, _CERTIFICATION, _AUTH_SIZE = Struct("<I"), Struct("<HI"), Struct("<H")
_QE_REPORT = Struct("<16x4s28x16s32x32x32s96xHH60x64s")


@dataclass(frozen=True, slots=True)
class Header:
    """What a quote says it is. ``key_type`` 2 is ECDSA over P-256; ``tee_type`` 0x81 is TDX."""

    version: int
    key_type: int
    tee_type: int
    vendor: bytes
    user_data: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """TDREPORT as the quote repeats it. ``tee_tcb_svn_2`` and ``mr_service_td`` are empty before TDX 1.5.

    ``tee_tcb_svn`` belongs to the TDX module that started the TD, ``tee_tcb_svn_2`` to the one that runs now.
    """

    kind: int
    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: bytes
    attributes: int
    xfam: int
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    tee_tcb_svn_2: bytes
    mr_service_td: bytes


@dataclass(frozen=True, slots=True)
class QeReport:
    """The quoting enclave's own report: who it is, and in ``report_data`` which attestation key it made."""

    misc_select: bytes
    attributes: bytes
    mr_signer: bytes
    isv_prod_id: int
    isv_svn: int
    report_data: bytes


@dataclass(frozen=True, slots=True)
class TdxQuote:
    """A whole quote. ``signed`` are the bytes that the attestation key signs, ``qe_signed`` those of the PCK's key."""

    header: Header
    body: Body
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: QeReport
    qe_signed: bytes
    qe_signature: bytes
    qe_auth_data: bytes
    certification_kind: int
    certification: bytes


def parse_header(quote: bytes) -> Header:
    """Read the 48 bytes that every version of a quote begins with; the rest may be anything.

    Raises:
        EvidenceError: there are fewer.
    """
    return Header(*Reader(quote, "quote").unpack(_HEADER))


def parse_quote(quote: bytes) -> TdxQuote:
    """Read a TDX quote of version 4 or 5 up to the end of its signature data.

    Raises:
        EvidenceError: with the offset; also for a version or a body that is not known.
    """
    reader = Reader(quote, "quote")
    header = Header(*reader.unpack(_HEADER))
    if header.version not in VERSIONS:
        raise reader.error(0, f"version {header.version} is not 4 or 5")
    body = _body(reader, BODY_TDX_10 if header.version == 4 else 0)
    signed = quote[: reader.offset]
    (size,) = reader.unpack(_SIZE)
    start, available = reader.offset, len(quote) - reader.offset
    if size > MAX_SIGNATURE_DATA:
        raise reader.error(start - 4, f"signature data of {size} bytes are over the limit of {MAX_SIGNATURE_DATA}")
    if size > available:
        raise reader.error(start, f"signature data of {size} bytes are announced, {available} are there")
    inner = Reader(quote[: start + size], "quote")
    inner.offset = start
    return _signature_data(inner, start + size, header, body, signed)


def _body(reader: Reader, kind: int) -> Body:
    if not kind:
        kind, size = reader.unpack(_DESCRIPTOR)
        if _BODIES.get(kind) != size:
            raise reader.error(reader.offset - 6, f"a body of type {kind} and {size} bytes is not a TDX one")
    fields = reader.unpack(_BODY)
    later = reader.unpack(_BODY_15) if kind == BODY_TDX_15 else (b"", b"")
    return Body(*(kind, *fields[:10], fields[10:14], fields[14], *later))


def _signature_data(reader: Reader, end: int, header: Header, body: Body, signed: bytes) -> TdxQuote:
    signature, key = reader.take(64), reader.take(64)
    outer = _certification(reader, end)
    if outer != CERTIFICATION_QE_REPORT:
        raise reader.error(reader.offset - 6, f"certification data of type {outer} where 6 (QE report) is due")
    qe_signed, qe_signature = reader.take(QE_REPORT_SIZE), reader.take(64)
    (auth_size,) = reader.unpack(_AUTH_SIZE)
    if auth_size > MAX_AUTH_DATA:
        raise reader.error(reader.offset - 2, f"{auth_size} bytes of QE data are over the limit of {MAX_AUTH_DATA}")
    auth_data = reader.take(auth_size)
    inner = _certification(reader, end)
    return TdxQuote(
        header=header,
        body=body,
        signed=signed,
        signature=signature,
        attestation_key=key,
        qe_report=QeReport(*_QE_REPORT.unpack(qe_signed)),
        qe_signed=qe_signed,
        qe_signature=qe_signature,
        qe_auth_data=auth_data,
        certification_kind=inner,
        certification=reader.rest(),
    )


def _certification(reader: Reader, end: int) -> int:
    """Return the type of certification data that must reach exactly to the end of the signature data."""
    kind, size = reader.unpack(_CERTIFICATION)
    if reader.offset + size != end:
        raise reader.error(
            reader.offset - 4, f"{size} bytes of certification data where {end - reader.offset} are left"
        )
    return int(kind)
