"""One launch of a kernel, from Python's values to the driver's one call: what Triton's launcher in C does.

Read in ``make_launcher`` of Triton 3.6.0's ``backends/nvidia/driver.py``; tests/serving_triton compares the two call by
call. It imports nothing of Triton. A number that its type has no room for is refused, also where Triton would cut it.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serving.engines.triton_nvidia import cuda
from serving.engines.triton_nvidia.cuda import CudaLibrary, TensorMap
from serving.engines.triton_nvidia.signature import (
    CONSTANT,
    POINTER,
    SLOT,
    TENSOR_MAP,
    bfloat16,
    expand,
    flatten,
    layout,
)

_WARP = 32
_SCRATCH = 2  # memories: a kernel's own, and a profiler's


class Launch:
    """Launches kernels of one signature: types and tuples of types, and what Triton says of tensors' descriptions."""

    def __init__(self, library: CudaLibrary, signature: Sequence[Any], descriptors: Sequence[Any] = ()) -> None:
        nested = any(isinstance(kind, tuple) for kind in signature)
        self._library, self._arguments = library, Arguments(library, expand(signature, descriptors), nested=nested)

    def __call__(self, *given: Any) -> None:
        """Launch: grid, stream, function, two modes, two scratch memories, four things about it, its arguments.

        Raises:
            TypeError, ValueError: the arguments are not those of the signature.
            RuntimeError: the driver refuses.
        """
        x, y, z, stream, function, cooperative, programmatic, *scratch = given[:9]
        (warps, clusters, shared), about, before, after = given[9:13]
        self._library.ensure_context(0)
        if before is not None:
            before(about)
        parameters = self._arguments.lay_down((*given[13:], *scratch))
        if x * y * z > 0:
            self._library.launch(
                function,
                parameters.pointers,
                grid=(x * clusters, y, z),
                threads=_WARP * warps,
                shared=shared,
                stream=stream,
                attributes=_attributes(clusters, cooperative=cooperative, programmatic=programmatic),
                clusters=clusters,
            )
        if after is not None:
            after(about)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the driver reads at a launch: a pointer to each parameter, and the memory that they point into."""

    pointers: ctypes.Array[ctypes.c_void_p]
    memory: ctypes.Array[ctypes.c_char]


class Arguments:
    """The arguments of one signature, checked and laid down: the kernel's own, then the two scratch memories."""

    def __init__(self, library: CudaLibrary, kinds: tuple[str, ...], *, nested: bool) -> None:
        self._library, self._nested = library, nested
        kinds = (*kinds, *[POINTER] * _SCRATCH)
        self._places = [place for place, kind in enumerate(kinds) if kind != CONSTANT]
        kept = [kinds[place] for place in self._places]
        self._expected = len(kinds)
        self._layout = layout(kept)
        converters: dict[str, Callable[[Any], int]] = {POINTER: self._address, "bf16": bfloat16, TENSOR_MAP: _map}
        self._converted = [(index, converters[kind]) for index, kind in enumerate(kept) if kind in converters]
        self._maps = [index for index, kind in enumerate(kept) if kind == TENSOR_MAP]
        self._memory, self._pointers = ctypes.c_char * self._layout.size, ctypes.c_void_p * len(kept)

    def lay_down(self, given: tuple[Any, ...]) -> Parameters:
        """Return the parameters of one launch: fresh memory, for two threads may launch at once.

        Raises:
            TypeError, ValueError: there are more or fewer than the signature has, one is not of its type, or a pointer
                is not to the GPU's memory.
        """
        flat = tuple(flatten(given)) if self._nested else given
        if len(flat) != self._expected:
            raise TypeError(f"{len(flat) - _SCRATCH} arguments, the signature has {self._expected - _SCRATCH}")
        values = [flat[place] for place in self._places]
        for index, convert in self._converted:
            values[index] = convert(values[index])
        memory = self._memory()
        try:
            self._layout.pack_into(memory, 0, *values)
        except struct.error as error:
            raise TypeError(f"an argument is not of its type: {error}") from error
        start = ctypes.addressof(memory)
        pointers = self._pointers(*range(start, start + self._layout.size, SLOT))
        for index in self._maps:
            pointers[index] = values[index]
        return Parameters(pointers, memory)

    def _address(self, value: Any) -> int:
        if value is None:
            return 0
        if isinstance(value, int):
            return value
        if not hasattr(value, "data_ptr"):
            raise TypeError("Pointer argument must be either uint64 or have data_ptr method")
        address: int = value.data_ptr()
        found = self._library.device_address(address) if address else 0
        if found is None:
            raise ValueError("Pointer argument cannot be accessed from Triton (cpu tensor?)")
        return found


def _map(value: Any) -> int:
    if not isinstance(value, TensorMap):
        raise TypeError(f"object must be of type TensorMap, got {type(value).__name__}")
    return value.address


def _attributes(clusters: int, *, cooperative: bool, programmatic: bool) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    if programmatic:
        found.append((cuda.PROGRAMMATIC, 1))
    if cooperative:
        found.append((cuda.COOPERATIVE, 1))
    if clusters != 1:
        found += [(cuda.CLUSTER_DIMENSION, clusters, 1, 1), (cuda.CLUSTER_POLICY, cuda.SPREAD)]
    return found
