"""PEM (RFC 7468) to DER, for the edges where files come in: evidence itself is always DER.

Text around the blocks is ignored, as the standard has it; inside a block nothing is.
"""

from __future__ import annotations

import base64
import binascii
import re

from client_sdk.errors import EvidenceError

MAX_BLOCKS = 16
_DER = (b"\x30\x81", b"\x30\x82")  # a SEQUENCE of 128 bytes or more; "0" then ASCII would be text
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,32})-----")
_SPACE = b" \t\r\n"


def parse_pem_or_der(data: bytes, where: str, *, label: str = "CERTIFICATE") -> tuple[bytes, ...]:
    """Return the DER of one object, or of each PEM block in order; every block must have this label.

    What is inside the DER is not looked at.

    Raises:
        EvidenceError: it is neither, or a block is cut short, has another label or is not base64.
    """
    if data.startswith(_DER):
        return (data,)
    found: list[bytes] = []
    position = 0
    while begin := _BEGIN.search(data, position):
        if len(found) == MAX_BLOCKS:
            raise EvidenceError(f"{where} byte {begin.start()}", f"over the limit of {MAX_BLOCKS} PEM blocks")
        if begin[1] != label.encode():
            raise EvidenceError(f"{where} byte {begin.start()}", f"a PEM block that is not of a {label}")
        end = b"-----END " + begin[1] + b"-----"
        stop = data.find(end, begin.end())
        if stop < 0:
            raise EvidenceError(f"{where} byte {begin.start()}", "a PEM block without its end")
        found.append(_decode(data[begin.end() : stop], f"{where} byte {begin.end()}"))
        position = stop + len(end)
    if not found:
        raise EvidenceError(where, f"neither DER nor PEM of a {label}")
    return tuple(found)


def _decode(text: bytes, where: str) -> bytes:
    packed = text.translate(None, delete=_SPACE)
    try:
        data = base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        raise EvidenceError(where, "not base64") from error
    if base64.b64encode(data) != packed:
        raise EvidenceError(where, "base64 is not canonical")
    return data
