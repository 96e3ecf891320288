"""EFI signature lists: what the variables PK, KEK, db and dbx hold (UEFI 2.10, section 32.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from provisioner.errors import MeasureError
from provisioner.measure.window import Window

X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
_HEAD = 28
_OWNER = 16


@dataclass(frozen=True, slots=True)
class Signature:
    """One EFI_SIGNATURE_DATA with the type of its list; ``owner`` says who enrolled it and proves nothing."""

    kind: UUID
    owner: UUID
    content: bytes

    def data(self) -> bytes:
        """Return EFI_SIGNATURE_DATA, as firmware measures it when it lets an image through."""
        return self.owner.bytes_le + self.content


def list_of(certificate: bytes, owner: UUID) -> bytes:
    """Return an EFI_SIGNATURE_LIST with one certificate (DER)."""
    size = _OWNER + len(certificate)
    head = b"".join(number.to_bytes(4, "little") for number in (_HEAD + size, 0, size))
    return X509.bytes_le + head + owner.bytes_le + certificate


def signatures(name: str, data: bytes) -> tuple[Signature, ...]:
    """Read every signature of a variable, in order; an empty variable has none.

    Raises:
        MeasureError: sizes do not add up; firmware would refuse such a variable.
    """
    found: list[Signature] = []
    window, offset = Window(f"variable {name}", data), 0
    while offset < len(data):
        kind = UUID(bytes_le=window.take(offset, 16))
        size, header, each = (window.number(offset + place, 4) for place in (16, 20, 24))
        body = size - _HEAD - header
        if each <= _OWNER or body <= 0 or body % each:
            raise MeasureError(f"{window.name}: the list at {offset:#x} has sizes that do not add up")
        window.take(offset, size)
        start = offset + _HEAD + header
        for place in range(start, offset + size, each):
            owner = UUID(bytes_le=window.take(place, _OWNER))
            found.append(Signature(kind, owner, window.take(place + _OWNER, each - _OWNER)))
        offset += size
    return tuple(found)
