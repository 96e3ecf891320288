"""What AMD writes into the certificate of a key that signs reports (AMD 57230, chapter 3; a VLEK's has a CSP id).

The extensions stand under 1.3.6.1.4.1.3704.1. They are as true as the chain is proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509

from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.snp import Product

_ARC = "1.3.6.1.4.1.3704.1."
_STRUCT_VERSION, _PRODUCT_NAME, _LEVELS, _HWID, _CSP_ID = "1", "2", "3.", "4", "5"
_NUMBERS = {str(number): number for number in range(1, 10)}
_INTEGER, _IA5_STRING, _OCTET_STRING = 0x02, 0x16, 0x04
_HWID_SIZES = (64, 8)  # Milan and Genoa; Turin
MAX_TEXT = 127  # the short form of a DER length
# The extensions that hold bytes 0 to 7 of the TCB_VERSION that the key belongs to.
LEVELS = {
    Product.MILAN: (1, 2, 4, 5, 6, 7, 3, 8),
    Product.GENOA: (1, 2, 4, 5, 6, 7, 3, 8),
    Product.TURIN: (9, 1, 2, 3, 5, 6, 7, 8),
}


@dataclass(frozen=True, slots=True)
class VekFields:
    """The certificate of a VCEK (it has a ``hwid``) or of a VLEK (it has a ``csp_id``).

    ``levels`` maps the last number of an extension under .1.3 to its security patch level.
    """

    fields: CertificateFields
    struct_version: int
    product_name: str
    levels: Mapping[int, int]
    hwid: bytes
    csp_id: str

    @property
    def is_vlek(self) -> bool:
        """Tell whether the key was loaded for a cloud provider, instead of derived from a chip."""
        return bool(self.csp_id)

    @property
    def product(self) -> Product | None:
        """The product line in the product's name, which may carry a stepping (``Milan-B0``)."""
        line = self.product_name.partition("-")[0]
        return Product(line) if line in tuple(Product) else None


def parse_vek(der: bytes, where: str) -> VekFields:
    """Read a VCEK's or VLEK's certificate to its last byte.

    Raises:
        EvidenceError: it is no certificate, an extension is missing or malformed, or its kind is not clear.
    """
    return read_vek(parse_certificate(der, where), where)


def read_vek(fields: CertificateFields, where: str) -> VekFields:
    """Read the extensions of a certificate that was read.

    Raises:
        EvidenceError: as for :func:`parse_vek`.
    """
    found = _extensions(fields.certificate)
    for name in (_STRUCT_VERSION, _PRODUCT_NAME):
        if name not in found:
            raise EvidenceError(where, f"the certificate has no extension {_ARC}{name}")
    if (_HWID in found) == (_CSP_ID in found):
        raise EvidenceError(where, "the certificate is neither a VCEK's (HWID) nor a VLEK's (CSP id)")
    return VekFields(
        fields=fields,
        struct_version=_integer(found[_STRUCT_VERSION], f"{where}.structVersion"),
        product_name=_text(found[_PRODUCT_NAME], f"{where}.productName"),
        levels=_levels(found, where),
        hwid=_hwid(found[_HWID], f"{where}.hwID") if _HWID in found else b"",
        csp_id=_text(found[_CSP_ID], f"{where}.cspID") if _CSP_ID in found else "",
    )


def _extensions(certificate: x509.Certificate) -> dict[str, bytes]:
    """Return AMD's extensions by what follows the arc."""
    found = {}
    for extension in certificate.extensions:
        oid = extension.oid.dotted_string
        if oid.startswith(_ARC) and isinstance(extension.value, x509.UnrecognizedExtension):
            found[oid[len(_ARC) :]] = extension.value.value
    return found


def _levels(found: dict[str, bytes], where: str) -> dict[int, int]:
    levels = {}
    for name, data in found.items():
        if not name.startswith(_LEVELS):
            continue
        number = _NUMBERS.get(name.removeprefix(_LEVELS))
        if number is None:
            raise EvidenceError(where, f"the certificate has a patch level that is not known, {_ARC}{name[:32]}")
        levels[number] = _integer(data, f"{where}.spl[{number}]")
    return levels


def _integer(data: bytes, where: str) -> int:
    """Read a DER INTEGER from 0 to 255."""
    short = len(data) == 3 and data[:2] == bytes((_INTEGER, 1)) and data[2] < 0x80
    long = len(data) == 4 and data[:3] == bytes((_INTEGER, 2, 0)) and data[3] >= 0x80
    if not (short or long):
        raise EvidenceError(where, "not an INTEGER from 0 to 255 in DER")
    return data[-1]


def _text(data: bytes, where: str) -> str:
    """Read a DER IA5String of 1 to 127 printable characters."""
    text = data[2:]
    if len(data) < 3 or data[0] != _IA5_STRING or data[1] != len(text) or len(text) > MAX_TEXT:
        raise EvidenceError(where, f"not an IA5String of 1 to {MAX_TEXT} characters in DER")
    if not (text.isascii() and text.decode("ascii").isprintable()):
        raise EvidenceError(where, "the IA5String has characters that cannot be printed")
    return text.decode("ascii")


def _hwid(data: bytes, where: str) -> bytes:
    """Read a hardware id: raw bytes, or the same in an OCTET STRING."""
    for size in _HWID_SIZES:
        if len(data) == size:
            return data
        if len(data) == size + 2 and data[:2] == bytes((_OCTET_STRING, size)):
            return data[2:]
    raise EvidenceError(where, f"a hardware id of {len(data)} bytes instead of {' or '.join(map(str, _HWID_SIZES))}")
