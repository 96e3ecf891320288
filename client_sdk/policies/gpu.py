"""How many NVIDIA GPUs, and what about them: compared with NVIDIA's files, and asked about at its OCSP service."""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.clauses.expected import require_ids
from client_sdk.clauses.nvidia import (
    MODES,
    MULTI_GPU,
    PROTECTED_PCIE,
    SINGLE_GPU,
    AnyDevice,
    Count,
    NvidiaDevices,
)
from client_sdk.errors import EvidenceError, Failure, FieldError
from client_sdk.evidence import MAX_GPUS
from client_sdk.given import require_number
from client_sdk.policies.unsafe import UnsafeWithoutRevocation
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Roots, production_roots
from client_sdk.verifier import VerifiedEvidence
from client_sdk.verify.rim import DRIVER, FIRMWARE

_ANY = AnyDevice()
DEVICE_SIZE = 32
AS_RELEASED = Count(0, MAX_GPUS)
"""No number of the policy's own: the release says whether there are GPUs (rules L11.3, G5.1)."""


@dataclass(frozen=True, slots=True)
class NvidiaGpu:
    """So many GPUs: a number, or :class:`Count`. Driver and firmware of each are those of NVIDIA's RIM files.

    ``devices`` are identities to take (``VerifiedDevice.device``), ``modes`` the multi-GPU modes. A driver that states
    no mode (before 580) is taken only where ``modes`` has ``unstated``.

    Raises:
        EvidenceError: a field of another type, which would judge by mistake.
    """

    count: int | Count
    devices: frozenset[bytes] | AnyDevice = _ANY
    modes: frozenset[str] = frozenset({SINGLE_GPU, MULTI_GPU, PROTECTED_PCIE})
    revocation: UnsafeWithoutRevocation | None = None

    def __post_init__(self) -> None:
        if not (self.revocation is None or isinstance(self.revocation, UnsafeWithoutRevocation)):
            raise EvidenceError("policy.nvidia.revocation", 'expected None or UnsafeWithoutRevocation("reason")')
        if not isinstance(self.modes, frozenset) or not self.modes <= frozenset(MODES.values()):
            raise EvidenceError("policy.nvidia.modes", f"expected a frozenset of {', '.join(sorted(MODES.values()))}")
        if not isinstance(self.count, Count):
            require_number(self.count, "policy.nvidia.count", high=MAX_GPUS)
        if not isinstance(self.devices, AnyDevice):
            require_ids(self.devices, (DEVICE_SIZE,), "policy.nvidia.devices")
            if not self.devices:
                remedy = "name at least one, or write AnyDevice()"
                raise FieldError("policy.nvidia.devices", "devices to take", "an empty set", remedy)

    @property
    def name(self) -> str:
        """What the policy is called."""
        unsafe = ", unsafe: no OCSP answers" if self.revocation else ""
        due = self._count
        if due == AS_RELEASED:
            return f"NVIDIA GPUs as released{unsafe}"
        return f"{due} NVIDIA GPU{'' if due.most == 1 else 's'}{unsafe}"

    @property
    def roots(self) -> Roots:
        """The makers' own."""
        return production_roots()

    @property
    def _count(self) -> Count:
        return Count(self.count, self.count) if isinstance(self.count, int) else self.count

    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Judge the devices; where there are none, their number."""
        _ = measurement
        unsafe = self.revocation
        if unsafe is not None:
            ledger.opt_out("OCSP answers about GPUs", unsafe.why)
        devices = NvidiaDevices(
            gpus=self._count,
            switches=Count(0, MAX_GPUS),
            devices=self.devices,
            modes=self.modes,
            rims=frozenset({DRIVER, FIRMWARE}),
            ocsp=unsafe is None,
            flags=frozenset(),
            linked_switches=True,
            why="" if unsafe is None else unsafe.why,
        )
        return devices.judge(evidence.gpus, ledger)
