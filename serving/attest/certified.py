"""The certificate of an attestation key, as a cloud leaves it in a TPM: it has to be for the key that the TPM has.

It is compared, not verified: only a client's own roots say who is believed.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from serving.attest.tpm import Key
from serving.errors import SealError

_LONG_SEQUENCE = b"\x30\x82"  # a DER SEQUENCE whose length has two bytes: 256 bytes and more
_HEADER = 4


def certificate_of(image: bytes, key: Key, where: str) -> bytes:
    """Return the certificate in an image of an NV index, without the zero bytes that may follow it.

    Raises:
        SealError: it cannot be read, or it is for another key.
    """
    end = _HEADER + int.from_bytes(image[2:_HEADER], "big")
    if image[:2] != _LONG_SEQUENCE or end > len(image) or image[end:].strip(b"\0"):
        raise SealError(f"{where} holds no certificate; recreate the VM")
    try:
        certified = x509.load_der_x509_certificate(image[:end]).public_key()
        same = certified == serialization.load_pem_public_key(key.pem)
    except ValueError as error:
        raise SealError(f"{where} holds a certificate that cannot be read; recreate the VM") from error
    if not same:
        raise SealError(f"the certificate in {where} is for another key than this TPM's; recreate the VM")
    return image[:end]
