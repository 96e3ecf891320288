"""The few functions of CUDA's driver library (libcuda.so.1, ``cuda.h`` of CUDA 12) that run a kernel of Triton's.

The library belongs to the driver and is there at run time alone, so it is opened by name. ctypes gives up Python's lock
while a function runs, so that a launch that waits for the GPU does not hold up other threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any, ClassVar

LIBRARY = "libcuda.so.1"
_INVALID_VALUE = 1
_DEVICE_POINTER = 3  # CU_POINTER_ATTRIBUTE_DEVICE_POINTER
_PRINTF_FIFO_SIZE = 1  # CU_LIMIT_PRINTF_FIFO_SIZE
_PREFER_SHARED = 1  # CU_FUNC_CACHE_PREFER_SHARED
_L2_128B = 2  # CU_TENSOR_MAP_L2_PROMOTION_L2_128B
# What a kernel may have of a multiprocessor's memory without asking.
_SHARED_BYTES = 49152
# CU_FUNC_ATTRIBUTE_…
MAX_THREADS, _SHARED_SIZE, _LOCAL_SIZE, _REGISTERS, _MAX_DYNAMIC_SHARED, _NON_PORTABLE_CLUSTER = 0, 1, 3, 4, 8, 14
# CU_DEVICE_ATTRIBUTE_…
_SHARED_OPTIN = 97
_PROPERTIES = {
    "max_shared_mem": _SHARED_OPTIN,
    "max_num_regs": 12,
    "multiprocessor_count": 16,
    "warpSize": 10,
    "sm_clock_rate": 13,
    "mem_clock_rate": 36,
    "mem_bus_width": 37,
}
# CU_LAUNCH_ATTRIBUTE_…
COOPERATIVE, CLUSTER_DIMENSION, CLUSTER_POLICY, PROGRAMMATIC = 2, 4, 5, 6
SPREAD = 1  # CU_CLUSTER_SCHEDULING_POLICY_SPREAD
_LARGEST_PORTABLE = 8


class _Attribute(Structure):
    """``CUlaunchAttribute``: what it is, and 64 bytes of it."""

    _fields_: ClassVar = [("name", c_uint), ("padding", c_uint), ("value", c_uint32 * 16)]


class _Config(Structure):
    """``CUlaunchConfig``."""

    _fields_: ClassVar = [
        *((f"{what}_{axis}", c_uint) for what in ("grid", "block") for axis in "xyz"),
        *(("shared", c_uint), ("stream", c_void_p), ("attributes", POINTER(_Attribute)), ("count", c_uint)),
    ]


class TensorMap:
    """A tensor's description as the GPU reads it (``CUtensorMap``): 128 bytes, aligned as many."""

    SIZE = 128

    def __init__(self) -> None:
        self._memory = (c_uint8 * (2 * self.SIZE))()
        self.address = -(-ctypes.addressof(self._memory) // self.SIZE) * self.SIZE


class CudaLibrary:
    """The library, as Triton's own access to it (``cuda_utils``) has it, and launches."""

    def __init__(self, name: str = LIBRARY) -> None:
        self._library = ctypes.CDLL(name)
        self._library.cuGetErrorString.argtypes = (c_int, POINTER(c_char_p))
        # Told once, these two are called at every launch.
        self._library.cuPointerGetAttribute.argtypes = (c_void_p, c_int, c_uint64)
        self._library.cuLaunchKernelEx.argtypes = (c_void_p, c_void_p, c_void_p, c_void_p)

    def load_binary(self, name: str, data: bytes, shared: int, device: int) -> tuple[int, int, int, int, int]:
        """Load a kernel; return module, function, registers, spilled registers and threads at most.

        Raises:
            RuntimeError: the driver refuses.
        """
        self.ensure_context(device)
        module, function = c_void_p(), c_void_p()
        self._call("cuModuleLoadData", byref(module), data)
        self._call("cuModuleGetFunction", byref(function), module, name.encode())
        registers, spilled = self._of_function(_REGISTERS, function), self._of_function(_LOCAL_SIZE, function) // 4
        threads = self._of_function(MAX_THREADS, function)
        allowed = self._of_device(_SHARED_OPTIN, device)
        if shared > _SHARED_BYTES and allowed > _SHARED_BYTES:
            self._call("cuFuncSetCacheConfig", function, _PREFER_SHARED)
            rest = allowed - self._of_function(_SHARED_SIZE, function)
            self._call("cuFuncSetAttribute", function, _MAX_DYNAMIC_SHARED, rest)
        return module.value or 0, function.value or 0, registers, spilled, threads

    def get_device_properties(self, device: int) -> dict[str, int]:
        """Return what Triton asks of a GPU. Raises RuntimeError when the driver refuses."""
        return {name: self._of_device(number, device) for name, number in _PROPERTIES.items()}

    def set_printf_fifo_size(self, size: int) -> None:
        """Set how much kernels may print. Raises RuntimeError when the driver refuses, as after the first that did."""
        self.ensure_context(0)
        now = c_size_t()
        self._call("cuCtxGetLimit", byref(now), _PRINTF_FIFO_SIZE)
        if now.value != size:
            self._call("cuCtxSetLimit", _PRINTF_FIFO_SIZE, c_size_t(size))

    def cuOccupancyMaxActiveClusters(self, function: int, shared: int, width: int) -> int:  # noqa: N802 - Triton's name
        """Count the clusters of a kernel that run at once. Raises RuntimeError when the driver refuses."""
        self._call("cuFuncSetAttribute", c_void_p(function), _MAX_DYNAMIC_SHARED, shared)
        self._call("cuFuncSetAttribute", c_void_p(function), _NON_PORTABLE_CLUSTER, 1)
        config = _config((width, 1, 1), 128, shared, 0, (_attribute(CLUSTER_DIMENSION, width, 1, 1),))
        count = c_int(-1)
        self._call("cuOccupancyMaxActiveClusters", byref(count), c_void_p(function), byref(config))
        return count.value

    def fill_tma_descriptor(self, address: int, *how: Any) -> TensorMap:
        """Describe a tensor to the GPU: swizzle, size and type of elements, block, shape, strides, padding.

        Raises:
            RuntimeError: the ranks differ, or the driver refuses.
        """
        swizzle, size, kind, block, shape, strides, padding = how
        rank = len(block)
        if len(shape) != rank or len(strides) != rank:
            raise RuntimeError("Rank mismatch")
        # The driver counts from the innermost dimension, and takes no stride of that; the last is not looked at.
        steps = [size * stride for stride in reversed(strides[:-1])]
        steps.append(shape[0] * (steps[-1] if steps else size))
        made = TensorMap()
        arrays = (
            *((c_uint64 * rank)(*reversed(shape)), (c_uint64 * rank)(*steps)),
            *((c_uint32 * rank)(*reversed(block)), (c_uint32 * rank)(*[1] * rank)),
        )
        last = (0, swizzle, _L2_128B, int(padding == 1))  # not interleaved
        self._call("cuTensorMapEncodeTiled", c_void_p(made.address), kind, rank, c_void_p(address), *arrays, *last)
        return made

    def ensure_context(self, device: int) -> None:
        """Give this thread the device's context, if it has none. Raises RuntimeError when the driver refuses."""
        context = c_void_p()
        self._call("cuCtxGetCurrent", byref(context))
        if not context:
            self._call("cuDevicePrimaryCtxRetain", byref(context), device)
            self._call("cuCtxSetCurrent", context)

    def device_address(self, address: int) -> int | None:
        """Return where the GPU sees what lies at an address; None if it does not. Raises RuntimeError otherwise."""
        found = c_uint64()
        code = self._library.cuPointerGetAttribute(byref(found), _DEVICE_POINTER, address)
        if code == _INVALID_VALUE:
            return None
        self._check(code)
        return found.value

    def launch(
        self,
        function: int,
        parameters: ctypes.Array[c_void_p],
        *,
        grid: tuple[int, int, int],
        threads: int,
        shared: int,
        stream: int,
        attributes: Sequence[tuple[int, ...]] = (),
        clusters: int = 1,
    ) -> None:
        """Launch a kernel. Raises RuntimeError when the driver refuses."""
        if clusters > _LARGEST_PORTABLE:
            self._call("cuFuncSetAttribute", c_void_p(function), _NON_PORTABLE_CLUSTER, 1)
        config = _config(grid, threads, shared, stream, tuple(_attribute(*one) for one in attributes))
        self._check(self._library.cuLaunchKernelEx(byref(config), function, parameters, None))

    def _of_function(self, number: int, function: c_void_p) -> int:
        value = c_int()
        self._call("cuFuncGetAttribute", byref(value), number, function)
        return value.value

    def _of_device(self, number: int, device: int) -> int:
        value = c_int()
        self._call("cuDeviceGetAttribute", byref(value), number, device)
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        self._check(getattr(self._library, name)(*arguments))

    def _check(self, code: int) -> None:
        if code:
            text = c_char_p()
            self._library.cuGetErrorString(code, byref(text))
            raise RuntimeError(f"Triton Error [CUDA]: {(text.value or b'unknown').decode()}")


def _attribute(name: int, *value: int) -> _Attribute:
    return _Attribute(name, 0, (c_uint32 * 16)(*value))


def _config(
    grid: tuple[int, int, int], threads: int, shared: int, stream: int, attributes: tuple[_Attribute, ...]
) -> _Config:
    array = (_Attribute * len(attributes))(*attributes) if attributes else None
    return _Config(*grid, threads, 1, 1, shared, stream, array, len(attributes))
