"""Predict what a boot of these artefacts leaves in the TPM and in a TD's registers, from the artefacts alone.

(0) read uki.efi and boot.raw, and check that the disk carries exactly this UKI
(1) PCR 2, 3, 6: nothing of ours runs before the UKI, so only the separator, or the platform's golden value
(2) PCR 4: the boot attempt, the UKI, the kernel inside it; or the UKI in PCR 2 where the firmware does that
(3) PCR 5: the partition table (or in PCR 2, with the UKI), the end of boot services
(4) PCR 7: the state and the keys of Secure Boot, and the key that let the UKI through
(5) PCR 9: command line and initrd as the kernel sees them
(6) PCR 11: the UKI's sections, then the boot phases
(7) PCR 12, 13, 14: nothing, so no event names them
(8) RTMR1 and RTMR2 of a TD: the same boot, in the order in which it happens

With Secure Boot the kernel inside the UKI is in no PCR of its own: nobody signed it, so the stub keeps the firmware
from checking it, and it is the check that measures. The UKI's digest covers it.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from provisioner.errors import MeasureError
from provisioner.measure import firmware, names, secure_boot, stub
from provisioner.measure.boot import Boot
from provisioner.measure.event import PCR_START, Event, event_of, replay, replay_rtmr
from provisioner.measure.gpt import Table, read_table
from provisioner.measure.pe import Image, authenticode, parse_image, section
from provisioner.measure.rtmr import rtmr1, rtmr2

PREDICTED_PCRS = (2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14)
PHASES = ("sysinit", "ready")
LOCAL_BOOT = Boot()
_MAX_UKI = 512 << 20


@dataclass(frozen=True, slots=True)
class Prediction:
    """The values that a boot of the artefacts gives, with the events that they come from.

    It says what *would* be measured by firmware that boots like ``boot``; it proves nothing about a machine.
    """

    authenticode: bytes
    phases: tuple[str, ...]
    boot: Boot
    events: tuple[Event, ...]
    registers: tuple[tuple[int, tuple[Event, ...]], ...]

    @property
    def pcrs(self) -> Mapping[int, bytes]:
        """The predicted value of each predicted PCR."""
        golden = dict(self.boot.golden)
        indexes = sorted({*PREDICTED_PCRS, *golden})
        return MappingProxyType({pcr: replay(self.events_of(pcr), golden.get(pcr, PCR_START)) for pcr in indexes})

    @property
    def rtmrs(self) -> Mapping[int, bytes]:
        """The predicted value of each predicted run-time register; none where there is no TD."""
        return MappingProxyType({index: replay_rtmr(events) for index, events in self.registers})

    def events_of(self, pcr: int) -> tuple[Event, ...]:
        """Return the events of one PCR, in order."""
        return tuple(event for event in self.events if event.pcr == pcr)

    def to_json(self) -> dict[str, object]:
        """Return the prediction as JSON values."""
        return {
            "version": 2,
            "authenticode": self.authenticode.hex(),
            "phases": list(self.phases),
            "pcrs": {str(pcr): value.hex() for pcr, value in self.pcrs.items()},
            "rtmrs": {str(index): value.hex() for index, value in self.rtmrs.items()},
        }


def predict(artefacts: Path, *, phases: tuple[str, ...] = PHASES, boot: Boot = LOCAL_BOOT) -> Prediction:
    """Predict from artefacts/uki.efi and artefacts/boot.raw what firmware that boots like ``boot`` measures.

    Raises:
        MeasureError: a file is missing or malformed, or the two do not belong together.
    """
    _check_phases(phases)
    uki = parse_image("uki.efi", _read_uki(artefacts / "uki.efi"))  # (0)
    table = _read_disk(artefacts / "boot.raw", uki.data)
    stub.check_sections(uki)
    disk = event_of(boot.table_pcr, table.event_data(), "GPT of the boot disk")
    images, sections = _images(uki, boot), stub.sections_measured(uki)
    events = (*_firmware(boot, disk, images), *stub.kernel_inputs(uki), *sections, *stub.phases_measured(phases))
    registers = ((1, rtmr1(disk, images)), (2, rtmr2(sections))) if boot.tdx else ()  # (8)
    return Prediction(authenticode(uki), phases, boot, events, registers)


def explain(prediction: Prediction) -> str:
    """Return the events per register with its value after each, to find where a real boot parts from it."""
    lines, golden = [], dict(prediction.boot.golden)
    for pcr, value in prediction.pcrs.items():
        lines.append(f"PCR {pcr} = {value.hex()}")
        start = golden.get(pcr, PCR_START)
        if pcr in golden:
            lines.append(f"    {'':64}  -> {start.hex()[:16]}…  golden: the firmware's own part")
        events = prediction.events_of(pcr)
        for index, event in enumerate(events):
            after = replay(events[: index + 1], start).hex()
            lines.append(f"    {event.digest.hex()}  -> {after[:16]}…  {event.what}")
    for number, events in prediction.registers:
        lines.append(f"RTMR{number} = {replay_rtmr(events).hex()}")
        for index, event in enumerate(events):
            after = replay_rtmr(events[: index + 1]).hex()
            lines.append(f"    {event.digest384.hex()}  -> {after[:16]}…  {event.what}")
    return "\n".join(lines)


def _images(uki: Image, boot: Boot) -> tuple[Event, ...]:
    """Return the images that the firmware checks, and so measures."""
    loaded = (_image_event(boot.image_pcr, uki, names.IMAGE),)
    if boot.variables.is_on:
        return loaded
    kernel = parse_image("uki.efi: .linux", section(uki, ".linux"))
    return (*loaded, _image_event(4, kernel, names.KERNEL))


def _image_event(pcr: int, image: Image, what: str) -> Event:
    return Event(pcr, authenticode(image), authenticode(image, "sha384"), what)


def _firmware(boot: Boot, disk: Event, images: tuple[Event, ...]) -> tuple[Event, ...]:
    golden = dict(boot.golden)
    return (
        *(firmware.separator(pcr) for pcr in (2, 3, 6) if pcr not in golden),  # (1)
        *firmware.boot_attempt(),  # (2)
        firmware.separator(5),  # (3)
        disk,
        *images,
        *firmware.exit_boot_services(),
        *secure_boot.variable_events(boot.variables),  # (4)
        firmware.separator(7),
        *secure_boot.authority(boot.variables, boot.signer),
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
