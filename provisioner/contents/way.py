"""How one gets from a file of an image to a digest that a TPM's quote commits to: each link with the digest it gives.

Every link but the last is checked while it is made. The last is what a boot of this image measures: whether a machine
quotes it, only a client's verification shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from provisioner.contents.entry import PartEntry, PartName
from provisioner.contents.image import Contents
from provisioner.contents.verity import Verity
from provisioner.measure import Prediction
from provisioner.measure.names import CMDLINE, IMAGE, INITRD, content_of
from provisioner.measure.pe import section

PCRS = (2, 4, 9, 11)
_SHOWN = 4  # of a file's blocks
_DISKS = (PartName.ROOT, PartName.MODEL)
_BY_CMDLINE = (CMDLINE, content_of(".cmdline"))
_EVENTS = {
    PartName.ROOT: _BY_CMDLINE,
    PartName.MODEL: _BY_CMDLINE,
    PartName.INITRD: (INITRD, content_of(".initrd")),
}


@dataclass(frozen=True, slots=True)
class Link:
    """One step: what it is, the digest that it gives, how one comes to it; ``pcr`` is its number where it is one."""

    what: str
    digest: str
    how: str
    pcr: int | None = None


def way(contents: Contents, name: PartName, entry: PartEntry, prediction: Prediction) -> tuple[Link, ...]:
    """Return the links from an entry to the PCRs, in order.

    Raises:
        BakeError: a block is not what the root hash names.
        MeasureError: the UKI is malformed.
    """
    inside = entry.path if name == PartName.ROOT else f"{name}:{entry.path}"
    links = [Link(f"{'file' if entry.is_file else 'link'} {inside}", entry.sha256(), "SHA-256 of its contents")]
    if name in _DISKS:
        links += _through_verity(contents, name, entry)
    elif name == PartName.INITRD:
        initrd = section(contents.uki, ".initrd")
        links.append(Link("initrd", hashlib.sha256(initrd).hexdigest(), "an archive that holds the file, compressed"))
    # The events that are about what the file is in.
    events = _EVENTS.get(name) or (content_of(entry.path.strip("/")),)
    return (*links, *_through_uki(contents, name, prediction, {IMAGE, *events}))


def _through_verity(contents: Contents, name: PartName, entry: PartEntry) -> Iterator[Link]:
    verity = contents.verity(name)
    blocks = entry.where()
    first, more = list(islice(chain(*blocks), _SHOWN)), sum(map(len, blocks)) - _SHOWN
    shown = ", ".join(map(str, first)) + (f" and {more} more" if more > 0 else "")
    for step in verity.path(first[0]):
        if step.level == 0:
            how = f"SHA-256 of salt and block; the file has blocks {shown}, each checked like this one"
            yield Link(f"data block {step.index}", step.digest, how)
        elif step.digest != verity.root_hash:
            how = f"holds the digest before as number {_before(first[0], step.level) % 128}"
            yield Link(f"hash tree, level {step.level}, block {step.index}", step.digest, how)
    yield from _root(verity, name)


def _before(block: int, level: int) -> int:
    return int(block // 128 ** (level - 1))


def _root(verity: Verity, name: PartName) -> Iterator[Link]:
    yield Link(f"root hash of {name}", verity.root_hash, f"the top of the hash tree, over {verity.count} blocks")


def _through_uki(contents: Contents, name: PartName, prediction: Prediction, events: set[str]) -> Iterator[Link]:
    if name in _DISKS:
        cmdline = section(contents.uki, ".cmdline")
        how = f"names the root hash as vitrine.{name}=; the initrd opens the disk by it, or powers off"
        yield Link("kernel command line", hashlib.sha256(cmdline).hexdigest(), how)
    yield Link("UKI", contents.authenticode, "Authenticode digest of uki.efi, which holds it as a section")
    for pcr in PCRS:
        told = [event.what for event in prediction.events_of(pcr) if event.what in events]
        if told:
            yield Link(f"PCR {pcr}", prediction.pcrs[pcr].hex(), f"predicted for this image: {'; '.join(told)}", pcr)
