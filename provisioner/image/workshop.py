"""The tools tree at work: every pack tool runs in it, over one folder, without a network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.image.chroot import Bind, run_inside

INSIDE = "/work"


@dataclass(frozen=True, slots=True)
class Workshop:
    """A tools tree, the folder it works in (seen there as /work), the bake's instant and seed."""

    tools: Path
    folder: Path
    epoch: int
    seed: str

    def run(self, argv: Sequence[str], *, what: str, binds: Sequence[Bind] = (), stdin: bytes = b"") -> bytes:
        """Run a tool; its paths are relative to the folder's place, /work.

        Raises:
            BakeError: the tool fails.
        """
        work = Bind(self.folder, INSIDE, writable=True)
        # In a shell for the working folder only: mtools and objcopy take relative names.
        shell = ["sh", "-c", 'cd /work && exec "$@"', "sh", *argv]
        env = {"SOURCE_DATE_EPOCH": str(self.epoch), "MTOOLS_SKIP_CHECK": "1"}
        return run_inside(self.tools, shell, what=what, binds=(work, *binds), env=env, stdin=stdin)

    def bytes_for(self, purpose: str) -> bytes:
        """Return 32 bytes that depend on the bake's inputs and the purpose alone."""
        return hashlib.sha256(f"vitrine/{purpose}/v1\0{self.seed}".encode()).digest()

    def uuid_for(self, purpose: str) -> str:
        """Return a UUID that depends on the bake's inputs and the purpose alone."""
        return derived_uuid(self.bytes_for(purpose))


def derived_uuid(data: bytes) -> str:
    """Make a version 8 UUID (vendor-specific) of the first 16 of some bytes."""
    raw = bytearray(data[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
