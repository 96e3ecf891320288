"""What stands where in a certificate or a revocation list (RFC 5280, sections 4.1.2.3 to 4.1.2.6 and 5.1).

``cryptography`` reads names too, and warns about those that it finds odd: a warning on bytes that a peer sent is an
error where warnings are errors, and a line in somebody's log elsewhere. These functions compare and look, no more.
"""

from __future__ import annotations

from collections.abc import Iterator

from client_sdk.errors import EvidenceError

_VERSION, _SEQUENCE, _INTEGER = b"\xa0", b"\x30", b"\x02"
_COMMON_NAME = b"\x55\x04\x03"
_STRINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}
_LONG = {0x81: 1, 0x82: 2, 0x83: 3}  # a list may have megabytes
_FIELDS = 5  # serial number, signature, issuer, validity, subject


def certificate_names(tbs: bytes, where: str) -> tuple[bytes, bytes, bytes]:
    """Return signature algorithm, issuer and subject of a TBSCertificate as DER.

    What stands behind the subject is not looked at.

    Raises:
        EvidenceError: the elements do not stand where they belong.
    """
    offset, end = _content(tbs, 0, len(tbs), where)
    if tbs[:1] != _SEQUENCE or end != len(tbs):
        raise EvidenceError(where, "not an X.509 certificate that can be read")
    if tbs[offset : offset + 1] == _VERSION:
        _, offset = _content(tbs, offset, end, where)
    ends = []
    for _ in range(_FIELDS):
        if offset >= end:
            raise EvidenceError(where, "not an X.509 certificate that can be read")
        _, offset = _content(tbs, offset, end, where)
        ends.append(offset)
    return tbs[ends[0] : ends[1]], tbs[ends[1] : ends[2]], tbs[ends[3] : ends[4]]


def signed_list(der: bytes, where: str) -> bytes:
    """Return the TBSCertList of a revocation list as it was received: the bytes that its signature is over.

    Raises:
        EvidenceError: the elements do not stand where they belong, or there are two signature algorithms.
    """
    start, end = _content(der, 0, len(der), where)
    inner, stop = _content(der, start, end, where)
    if der[inner : inner + 1] == _INTEGER:
        _, inner = _content(der, inner, stop, where)
    _, last = _content(der, inner, stop, where)
    if not der.startswith(der[inner:last], stop):
        raise EvidenceError(where, "the revocation list names two signature algorithms")
    return der[start:stop]


def common_name(name: bytes, where: str) -> str:
    """Return the common name in a Name, or nothing where there is not exactly one that is text.

    Raises:
        EvidenceError: it is no Name.
    """
    found = []
    for _tag, start, end in _elements(name, 0, len(name), where):
        for _set, first, last in _elements(name, start, end, where):
            if _COMMON_NAME not in name[first:last]:
                continue
            for _sequence, begin, stop in _elements(name, first, last, where):
                attribute = list(_elements(name, begin, stop, where))
                if len(attribute) == 2 and name[attribute[0][1] : attribute[0][2]] == _COMMON_NAME:
                    found.append(attribute[1])
    if len(found) != 1 or found[0][0] not in _STRINGS:
        return ""
    tag, start, end = found[0]
    try:
        return name[start:end].decode(_STRINGS[tag])
    except UnicodeDecodeError as error:
        raise EvidenceError(where, "the common name is not text") from error


def _elements(data: bytes, offset: int, end: int, where: str) -> Iterator[tuple[int, int, int]]:
    """Yield tag, start and end of the content of each element between two offsets."""
    while offset < end:
        start, stop = _content(data, offset, end, where)
        yield data[offset], start, stop
        offset = stop


def _content(data: bytes, offset: int, end: int, where: str) -> tuple[int, int]:
    """Return start and end of the content of the element at an offset; ``end`` is that of what it stands in."""
    start = offset + 2
    size = data[offset + 1] if start <= end else end
    if size >= 0x80:
        more = _LONG.get(size, 0)
        start += more
        size = int.from_bytes(data[offset + 2 : start], "big") if more and start <= end else end
    if start + size > end:
        raise EvidenceError(where, "a name or a certificate with an element that runs over its end")
    return start, start + size
