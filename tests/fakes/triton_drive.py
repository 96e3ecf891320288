"""``python triton_drive.py LIBRARY ask|time``: do what Triton does on a GPU, and print what it asked of the driver.

Run twice in processes of their own, with Triton's driver and with ours. Triton is the real one, and compiles; torch is
a stand-in that says: one H100.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import triton
import triton.language as tl
from triton.runtime.driver import driver
from triton.tools.tensor_descriptor import TensorDescriptor

from tests.fakes.fake_cuda import FakeCuda
from tests.fakes.launches import Asking, Case, Memory
from tests.fakes.triton_kernels import scaled, slots

SCRATCH = ("global_scratch_size", "global_scratch_align", "profile_scratch_size", "profile_scratch_align")


class Type(str):
    """A type of elements, by its name."""

    __slots__ = ()
    itemsize = property(lambda self: int(self.lstrip("bfloatin")) // 8)


class Tensor(Memory):
    """Just enough of a tensor."""

    def __init__(self, address: int, dtype: str):
        super().__init__(address)
        self.dtype = Type(dtype)


@triton.jit
def through_descriptor(x, out, block: tl.constexpr):
    tl.store(out + tl.arange(0, block), tl.sum(x.load([0, 0]), 1))


def compiled(fake: FakeCuda) -> list[str]:
    """Compile for the GPU and launch, as a program does."""
    fake.parameters(4, 4, 8, 8, 8, 4, 4, 8, 8, 8)
    starts, table = Tensor(0x7F0000001000, "int32"), Tensor(0x7F0000002000, "int32")
    positions, out = Tensor(0x7F0000003000, "int64"), Tensor(0x7F0000004008, "int64")
    for _ in range(2):  # compiled, then as it was kept
        slots[(5,)](7, 2048, starts, positions, table, 33, 16, out, world=1, block=1024)
    fake.parameters(8, 8, 4, 4, 4, 8, 8)
    scaled[(1,)](out, Tensor(0x7F0000005000, "bfloat16"), 0.125, (3, 4), None, block=64, num_warps=8)
    # A one becomes a constant: another signature.
    fake.parameters(4, 8, 8, 8, 4, 8, 8, 8)
    slots[(5,)](1, 2048, starts, positions, table, 33, 1, out, world=1, block=1024)
    fake.parameters(128, 4, 4, 8, 8, 8, 8, 8)
    tensor = TensorDescriptor(Tensor(0x7F0000006000, "float16"), [64, 64], [64, 1], [64, 64])
    through_descriptor[(2,)](tensor, out, block=64)
    return fake.log()


def launcher(case: Case) -> Callable[..., None]:
    """Make Triton's launcher for a signature; the values of constants are none of a launcher's business."""
    source = SimpleNamespace(signature=dict(enumerate(case.signature)), constants={})
    metadata = SimpleNamespace(**dict.fromkeys(SCRATCH, 0), launch_cooperative_grid=False, launch_pdl=False)
    return driver.active.launcher_cls(source, metadata).launch


def timed(fake: FakeCuda) -> float:
    """Return how many microseconds of this processor a launch takes that was compiled before: the best of ten."""
    fake.parameters()
    table, positions = Tensor(0x7F0000001000, "int32"), Tensor(0x7F0000003000, "int64")

    def launch(count: int) -> float:
        started = time.process_time()
        for _ in range(count):
            slots[(5,)](7, 2048, table, positions, table, 33, 16, positions, world=1, block=1024)
            fake.log()
        return (time.process_time() - started) / count

    def read(count: int) -> float:
        started = time.process_time()
        for _ in range(count):
            fake.log()
        return (time.process_time() - started) / count

    launch(1000)
    return 1e6 * (min(launch(2000) for _ in range(10)) - min(read(2000) for _ in range(10)))


def main() -> None:
    """Print what happened, as JSON."""
    fake = FakeCuda(Path(sys.argv[1]))
    if sys.argv[2] == "time":
        print(json.dumps(timed(fake)))
        return
    found = {"driver": type(driver.active).__module__}
    found |= Asking(fake, driver.active.utils, launcher).everything()
    print(json.dumps(found | {"compiled": compiled(fake)}, indent=1))


if __name__ == "__main__":
    main()
