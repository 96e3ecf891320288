"""TLS towards callers: 1.3 alone, by the key of this boot."""

from __future__ import annotations

import ssl
from pathlib import Path

_RECORD = 1 << 14  # bytes of plain text in a record (RFC 8446, 5.1)


class RecordReader(ssl.SSLObject):
    """Reads no more at once than OpenSSL has, which is a record.

    The event loop asks for 256 KiB at each read. As much memory would be mapped for it, and given back when 16 are in
    it: the unit has malloc do so with all that is large.
    """

    def read(self, size: int = 1024, buffer: bytearray | None = None) -> bytes | int:  # type: ignore[override]
        """Read a record, or the rest of one."""
        return super().read(min(size, _RECORD), buffer)


def tls_context(folder: Path) -> ssl.SSLContext:
    """Make the server's context: TLS 1.3 alone, the key of this boot, no session tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a resumed session would be one without a look at the certificate
    context.sslobject_class = RecordReader
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
