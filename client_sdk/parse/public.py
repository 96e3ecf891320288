"""TPMT_PUBLIC: the public area of a TPM key (TPM 2.0 Library, part 2, section 12.2.4).

The key's Name is the hash of these bytes, so the attributes in them are as true as the Name is proven, not more.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

from client_sdk.parse.reader import Reader

RSA, ECC = 0x0001, 0x0023
NULL, SHA256, AES = 0x0010, 0x000B, 0x0006
NIST_P256, NIST_P384, NIST_P521 = 0x0003, 0x0004, 0x0005
_SCHEMES_WITH_HASH = (0x0014, 0x0016, 0x0018, 0x0017)
MAX_POLICY = 64
MAX_UNIQUE = 512
_HEAD, _U16, _RSA, _ECC = Struct(">HHI"), Struct(">H"), Struct(">HI"), Struct(">HH")

FIXED_TPM, FIXED_PARENT, SENSITIVE_DATA_ORIGIN = 1 << 1, 1 << 4, 1 << 5
RESTRICTED, DECRYPT, SIGN = 1 << 16, 1 << 17, 1 << 18


@dataclass(frozen=True, slots=True)
class Public:
    """A public area. ``size`` is the RSA key's bits or the ECC curve's id; ``unique`` its modulus, or x and y."""

    kind: int
    name_algorithm: int
    attributes: int
    policy: bytes
    symmetric: int
    scheme: int
    scheme_hash: int
    size: int
    exponent: int
    unique: tuple[bytes, ...]
    name: bytes


def parse_public(data: bytes) -> Public:
    """Read a public area to its last byte and compute its Name.

    Raises:
        EvidenceError: with the offset; also for a name algorithm other than SHA-256.
    """
    reader = Reader(data, "ak_public")
    kind, name_algorithm, attributes = reader.unpack(_HEAD)
    if kind not in (RSA, ECC):
        raise reader.error(0, f"key type {kind:#06x} is not known")
    if name_algorithm != SHA256:
        raise reader.error(2, f"name algorithm {name_algorithm:#06x} is not SHA-256")
    policy = reader.sized(MAX_POLICY)
    symmetric = _symmetric(reader)
    (scheme,) = reader.unpack(_U16)
    (scheme_hash,) = reader.unpack(_U16) if scheme in _SCHEMES_WITH_HASH else (NULL,)
    if kind == RSA:
        size, exponent = reader.unpack(_RSA)
        unique: tuple[bytes, ...] = (reader.sized(MAX_UNIQUE),)
    else:
        size, kdf = reader.unpack(_ECC)
        exponent = 0
        if kdf != NULL:
            raise reader.error(reader.offset - 2, f"key derivation scheme {kdf:#06x} is not TPM_ALG_NULL")
        unique = (reader.sized(MAX_UNIQUE), reader.sized(MAX_UNIQUE))
    reader.finish()
    name = b"\x00\x0b" + sha256(data).digest()
    return Public(
        kind, name_algorithm, attributes, policy, symmetric, scheme, scheme_hash, size, exponent, unique, name
    )


def _symmetric(reader: Reader) -> int:
    (algorithm,) = reader.unpack(_U16)
    if algorithm == AES:
        reader.take(4)  # key bits and mode: of no use to a signing key, which the verifier wants without them
    elif algorithm != NULL:
        raise reader.error(reader.offset - 2, f"symmetric algorithm {algorithm:#06x} is not known")
    return int(algorithm)
