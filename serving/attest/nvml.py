"""The few functions of NVIDIA's management library (libnvidia-ml.so.1, ``nvml.h`` of driver 550) that the VM knows.

The library belongs to the driver and is there at run time alone, so it is opened by name. Structures, sizes and error
codes are those of its header; layouts have been stable since CUDA 12.4, and the one structure with a version says it.
Our own binding, for it is ten functions of a thousand: what the attester can ask is to be seen in one place.

Nothing here judges, and nothing that the library says is signed, but the reports.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, byref, c_uint, c_uint8, c_ulonglong, c_void_p
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from serving.errors import GpuError

LIBRARY = "libnvidia-ml.so.1"
NONCE_SIZE, MAX_CHAIN, MAX_ATTESTATION_CHAIN, MAX_REPORT, MAX_CEC_REPORT = 0x20, 0x1000, 0x1400, 0x2000, 0x1000
TIMEOUT, XID = 10, 0x8
_SETTINGS_V1 = 0x1000014  # version 1, 20 bytes
ERRORS = {
    1: "UNINITIALIZED",
    2: "INVALID_ARGUMENT",
    3: "NOT_SUPPORTED",
    4: "NO_PERMISSION",
    6: "NOT_FOUND",
    7: "INSUFFICIENT_SIZE",
    9: "DRIVER_NOT_LOADED",
    10: "TIMEOUT",
    11: "IRQ_ISSUE",
    12: "LIBRARY_NOT_FOUND",
    13: "FUNCTION_NOT_FOUND",
    15: "GPU_IS_LOST",
    16: "RESET_REQUIRED",
    17: "OPERATING_SYSTEM",
    18: "LIB_RM_VERSION_MISMATCH",
    20: "MEMORY",
    25: "ARGUMENT_VERSION_MISMATCH",
    27: "NOT_READY",
    28: "GPU_NOT_FOUND",
    29: "INVALID_STATE",
    999: "UNKNOWN",
}


class _Settings(Structure):
    """``nvmlSystemConfComputeSettings_v1_t``."""

    _fields_: ClassVar = [
        (name, c_uint) for name in ("version", "environment", "cc_feature", "devtools_mode", "multi_gpu_mode")
    ]


class _Certificate(Structure):
    """``nvmlConfComputeGpuCertificate_t``; both chains are PEM."""

    _fields_: ClassVar = [
        ("chain_size", c_uint),
        ("attestation_chain_size", c_uint),
        ("chain", c_uint8 * MAX_CHAIN),
        ("attestation_chain", c_uint8 * MAX_ATTESTATION_CHAIN),
    ]


class _Report(Structure):
    """``nvmlConfComputeGpuAttestationReport_t``; the nonce is what goes in."""

    _fields_: ClassVar = [
        ("has_cec_report", c_uint),
        ("size", c_uint),
        ("cec_size", c_uint),
        ("nonce", c_uint8 * NONCE_SIZE),
        ("report", c_uint8 * MAX_REPORT),
        ("cec_report", c_uint8 * MAX_CEC_REPORT),
    ]


class _Event(Structure):
    """``nvmlEventData_t``."""

    _fields_: ClassVar = [
        ("device", c_void_p),
        ("kind", c_ulonglong),
        ("data", c_ulonglong),
        ("gpu_instance", c_uint),
        ("compute_instance", c_uint),
    ]


class _Memory(Structure):
    """``nvmlMemory_t``."""

    _fields_: ClassVar = [(name, c_ulonglong) for name in ("total", "free", "used")]


@dataclass(frozen=True, slots=True)
class Settings:
    """The driver's word on confidential computing: numbers as in the header, for all GPUs together."""

    environment: int
    cc_feature: int
    devtools_mode: int
    multi_gpu_mode: int


class Nvml(Protocol):
    """What the gate asks. Every method raises GpuError when the library refuses."""

    def count(self) -> int:
        """Count the GPUs that the driver has."""

    def settings(self) -> Settings:
        """Return the state of confidential computing."""

    def is_ready(self) -> bool:
        """Tell whether the GPUs accept work (``ready state``)."""

    def set_ready(self) -> None:
        """Let the GPUs accept work; root alone may."""

    def report(self, index: int, nonce: bytes) -> bytes:
        """Return a GPU's SPDM request and signed response over a nonce of 32 bytes."""

    def certificates(self, index: int) -> bytes:
        """Return the chain that vouches for that signature, PEM, the device's certificate first."""

    def touch(self, index: int) -> None:
        """Ask the driver for a GPU's memory in use: it refuses for one that is lost."""

    def xid(self) -> int | None:
        """Return the number of the next error event since :meth:`watch`, None where there is none."""

    def watch(self) -> None:
        """Have the error events of all GPUs kept from here on."""

    def persist(self) -> None:
        """Keep the GPUs' state while nobody uses them; root alone may."""


class NvmlLibrary:
    """The library itself. It keeps every GPU open until the process ends."""

    def __init__(self, path: str = LIBRARY) -> None:
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            raise GpuError(f"NVML: {path} cannot be opened; the image lacks NVIDIA's driver library") from error
        self._events = c_void_p()
        self._call("nvmlInit_v2")

    def count(self) -> int:
        """Count the GPUs that the driver has."""
        return self._number("nvmlDeviceGetCount_v2")

    def settings(self) -> Settings:
        """Return the state of confidential computing."""
        found = _Settings(version=_SETTINGS_V1)
        self._call("nvmlSystemGetConfComputeSettings", byref(found))
        return Settings(found.environment, found.cc_feature, found.devtools_mode, found.multi_gpu_mode)

    def is_ready(self) -> bool:
        """Tell whether the GPUs accept work."""
        return self._number("nvmlSystemGetConfComputeGpusReadyState") != 0

    def set_ready(self) -> None:
        """Let the GPUs accept work."""
        self._call("nvmlSystemSetConfComputeGpusReadyState", c_uint(1))

    def report(self, index: int, nonce: bytes) -> bytes:
        """Return a report over a nonce of 32 bytes."""
        asked = _Report(nonce=(c_uint8 * NONCE_SIZE)(*nonce))
        self._call("nvmlDeviceGetConfComputeGpuAttestationReport", self._device(index), byref(asked))
        return _filled("attestation report", asked.report, asked.size)

    def certificates(self, index: int) -> bytes:
        """Return the chain of the attestation key, PEM."""
        found = _Certificate()
        self._call("nvmlDeviceGetConfComputeGpuCertificate", self._device(index), byref(found))
        return _filled("attestation certificates", found.attestation_chain, found.attestation_chain_size)

    def touch(self, index: int) -> None:
        """Ask for the memory in use."""
        self._call("nvmlDeviceGetMemoryInfo", self._device(index), byref(_Memory()))

    def watch(self) -> None:
        """Register for the XID events of every GPU."""
        self._call("nvmlEventSetCreate", byref(self._events))
        for index in range(self.count()):
            self._call("nvmlDeviceRegisterEvents", self._device(index), c_ulonglong(XID), self._events)

    def xid(self) -> int | None:
        """Take the next XID event, without waiting."""
        event = _Event()
        try:
            self._call("nvmlEventSetWait_v2", self._events, byref(event), c_uint(0))
        except GpuError as error:
            if error.code == TIMEOUT:
                return None
            raise
        return int(event.data)

    def persist(self) -> None:
        """Turn every GPU's persistence mode on."""
        for index in range(self.count()):
            self._call("nvmlDeviceSetPersistenceMode", self._device(index), c_uint(1))

    def _device(self, index: int) -> c_void_p:
        handle = c_void_p()
        self._call("nvmlDeviceGetHandleByIndex_v2", c_uint(index), byref(handle))
        return handle

    def _number(self, name: str) -> int:
        value = c_uint()
        self._call(name, byref(value))
        return int(value.value)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise GpuError(f"NVML: the library has no {name}; it is older than driver 550", code=13) from error
        function.restype = c_uint
        code = function(*arguments)
        if code:
            raise GpuError(f"NVML: {name} answered {ERRORS.get(code, 'an unknown error')} ({code})", code=code)


def _filled(what: str, array: Any, size: int) -> bytes:
    """Return the part of an array that the library says it filled; a size that cannot be is no part."""
    if not 0 < size <= len(array):
        raise GpuError(f"NVML: the {what} has {size} bytes, of at most {len(array)}")
    return bytes(array[:size])
