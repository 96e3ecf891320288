"""The four parts of an image: root and model disk under their root hashes, the initrd, and the sections of the UKI.

The root hashes are those of the command line inside the UKI, whose digest the TPM's quote commits to: nothing that lies
beside the disks is believed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.contents.cpio import read_cpio
from provisioner.contents.entry import Part, PartEntry, PartName
from provisioner.contents.erofs import Erofs, open_erofs
from provisioner.contents.unpacked import unpacked
from provisioner.contents.verity import BLOCK, Area, Verity
from provisioner.errors import BakeError, Fault, NotInImageError, SpecError
from provisioner.image.artefacts import FILES
from provisioner.measure.gpt import find_partition, read_table
from provisioner.measure.pe import Image, authenticode, parse_image, section

_OPTION = "vitrine."
_DISKS = {PartName.ROOT: "boot_disk", PartName.MODEL: "model_disk"}
_MAX_UKI = 512 << 20


@dataclass(frozen=True, slots=True)
class Listed:
    """A part whose entries are all at hand."""

    entries: tuple[PartEntry, ...]

    def walk(self) -> Iterator[PartEntry]:
        """Yield every entry, in order of path."""
        yield from sorted(self.entries, key=lambda entry: entry.path)

    def find(self, path: str) -> PartEntry:
        """Return the entry of a path.

        Raises:
            NotInImageError: there is none.
        """
        for entry in self.entries:
            if entry.path.strip("/") == path.strip("/"):
                return entry
        raise NotInImageError(f"there is no {path} in this part of the image")


@dataclass(frozen=True, slots=True)
class Contents:
    """An image folder, its UKI parsed."""

    folder: Path
    uki: Image

    @property
    def cmdline(self) -> str:
        """The command line, out of the UKI."""
        return section(self.uki, ".cmdline").decode("ascii", "replace")

    @property
    def authenticode(self) -> str:
        """The digest of the UKI that firmware measures."""
        return authenticode(self.uki).hex()

    def verity(self, name: PartName) -> Verity:
        """Return the verified device of root or model, as the command line names it.

        Raises:
            BakeError: the command line does not name it once, or gives it more blocks than the disk has.
            MeasureError: the disk has no partition table, or no such partitions.
        """
        root_hash, salt, count = _told(self.cmdline, name)
        disk = self.folder / FILES[_DISKS[name]]
        try:
            with disk.open("rb") as file:
                table = read_table(disk.name, file)
                length = file.seek(0, os.SEEK_END)
        except OSError as error:
            raise BakeError(f"cannot read {disk}: {error.strerror}") from error
        data, tree = find_partition(table, f"vitrine-{name}"), find_partition(table, f"vitrine-{name}-verity")
        room = (min(data.offset + data.size, length) - data.offset) // BLOCK
        if count > room:
            raise BakeError(f"the command line in the UKI gives {name} {count} blocks, where {disk.name} has {room}")
        return Verity(
            Area(disk, data.offset, data.size),
            Area(disk, tree.offset, tree.size),
            root_hash,
            bytes.fromhex(salt),
            count,
        )

    def part(self, name: PartName) -> Part:
        """Open one of the parts.

        Raises:
            BakeError: it is malformed, or is not what the command line names.
            MeasureError: the UKI or a partition table is malformed.
        """
        if name == PartName.INITRD:
            return Listed(tuple(read_cpio(unpacked(section(self.uki, ".initrd")))))
        if name == PartName.UKI:
            return Listed(tuple(_of_section(one.name, one.content()) for one in self.uki.sections))
        return self.file_system(name)

    def file_system(self, name: PartName) -> Erofs:
        """Open root or model."""
        return open_erofs(self.verity(name))


def open_contents(folder: Path) -> Contents:
    """Open an image folder.

    Raises:
        BakeError: it has no UKI that can be read.
        MeasureError: the UKI is malformed.
    """
    path = folder / FILES["uki"]
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_UKI + 1)
    except OSError as error:
        raise BakeError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MAX_UKI:
        raise BakeError(f"{path} is larger than {_MAX_UKI} bytes, so it is no UKI of ours")
    return Contents(folder, parse_image(path.name, data))


def split(text: str) -> tuple[PartName, str]:
    """Read PART:PATH, or PATH alone, which is in the root.

    Raises:
        SpecError: there is no such part.
    """
    name, colon, path = text.partition(":")
    if not colon or "/" in name:
        return PartName.ROOT, text
    try:
        return PartName(name), path or "/"
    except ValueError:
        expected = f"a path in one of an image's parts, {', '.join(PartName)}"
        raise SpecError((Fault(text, expected, f"the part {name!r}"),)) from None


def _of_section(name: str, content: bytes) -> PartEntry:
    return PartEntry(f"/{name}", stat.S_IFREG | 0o444, len(content), lambda: (content,))


def _told(cmdline: str, name: str) -> tuple[str, str, int]:
    option = f"{_OPTION}{name}="
    found = [word.removeprefix(option) for word in cmdline.split() if word.startswith(option)]
    words = found[0].split(":") if len(found) == 1 else []
    shapes = [len(word) == hashlib.sha256().digest_size * 2 and _is_hex(word) for word in words[:2]]
    if len(words) != 3 or not all(shapes) or not words[2].isdigit() or not 0 < int(words[2]) < 1 << 40:
        raise BakeError(f"the command line in the UKI does not name {name} once, by root hash, salt and length")
    return words[0], words[1], int(words[2])


def _is_hex(word: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in word)
