"""Predict what a boot of these artefacts leaves in the TPM, from the artefacts alone.

(0) read uki.efi and boot.raw, and check that the disk carries exactly this UKI
(1) PCR 2, 3, 6: nothing of ours runs before the UKI, so only the separator
(2) PCR 4: the boot attempt, the UKI, the kernel inside it
(3) PCR 5: the partition table, the end of boot services
(4) PCR 7: Secure Boot is off
(5) PCR 9: command line and initrd as the kernel sees them
(6) PCR 11: the UKI's sections, then the boot phases
(7) PCR 12, 13, 14: nothing, so no event names them
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from provisioner.errors import MeasureError
from provisioner.measure import firmware, stub
from provisioner.measure.event import Event, event_of, replay
from provisioner.measure.gpt import Table, read_table
from provisioner.measure.pe import Image, authenticode, parse_image, section

PREDICTED_PCRS = (2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14)
PHASES = ("sysinit", "ready")
_MAX_UKI = 512 << 20


@dataclass(frozen=True, slots=True)
class Prediction:
    """The PCR values that a boot of the artefacts gives, with the events that they come from.

    It says what *would* be measured by the firmware of the tools tree; it proves nothing about a machine.
    """

    authenticode: bytes
    phases: tuple[str, ...]
    events: tuple[Event, ...]

    @property
    def pcrs(self) -> Mapping[int, bytes]:
        """The predicted value of each predicted PCR."""
        return MappingProxyType({pcr: replay(self.events_of(pcr)) for pcr in PREDICTED_PCRS})

    def events_of(self, pcr: int) -> tuple[Event, ...]:
        """Return the events of one PCR, in order."""
        return tuple(event for event in self.events if event.pcr == pcr)

    def to_json(self) -> dict[str, object]:
        """Return the prediction as JSON values."""
        return {
            "version": 1,
            "authenticode": self.authenticode.hex(),
            "phases": list(self.phases),
            "pcrs": {str(pcr): value.hex() for pcr, value in self.pcrs.items()},
        }


def predict(artefacts: Path, *, phases: tuple[str, ...] = PHASES) -> Prediction:
    """Predict the PCRs from artefacts/uki.efi and artefacts/boot.raw.

    Raises:
        MeasureError: a file is missing or malformed, or the two do not belong together.
    """
    _check_phases(phases)
    uki = parse_image("uki.efi", _read_uki(artefacts / "uki.efi"))  # (0)
    table = _read_disk(artefacts / "boot.raw", uki.data)
    stub.check_sections(uki)
    return Prediction(authenticode(uki), phases, _events(uki, table, phases))


def explain(prediction: Prediction) -> str:
    """Return the events per PCR with the running value after each, to find where a real boot parts from it."""
    lines = []
    for pcr in PREDICTED_PCRS:
        events = prediction.events_of(pcr)
        lines.append(f"PCR {pcr} = {replay(events).hex()}")
        for index, event in enumerate(events):
            after = replay(events[: index + 1]).hex()
            lines.append(f"    {event.digest.hex()}  -> {after[:16]}…  {event.what}")
    return "\n".join(lines)


def _events(uki: Image, table: Table, phases: tuple[str, ...]) -> tuple[Event, ...]:
    kernel = parse_image("uki.efi: .linux", section(uki, ".linux"))
    return (
        *(firmware.separator(pcr) for pcr in (2, 3, 6)),  # (1)
        *firmware.boot_attempt(),  # (2)
        Event(4, authenticode(uki), "UKI, Authenticode"),
        Event(4, authenticode(kernel), "kernel inside the UKI, Authenticode"),
        firmware.separator(5),  # (3)
        event_of(5, table.event_data(), "GPT of the boot disk"),
        *firmware.exit_boot_services(),
        *firmware.secure_boot_off(),  # (4)
        *stub.kernel_inputs(uki),  # (5)
        *stub.sections_measured(uki),  # (6)
        *stub.phases_measured(phases),
    )


def _check_phases(phases: tuple[str, ...]) -> None:
    for phase in phases:
        if not phase.isascii() or not phase.replace("-", "").isalnum():
            raise MeasureError(f"{phase!r} is not the name of a boot phase")


def _read_uki(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_UKI + 1)
    except OSError as error:
        raise MeasureError(f"cannot read {path}: {error.strerror}; bake the image first") from error
    if len(data) > _MAX_UKI:
        raise MeasureError(f"{path} is larger than {_MAX_UKI} bytes, so it is no UKI of ours")
    return data


def _read_disk(path: Path, uki: bytes) -> Table:
    try:
        with path.open("rb") as disk:
            table = read_table(path.name, disk)
            if not table.partitions:
                raise MeasureError(f"{path.name}: no partitions")
            with mmap.mmap(disk.fileno(), 0, access=mmap.ACCESS_READ) as content:
                _check_carries(content, table, uki)
    except OSError as error:
        raise MeasureError(f"cannot read {path}: {error.strerror}; bake the image first") from error
    return table


def _check_carries(disk: mmap.mmap, table: Table, uki: bytes) -> None:
    """Refuse a disk whose first partition does not hold the UKI in one piece.

    That the firmware finds it there, under the default path, only a boot shows.
    """
    system = table.partitions[0]
    if disk.find(uki, system.offset, system.offset + system.size) < 0:
        raise MeasureError("boot.raw does not carry uki.efi in its first partition; bake the image again")
