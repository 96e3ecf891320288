"""What a policy says about NVIDIA devices that ``verify/nvidia.py`` and ``verify/rim.py`` found genuine.

(G1.7) OCSP answered for each device's chain. (G3.10) The required RIM files were compared. (G3.11) OCSP answered for
their signers.
(G4.1) As many GPUs and (G4.2) NVSwitches as are due. (G4.3) Each is one that was named, unless any will do.
(G4.4) Each GPU's multi-GPU mode is allowed. (G4.5) What it states about protected PCIe does not contradict the mode.
(G4.6) The certified firmware's flags (debug, recovery, not secure) are clear, where the certificate states them.
(G4.7) In protected PCIe mode, where NVLink is plain text, every switch that a GPU is linked to is attested as well.

There is no clause for "confidential-computing mode on, devtools off", because no signed field says it (see
``verify/nvidia.py``); a GPU's secure boot and debug state are what the RIM files' golden measurements stand for.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.errors import Failure
from client_sdk.given import require_number
from client_sdk.report import Ledger, Phrase
from client_sdk.rules import keeps
from client_sdk.verify.nvidia import VerifiedDevice
from client_sdk.verify.rim import FIRMWARE, Appraisal

SINGLE_GPU, MULTI_GPU, PROTECTED_PCIE, UNSTATED = "single-gpu", "multi-gpu", "protected-pcie", "unstated"
MODES = {0: SINGLE_GPU, 1: MULTI_GPU, 2: PROTECTED_PCIE, None: UNSTATED}
PCIE_PROTECTED, PCIE_PLAIN = 0xAA, 0x55
IRRELEVANT_FLAGS = frozenset({"notConfigured"})


@dataclass(frozen=True, slots=True)
class AnyDevice:
    """Any genuine device will do: which one it is, is nobody's concern."""


@dataclass(frozen=True, slots=True)
class Count:
    """At least and at most so many.

    Raises:
        EvidenceError: fewer at most than at least, which no number fits; or what is no number.
    """

    fewest: int
    most: int

    def __post_init__(self) -> None:
        require_number(self.fewest, "policy.count.fewest")
        require_number(self.most, "policy.count.most", low=self.fewest)

    def __str__(self) -> str:
        return str(self.fewest) if self.fewest == self.most else f"{self.fewest} to {self.most}"


@dataclass(frozen=True, slots=True)
class NvidiaDevices:
    """The devices of one VM. Nothing has a default: each field is a decision.

    ``devices`` are values of ``VerifiedDevice.device``. ``modes`` are allowed for GPUs, ``unstated`` being that of
    drivers that state none. ``rims`` are the components whose RIM a GPU needs; an NVSwitch needs that of its firmware
    where a GPU does. ``ocsp`` demands an answer for every certificate, else ``why`` is the reason. ``flags`` are
    tolerated.
    """

    gpus: Count
    switches: Count
    devices: frozenset[bytes] | AnyDevice
    modes: frozenset[str]
    rims: frozenset[str]
    ocsp: bool
    flags: frozenset[str]
    linked_switches: bool
    why: str = ""

    def judge(self, appraisals: tuple[Appraisal, ...], ledger: Ledger) -> tuple[Failure, ...]:
        """Return every clause that does not hold, after recording each in the ledger."""
        failures = self._counts(appraisals, ledger)
        for appraisal in appraisals:
            failures += self._device(appraisal, ledger)
            if not appraisal.device.is_switch:
                failures += self._mode(appraisal.device, ledger)
        return failures + self._links(tuple([one.device for one in appraisals]), ledger)

    @keeps("G4.1", "G4.2")
    def _counts(self, appraisals: tuple[Appraisal, ...], ledger: Ledger) -> tuple[Failure, ...]:
        """Judge how many there are."""
        switches = sum(one.device.is_switch for one in appraisals)
        gpus, due, linked = len(appraisals) - switches, self.gpus, self.switches
        return ledger.judge(
            "G4.1",
            "there are as many GPUs as are due",
            expected=due,
            got=gpus,
            condition=due.fewest <= gpus <= due.most,
        ) + ledger.judge(
            "G4.2",
            "there are as many NVSwitches as are due",
            expected=linked,
            got=switches,
            condition=linked.fewest <= switches <= linked.most,
        )

    @keeps("G1.7", "G3.10", "G3.11", "G4.3", "G4.6")
    def _device(self, appraisal: Appraisal, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge one device, of either kind."""
        device, components = appraisal.device, frozenset(appraisal.components)
        needed = self.rims & {FIRMWARE} if device.is_switch else self.rims
        unsigned = tuple([one for verified in appraisal.rims for one in verified.without_ocsp])
        stated = device.firmware.flags if device.firmware else None
        flags = frozenset(stated or ()) - self.flags - IRRELEVANT_FLAGS
        asked = "an answer for each certificate" if self.ocsp else Phrase(("not demanded:", self.why or "as asked"))
        return (
            ledger.judge(
                "G1.7",
                "OCSP answered for the device's chain (`vitrine collateral fetch` gathers the answers, --collateral "
                "gives them)",
                expected=asked,
                got=device.without_ocsp or "answered",
                condition=not (self.ocsp and device.without_ocsp),
            )
            + ledger.judge(
                "G3.10",
                "the device's measurements were compared with the required RIM files (--collateral gives these too)",
                expected=tuple(sorted(needed)),
                got=tuple(sorted(components)),
                condition=needed <= components,
            )
            + ledger.judge(
                "G3.11",
                "OCSP answered for the signers of the RIM files (--collateral gives these answers too)",
                expected=asked,
                got=unsigned or "answered",
                condition=not (self.ocsp and unsigned),
            )
            + ledger.judge(
                "G4.3",
                "the device is one that was named",
                expected="any" if isinstance(self.devices, AnyDevice) else tuple(sorted(self.devices)),
                got=device.device,
                condition=isinstance(self.devices, AnyDevice) or device.device in self.devices,
            )
            + ledger.judge(
                "G4.6",
                "the firmware is not for debugging or recovery",
                expected="no flag",
                got="not stated" if stated is None else tuple(sorted(flags)) or "no flag",
                condition=not flags,
            )
        )

    @keeps("G4.4", "G4.5")
    def _mode(self, device: VerifiedDevice, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge a GPU's mode."""
        opaque = device.transcript.opaque
        mode, pcie = mode_of(device), opaque.protected_pcie
        agreed = {None, PCIE_PROTECTED if mode == PROTECTED_PCIE else PCIE_PLAIN}
        return ledger.judge(
            "G4.4",
            "the GPU's multi-GPU mode is allowed",
            expected=tuple(sorted(self.modes)),
            got=mode,
            condition=mode in self.modes,
        ) + ledger.judge(
            "G4.5",
            "the GPU's protected PCIe state fits its mode",
            expected="protected exactly in protected PCIe mode",
            got=(mode, "not stated" if pcie is None else f"{pcie:#04x}"),
            condition=pcie in agreed,
        )

    @keeps("G4.7")
    def _links(self, devices: tuple[VerifiedDevice, ...], ledger: Ledger) -> tuple[Failure, ...]:
        """Judge whether the switches that carry plain text are attested."""
        attested = {own for one in devices if one.is_switch for own in one.transcript.opaque.switches}
        plain = [one for one in devices if not one.is_switch and mode_of(one) == PROTECTED_PCIE]
        linked = {link for one in plain for link in one.transcript.opaque.switches if any(link)}
        missing = tuple(sorted(linked - attested))
        return ledger.judge(
            "G4.7",
            "the switches that GPUs in protected PCIe mode are linked to are attested",
            expected="all of them" if self.linked_switches else "not demanded",
            got=missing or "all of them",
            condition=not (self.linked_switches and (missing or (plain and not linked))),
        )


def mode_of(device: VerifiedDevice) -> str:
    """Name the multi-GPU mode that a GPU states; drivers before 580 state protected PCIe alone."""
    opaque = device.transcript.opaque
    if opaque.feature is None and opaque.protected_pcie == PCIE_PROTECTED:
        return PROTECTED_PCIE
    return MODES.get(opaque.feature, f"unknown ({opaque.feature})")
