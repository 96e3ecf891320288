"""A bounded cursor over bytes: a short read and a left-over byte are :class:`EvidenceError`, with the offset."""

from __future__ import annotations

from struct import Struct
from typing import Any

from client_sdk.errors import EvidenceError

_SIZE = Struct(">H")


class Reader:
    """Read big-endian TPM structures front to back; ``name`` begins every error's place."""

    __slots__ = ("_data", "_name", "offset")

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name, self.offset = data, name, 0

    def error(self, offset: int, message: str) -> EvidenceError:
        """Make an error about the byte at ``offset``."""
        return EvidenceError(f"{self._name} byte {offset}", message)

    def take(self, size: int) -> bytes:
        """Read exactly ``size`` bytes."""
        start, end = self.offset, self.offset + size
        if end > len(self._data):
            raise self.error(start, f"{size} bytes are needed, {len(self._data) - start} are left")
        self.offset = end
        return self._data[start:end]

    def unpack(self, layout: Struct) -> tuple[Any, ...]:
        """Read the fixed fields of a layout."""
        start, end = self.offset, self.offset + layout.size
        if end > len(self._data):
            raise self.error(start, f"{layout.size} bytes are needed, {len(self._data) - start} are left")
        self.offset = end
        return layout.unpack_from(self._data, start)

    def sized(self, limit: int) -> bytes:
        """Read a TPM2B: a 16-bit size of at most ``limit``, then as many bytes."""
        (size,) = self.unpack(_SIZE)
        if size > limit:
            raise self.error(self.offset - 2, f"a size of {size} bytes is over the limit of {limit}")
        return self.take(size)

    def rest(self) -> bytes:
        """Read everything that is left."""
        return self.take(len(self._data) - self.offset)

    def finish(self) -> None:
        """Refuse bytes that are left over."""
        if left := len(self._data) - self.offset:
            raise self.error(self.offset, f"{left} bytes are left over")
