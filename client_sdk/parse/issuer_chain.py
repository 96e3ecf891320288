"""PEM certificates one after another, plain or URL-encoded.

Intel's service sends them in HTTP headers, quotes carry them with a NUL at the end (Intel PCS API v4; Intel TDX DCAP
Quoting Library API, appendix A.3). The order is the sender's. Nothing here says who signed whom.
"""

from __future__ import annotations

import binascii
import re

from client_sdk.errors import EvidenceError

MAX_CHAIN = 64 * 1024
MAX_CERTIFICATES = 8
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_SPACE = b" \t\r\n\v\f"


def parse_chain(data: bytes, where: str) -> tuple[bytes, ...]:
    """Return the DER of each certificate, in the order of the text.

    Raises:
        EvidenceError: something other than certificates and white space, too many of them, or none.
    """
    if len(data) > MAX_CHAIN:
        raise EvidenceError(where, f"{len(data)} bytes of certificates are over the limit of {MAX_CHAIN}")
    text = data.rstrip(b"\0")
    if text.startswith(b"-----BEGIN%20"):
        text = _ESCAPE.sub(_unescape, text)
    head, *blocks = text.split(_BEGIN)
    if head.strip() or not 1 <= len(blocks) <= MAX_CERTIFICATES:
        raise EvidenceError(where, f"expected 1 to {MAX_CERTIFICATES} PEM certificates and nothing else")
    return tuple([_der(block, f"{where}[{number}]") for number, block in enumerate(blocks)])


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if match[1] else b"%"


def _der(block: bytes, where: str) -> bytes:
    content, end, tail = block.partition(_END)
    body = content.translate(None, delete=_SPACE)
    if not end or tail.strip() or not body or body.endswith(b"==="):
        raise EvidenceError(where, "not a PEM certificate")
    try:
        return binascii.a2b_base64(body, strict_mode=True)  # which takes more than two of them
    except binascii.Error as error:
        raise EvidenceError(where, "the certificate is not base64") from error
