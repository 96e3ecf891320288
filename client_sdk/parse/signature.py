"""TPMT_SIGNATURE: a signature as a TPM writes it (TPM 2.0 Library, part 2, section 11.3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from client_sdk.parse.reader import Reader

RSASSA, RSAPSS, ECDSA = 0x0014, 0x0016, 0x0018
MAX_RSA = 512
MAX_COORDINATE = 66
_HEAD = Struct(">HH")


@dataclass(frozen=True, slots=True)
class Signature:
    """Algorithm and hash as the message claims them; an RSA signature, or the two numbers of an ECDSA one."""

    algorithm: int
    hash_algorithm: int
    rsa: bytes
    r: int
    s: int


def parse_signature(data: bytes) -> Signature:
    """Read a signature to its last byte.

    Raises:
        EvidenceError: with the offset.
    """
    reader = Reader(data, "signature")
    algorithm, hash_algorithm = reader.unpack(_HEAD)
    rsa, r, s = b"", 0, 0
    if algorithm in (RSASSA, RSAPSS):
        rsa = reader.sized(MAX_RSA)
    elif algorithm == ECDSA:
        r = int.from_bytes(reader.sized(MAX_COORDINATE), "big")
        s = int.from_bytes(reader.sized(MAX_COORDINATE), "big")
    else:
        raise reader.error(0, f"signature algorithm {algorithm:#06x} is not known")
    reader.finish()
    return Signature(algorithm, hash_algorithm, rsa, r, s)
