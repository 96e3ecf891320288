"""Kernels that are launched with and without a GPU."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def slots(number, most, starts, positions, table, stride, size, out, world: tl.constexpr, block: tl.constexpr):
    """As vLLM finds the place of each token in the cache, at every step."""
    request = tl.program_id(0)
    first, last = tl.load(starts + request).to(tl.int64), tl.load(starts + request + 1).to(tl.int64)
    for i in range(first, last, block):
        offsets = i + tl.arange(0, block)
        where = tl.load(positions + offsets, mask=offsets < last, other=0)
        found = tl.load(table + request * stride + where // (size * world)).to(tl.int64)
        tl.store(out + offsets, found * size + where % size, mask=offsets < last)
    if request == number:
        tl.store(out + most, -1)


@triton.jit
def scaled(out, x, scale, pair, nothing, block: tl.constexpr):
    """Scale: a float, a tuple and nothing are among the arguments."""
    offsets = tl.arange(0, block)
    value = tl.load(x + offsets).to(tl.float32) * scale + pair[0]
    if nothing is not None:
        value += tl.load(nothing)
    tl.store(out + offsets, value)
