"""The roots of hardware makers and clouds that ship with this package: data files, pinned by their SHA-256.

``data/roots/<vendor>.json`` names each certificate, what it is for, where it comes from, and the SHA-256 of its file.
They vouch for their maker's products and nothing else; no simulated root is ever among them.
"""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from importlib import resources

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields, parse_certificate


@cache
def vendor_roots(vendor: str, use: str) -> tuple[CertificateFields, ...]:
    """Return the pinned certificates of a vendor for one use; both are names in ``data/roots``.

    Raises:
        EvidenceError: a file is not the one that was pinned, or there is none for this use.
    """
    folder = resources.files("client_sdk").joinpath("data", "roots")
    rows = json.loads(folder.joinpath(f"{vendor}.json").read_bytes())
    found = tuple(_read(folder.joinpath(row["file"]).read_bytes(), row) for row in rows if row["use"] == use)
    if not found:
        raise EvidenceError(f"roots of {vendor}", f"there is none for {use}")
    return found


@cache
def every_root() -> tuple[CertificateFields, ...]:
    """Return all that ship, also those that production does not pin.

    Raises:
        EvidenceError: a file is not the one that was pinned.
    """
    folder = resources.files("client_sdk").joinpath("data", "roots")
    lists = [json.loads(file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".json")]
    return tuple([_read(folder.joinpath(row["file"]).read_bytes(), row) for rows in lists for row in rows])


def _read(data: bytes, row: dict[str, str]) -> CertificateFields:
    where = f"roots: {row['file']}"
    if sha256(data).hexdigest() != row["sha256"]:
        raise EvidenceError(where, "the file is not the one that was pinned; install the package again")
    (certificate,) = x509.load_pem_x509_certificates(data)
    return parse_certificate(certificate.public_bytes(Encoding.DER), where)
