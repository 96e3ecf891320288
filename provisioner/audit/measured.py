"""What the rebuilt image measures, beside what a release states and what a machine quotes.

Only what comes out of the image is compared: on a cloud PCR 2, 3, 6 and 7 are the firmware's and the key owner's, and a
client compares them with the release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from client_sdk.evidence import LOCAL_QEMU
from client_sdk.release import Measurement
from provisioner.audit.finding import Finding
from provisioner.measure import Boot, Prediction, predict
from provisioner.measure.boot import BOOT_PCR
from provisioner.measure.event import PCR_START, Event, replay
from provisioner.measure.names import KERNEL
from provisioner.platforms import SECURE_BOOT

_ALWAYS = (9, 11, 12, 13, 14)
_LOCAL = (2, 3, 4, 5, 6, 9, 11, 12, 13, 14)
_KEYS, _IMAGE = 7, 4
_RTMR_OF_SECTIONS = 2


@dataclass(frozen=True, slots=True)
class Predicted:
    """What the image measures on one platform in one boot mode, as far as it comes out of the image alone."""

    platform: str
    boot_mode: str
    prediction: Prediction
    pcrs: Mapping[int, bytes]
    rtmrs: Mapping[int, bytes]

    @property
    def name(self) -> str:
        """Platform and boot mode."""
        return f"{self.platform} {self.boot_mode}"


def predict_for(image: Path, measurement: Measurement) -> Predicted:
    """Predict what an image measures where a release's measurement is for.

    Raises:
        MeasureError: the image cannot be measured.
    """
    boot = Boot(image_pcr=measurement.image_pcr, tdx=bool(measurement.rtmrs))
    prediction = predict(image, phases=measurement.phases, boot=boot)
    secure = measurement.boot_mode == SECURE_BOOT
    chosen = (*_ALWAYS, *((4, 5) if measurement.image_pcr == BOOT_PCR else ()))
    if measurement.platform == LOCAL_QEMU:
        chosen = (*_LOCAL, *(() if secure else (_KEYS,)))
    pcrs = {pcr: prediction.pcrs[pcr] for pcr in sorted(chosen)}
    if secure and _IMAGE in pcrs:
        pcrs[_IMAGE] = replay(_checked(prediction), PCR_START)
    rtmrs = {index: value for index, value in prediction.rtmrs.items() if index == _RTMR_OF_SECTIONS}
    return Predicted(measurement.platform, measurement.boot_mode, prediction, pcrs, rtmrs)


def compare_release(predicted: Predicted, measurement: Measurement) -> Iterator[Finding]:
    """Yield what a release states otherwise than the image measures."""
    where = f"release: {predicted.name}"
    if measurement.image_authenticode != predicted.prediction.authenticode:
        found = predicted.prediction.authenticode.hex()
        yield Finding(f"{where}: Authenticode digest of the UKI", measurement.image_authenticode.hex(), found)
    yield from _rows(f"{where}: PCR", dict(measurement.pcrs), predicted.pcrs)
    yield from _rows(f"{where}: RTMR", dict(measurement.rtmrs), predicted.rtmrs)


def compare_quote(predicted: Predicted, quoted: Mapping[int, bytes]) -> Iterator[Finding]:
    """Yield what a machine quotes otherwise than the image measures."""
    for pcr, value in predicted.pcrs.items():
        if quoted.get(pcr) != value:
            got = quoted[pcr].hex() if pcr in quoted else "nothing"
            yield Finding(f"quote: PCR {pcr}", got, f"{value.hex()}, predicted from the rebuilt image")


def _rows(where: str, stated: Mapping[int, bytes], predicted: Mapping[int, bytes]) -> Iterator[Finding]:
    for index, value in predicted.items():
        if index in stated and stated[index] != value:
            yield Finding(f"{where} {index}", stated[index].hex(), value.hex())


def _checked(prediction: Prediction) -> tuple[Event, ...]:
    """Return the events of PCR 4 where Secure Boot is on: the kernel inside the UKI is not measured there."""
    return tuple(event for event in prediction.events_of(_IMAGE) if event.what != KERNEL)
