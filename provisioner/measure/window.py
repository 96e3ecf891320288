"""Bounded little-endian reads out of bytes that may be cut short or hostile."""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.errors import MeasureError


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes with a name; every read is checked against their end.

    A read that succeeds says nothing about what the bytes mean.

    Raises:
        MeasureError: a read beyond the end, with name and offset.
    """

    name: str
    data: bytes

    def take(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes at ``offset``."""
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise MeasureError(
                f"{self.name}: {size} bytes wanted at offset {offset:#x}, but it ends at {len(self.data):#x}"
            )
        return self.data[offset : offset + size]

    def number(self, offset: int, size: int) -> int:
        """Return the unsigned little-endian number of ``size`` bytes at ``offset``."""
        return int.from_bytes(self.take(offset, size), "little")
