"""Names and algorithm in a certificate, as the bytes that stand there (RFC 5280, sections 4.1.2.3 to 4.1.2.6).

``cryptography`` reads names too, and warns about those that it finds odd: a warning on bytes that a peer sent is an
error where warnings are errors, and a line in somebody's log elsewhere. These functions compare and look, no more.
"""

from __future__ import annotations

from collections.abc import Iterator

from client_sdk.errors import EvidenceError

_VERSION, _SEQUENCE, _SET, _OID = 0xA0, 0x30, 0x31, 0x06
_COMMON_NAME = b"\x55\x04\x03"
_STRINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}
_LONG = {0x81: 1, 0x82: 2}


def certificate_names(tbs: bytes, where: str) -> tuple[bytes, bytes, bytes]:
    """Return signature algorithm, issuer and subject of a TBSCertificate as DER.

    Raises:
        EvidenceError: the elements do not stand where they belong.
    """
    whole = list(_elements(tbs, 0, len(tbs), where))
    tag, start, end = whole[0] if len(whole) == 1 else (0, 0, 0)
    found = list(_elements(tbs, start, end, where)) if tag == _SEQUENCE else []
    fields = found[1:] if found and found[0][0] == _VERSION else found
    if len(fields) < 5:  # serial number, signature, issuer, validity, subject
        raise EvidenceError(where, "not an X.509 certificate that can be read")
    ends = [end for _tag, _start, end in fields]
    return tbs[ends[0] : ends[1]], tbs[ends[1] : ends[2]], tbs[ends[3] : ends[4]]


def common_name(name: bytes, where: str) -> str:
    """Return the common name in a Name, or nothing where there is not exactly one that is text.

    Raises:
        EvidenceError: it is no Name.
    """
    found = []
    for _tag, start, end in _elements(name, 0, len(name), where):
        for _set, first, last in _elements(name, start, end, where):
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
        head = data[offset : min(offset + 4, end)]
        size, start = head[1] if len(head) > 1 else 0x80, offset + 2
        if size >= 0x80:
            more = _LONG.get(size, 0)
            start += more
            size = int.from_bytes(head[2 : 2 + more], "big") if more and len(head) >= 2 + more else end
        if size > end - start:
            raise EvidenceError(where, "a name or a certificate with an element that runs over its end")
        yield head[0], start, start + size
        offset = start + size
