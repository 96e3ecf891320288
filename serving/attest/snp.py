"""The table of certificates that a host may hand over with an SNP report (GHCB specification, "certificate data").

Entries of a GUID (its bytes in the order in which it is written), an offset and a length; an entry of zeros ends them.
A client takes the signing key's certificate first. The table is the host's and unsigned: what is in it is believed as
far as it chains, and a client can do without it, by collateral.
"""

from __future__ import annotations

from struct import Struct
from uuid import UUID

from client_sdk.evidence import MAX_CERTIFICATES

VCEK = UUID("63da758d-e664-4564-adc5-f4b93be8accd")
VLEK = UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1")
ASK = UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782")
_ENTRY = Struct("<16sII")


def certificates(table: bytes) -> tuple[bytes, ...]:
    """Return the signing key's certificate and then its CA's; nothing where the table lacks the first.

    The root is left out: a client has its own. A table that contradicts itself counts as none.
    """
    found = _entries(table)
    signing = found.get(VCEK) or found.get(VLEK)
    if signing is None:
        return ()
    return (signing, found[ASK]) if found.get(ASK) else (signing,)


def _entries(table: bytes) -> dict[UUID, bytes]:
    found: dict[UUID, bytes] = {}
    for number in range(MAX_CERTIFICATES):
        place = number * _ENTRY.size
        if place + _ENTRY.size > len(table):
            break
        guid, offset, length = _ENTRY.unpack_from(table, place)
        if not any(guid):
            return found
        if offset + length > len(table):
            break
        found.setdefault(UUID(bytes=guid), table[offset : offset + length])
    return {}
