"""Signing a PE image for Secure Boot, the same bytes every time.

The signature is RSA PKCS#1 v1.5 over signed attributes without a time, so key and image determine it. The image's
Authenticode digest is that of the unsigned image: what PCR 4 and the manifest name does not change by signing.

Sources: Microsoft, "Windows Authenticode Portable Executable Signature Format"; RFC 5652 (CMS); UEFI 2.10, section
32.2.3. Debian's sbsign writes the time of signing, which would make each signature another one.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from provisioner.errors import MeasureError
from provisioner.measure.pe import CERTIFICATE_DIRECTORY, authenticode, parse_image
from provisioner.secure_boot.der import (
    explicit,
    implicit,
    integer,
    null,
    object_id,
    octets,
    sequence,
    set_of,
)
from provisioner.secure_boot.keys import Pair

_SIGNED_DATA, _CONTENT_TYPE, _MESSAGE_DIGEST = (object_id(f"1.2.840.113549.1.{rest}") for rest in ("7.2", "9.3", "9.4"))
_SHA256, _RSA = object_id("2.16.840.1.101.3.4.2.1"), object_id("1.2.840.113549.1.1.1")
_INDIRECT_DATA, _PE_IMAGE_DATA = object_id("1.3.6.1.4.1.311.2.1.4"), object_id("1.3.6.1.4.1.311.2.1.15")
_ALIGNMENT = 8
_REVISION_2, _PKCS_SIGNED_DATA = 0x0200, 0x0002


def sign(image: bytes, signer: Pair) -> bytes:
    """Return the image with one signature.

    Raises:
        MeasureError: it is no PE image, is signed already, or its length needs padding that the digest would miss.
    """
    parsed = parse_image("uki.efi", image)
    if parsed.certificates_size:
        raise MeasureError("uki.efi: signed already; sign the image as it was baked")
    if len(image) % _ALIGNMENT:
        raise MeasureError(f"uki.efi: {len(image)} bytes, not a multiple of {_ALIGNMENT}; bake the image again")
    body = signature(authenticode(parsed), signer)
    body += bytes(-len(body) % _ALIGNMENT)
    entry = (8 + len(body)).to_bytes(4, "little") + _REVISION_2.to_bytes(2, "little")
    table = entry + _PKCS_SIGNED_DATA.to_bytes(2, "little") + body
    signed = bytearray(image + table)
    directory = parsed.optional_header + CERTIFICATE_DIRECTORY
    signed[directory : directory + 8] = len(image).to_bytes(4, "little") + len(table).to_bytes(4, "little")
    return bytes(signed)


def signature(digest: bytes, signer: Pair) -> bytes:
    """Return the PKCS #7 SignedData over an Authenticode digest, in DER."""
    content = sequence(
        sequence(_PE_IMAGE_DATA, _page_hashes_absent()),
        sequence(sequence(_SHA256, null()), octets(digest)),
    )
    # The digest is of the content without its tag and length.
    inner = content[_header_length(content) :]
    attributes = (
        sequence(_CONTENT_TYPE, set_of(_INDIRECT_DATA)),
        sequence(_MESSAGE_DIGEST, set_of(octets(hashlib.sha256(inner).digest()))),
    )
    signed = signer.key.sign(set_of(*attributes), PKCS1v15(), SHA256())
    signer_info = sequence(
        integer(1),
        sequence(signer.certificate.issuer.public_bytes(), integer(signer.certificate.serial_number)),
        sequence(_SHA256, null()),
        implicit(0, set_of(*attributes)),
        sequence(_RSA, null()),
        octets(signed),
    )
    data = sequence(
        integer(1),
        set_of(sequence(_SHA256, null())),
        sequence(_INDIRECT_DATA, explicit(0, content)),
        implicit(0, set_of(signer.der)),
        set_of(signer_info),
    )
    return sequence(_SIGNED_DATA, explicit(0, data))


def _page_hashes_absent() -> bytes:
    """Return SpcPeImageData: no flags, and the file's name that the format wants, which says nothing."""
    text = bytes([0x80, 0])  # SpcString, empty
    return sequence(b"\x03\x01\x00", explicit(0, explicit(2, text)))


def _header_length(encoded: bytes) -> int:
    return 2 + (encoded[1] & 0x7F if encoded[1] & 0x80 else 0)
