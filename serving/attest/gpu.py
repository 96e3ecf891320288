"""The GPUs of this machine: their evidence, taken once before *sealed*, and their loss, which ends the machine.

    (1) there are exactly as many GPUs as the image states
    (2) confidential computing is on, in production, its devtools variant off, and no GPU is joined to others
    (3) no GPU accepts work yet: nothing ran on it before
    (4) each GPU's report over this boot's nonce, and the certificates that vouch for it
    (5) the state is the same as before the reports; it was they and no others that were asked

Nobody signs what (1), (2), (3) and (5) find: that they were looked at, by this code, is what the measured image and
PCR 15 prove. A client verifies (4). After *sealed* a process of root's lets the GPUs accept work (``gpu_ready.py``),
and the attester looks after them: one that is lost, reset or reports a fatal error ends the process, and the unit
powers the machine off.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable

from client_sdk.evidence import MAX_CERTIFICATES, GpuEvidence
from serving.attest.nvml import Nvml, Settings
from serving.errors import GpuError

PRODUCTION, ENABLED, DEVTOOLS_OFF, ONE_GPU = 2, 1, 0, 0
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
# NVIDIA's list of XID errors: uncorrectable memory (48, 95), the processor that runs the firmware (62, 119, 120), a
# link (74), off the bus (79), and the recovery that asks for a reset (154). The others are a program's own faults,
# which the engine's restart mends.
FATAL_XIDS = frozenset({48, 62, 74, 79, 95, 119, 120, 154})
_LOOK_EVERY_S = 1.0


def collect(nvml: Nvml, count: int, nonce: bytes) -> tuple[GpuEvidence, ...]:
    """Return the evidence of every GPU, in the driver's order; ``count`` is what the image states.

    Raises:
        GpuError: a GPU is missing, surplus, open to others or already at work; or the driver refuses.
    """
    require_state(nvml, count)  # (1), (2)
    if nvml.is_ready():  # (3)
        raise GpuError("the GPUs accept work already; start the VM again")
    found = tuple(_evidence(nvml, index, nonce) for index in range(count))  # (4)
    if len({one.certificates[0] for one in found}) != count:
        raise GpuError("two GPUs show one certificate; start the VM again, with GPUs of its own")
    require_state(nvml, count)  # (5)
    return found


def require_state(nvml: Nvml, count: int) -> None:
    """Return when there are ``count`` GPUs, in confidential mode.

    Raises:
        GpuError: otherwise.
    """
    if (there := nvml.count()) != count:
        raise GpuError(f"the image is for {count} GPUs, and the machine has {there}; start it on a machine that fits")
    wanted = Settings(PRODUCTION, ENABLED, DEVTOOLS_OFF, ONE_GPU)
    got = nvml.settings()
    faults = [
        f"{name} is {_words(name, have)}"
        for name, have, want in (
            ("environment", got.environment, wanted.environment),
            ("confidential computing", got.cc_feature, wanted.cc_feature),
            ("devtools mode", got.devtools_mode, wanted.devtools_mode),
            ("multi-GPU mode", got.multi_gpu_mode, wanted.multi_gpu_mode),
        )
        if have != want
    ]
    if faults:
        raise GpuError(f"the GPUs are not confidential: {', '.join(faults)}; the host sets this, before the VM starts")


class GpuWatch:
    """Looks after the GPUs of a sealed machine, at most once a second."""

    def __init__(self, nvml: Nvml, count: int, clock: Callable[[], float]) -> None:
        self._nvml, self._count, self._clock, self._due = nvml, count, clock, clock()
        nvml.watch()

    def look(self) -> None:
        """Return when every GPU is there and well, or it is too early to look again.

        It sees what the driver knows: a GPU that hangs without an error hangs the caller too.

        Raises:
            GpuError: a GPU was lost, changed its mode or had an error that no program can cause.
        """
        if self._clock() < self._due:
            return
        self._due = self._clock() + _LOOK_EVERY_S
        while (number := self._nvml.xid()) is not None:
            if number in FATAL_XIDS:
                raise GpuError(f"a GPU reports error XID {number}; start the VM again")
        require_state(self._nvml, self._count)
        for index in range(self._count):
            self._nvml.touch(index)


def _evidence(nvml: Nvml, index: int, nonce: bytes) -> GpuEvidence:
    chain = _der(nvml.certificates(index), index)
    return GpuEvidence(nvml.report(index, nonce), chain)


def _der(chain: bytes, index: int) -> tuple[bytes, ...]:
    """Turn a PEM chain into DER, in its order; what is inside a certificate is a client's to judge."""
    try:
        blocks = [block.partition(_END) for block in chain.decode("ascii").split(_BEGIN)[1:]]
        found = tuple(b64decode("".join(body.split()), validate=True) for body, end, _ in blocks if end)
    except ValueError as error:
        raise GpuError(f"GPU {index}: its certificates are not PEM") from error
    if len(found) != len(blocks) or not 1 <= len(found) <= MAX_CERTIFICATES:
        raise GpuError(f"GPU {index}: {len(found)} whole certificates, expected 1 to {MAX_CERTIFICATES}")
    return found


def _words(name: str, value: int) -> str:
    if name == "environment":
        return {0: "unavailable", 1: "simulated"}.get(value, str(value))
    if name == "multi-GPU mode":
        return {1: "protected PCIe", 2: "encrypted NVLink"}.get(value, str(value))
    return {0: "off", 1: "on"}.get(value, str(value))
