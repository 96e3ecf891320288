"""A folder becomes an erofs file system and its dm-verity hash tree (no superblock: its parameters are measured)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image.chroot import Bind
from provisioner.image.space import require_space, size_of
from provisioner.image.workshop import Workshop

BLOCK = 4096
_ROOT_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Verity:
    """What opens a verified file system: root hash, salt, number of 4096-byte data blocks; and the system's UUID."""

    hash: str
    salt: str
    data_blocks: int
    uuid: str

    def option(self, name: str) -> str:
        """Write the kernel command line option that the initrd reads."""
        return f"vitrine.{name}={self.hash}:{self.salt}:{self.data_blocks}"

    def as_json(self) -> dict[str, str | int]:
        """Return the fields for artefacts.json."""
        return {"hash": self.hash, "salt": self.salt, "data_blocks": self.data_blocks, "uuid": self.uuid}


def make_filesystem(workshop: Workshop, tree: Path, name: str, *, compressed: bool) -> Verity:
    """Pack a folder into <name>.erofs and <name>.verity in the workshop's folder.

    Extended attributes are left out: they would carry the host's security labels, and file capabilities into the VM.

    Raises:
        BakeError: a tool fails or the disk is full.
    """
    # mkfs.erofs 1.8 does not end when the disk fills up under it: its threads wait for each other.
    require_space(workshop.folder, size_of(tree), f"making the {name} file system")
    uuid = workshop.uuid_for(f"{name}-filesystem")
    mount_point = workshop.folder / "tree"
    mount_point.mkdir(exist_ok=True)
    options = [f"-T{workshop.epoch}", f"-U{uuid}", "-x-1", "--quiet", *(["-zlz4hc"] if compressed else [])]
    workshop.run(
        ["mkfs.erofs", *options, f"{name}.erofs", "tree"],
        what=f"making the {name} file system",
        binds=(Bind(tree, "/work/tree"),),
    )
    return _format(workshop, name, uuid)


def _format(workshop: Workshop, name: str, uuid: str) -> Verity:
    size = (workshop.folder / f"{name}.erofs").stat().st_size
    if size % BLOCK:
        raise BakeError(f"{name}.erofs: {size} bytes are not whole blocks")
    salt = workshop.bytes_for(f"{name}-salt").hex()
    fixed = [
        "--no-superblock",
        "--format=1",
        "--hash=sha256",
        f"--data-block-size={BLOCK}",
        f"--hash-block-size={BLOCK}",
    ]
    command = ["veritysetup", "format", *fixed, f"--salt={salt}", f"--root-hash-file={name}.roothash"]
    workshop.run([*command, f"{name}.erofs", f"{name}.verity"], what=f"hashing the {name} file system")
    root_hash = (workshop.folder / f"{name}.roothash").read_text().strip()
    if not _ROOT_HASH.fullmatch(root_hash):
        raise BakeError(f"veritysetup gave no root hash for {name}: {root_hash!r}")
    return Verity(hash=root_hash, salt=salt, data_blocks=size // BLOCK, uuid=uuid)
