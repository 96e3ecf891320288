"""A bounded cursor over bytes: a short read and a left-over byte are :class:`EvidenceError`, with the offset."""

from __future__ import annotations

from client_sdk.errors import EvidenceError


class Reader:
    """Read big-endian TPM structures front to back; ``name`` begins every error's place."""

    __slots__ = ("_data", "_name", "_offset")

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name, self._offset = data, name, 0

    @property
    def where(self) -> str:
        """The current place, for an error."""
        return f"{self._name} byte {self._offset}"

    def take(self, size: int) -> bytes:
        """Read exactly ``size`` bytes."""
        end = self._offset + size
        if end > len(self._data):
            raise EvidenceError(self.where, f"{size} bytes are needed, {len(self._data) - self._offset} are left")
        found = self._data[self._offset : end]
        self._offset = end
        return found

    def unsigned(self, size: int) -> int:
        """Read a big-endian unsigned integer of ``size`` bytes."""
        return int.from_bytes(self.take(size), "big")

    def sized(self, limit: int) -> bytes:
        """Read a TPM2B: a 16-bit size of at most ``limit``, then as many bytes."""
        where = self.where
        size = self.unsigned(2)
        if size > limit:
            raise EvidenceError(where, f"a size of {size} bytes is over the limit of {limit}")
        return self.take(size)

    def rest(self) -> bytes:
        """Read everything that is left."""
        return self.take(len(self._data) - self._offset)

    def finish(self) -> None:
        """Refuse bytes that are left over."""
        if left := len(self._data) - self._offset:
            raise EvidenceError(self.where, f"{left} bytes are left over")
