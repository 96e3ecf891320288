"""All that Triton asks of CUDA's driver library: launches with everything that a kernel can take, loads, refusals.

The same for Triton's own driver and for ours. ``triton_launches.json`` is what the library was asked by Triton's own,
which compiles C; tests/slow/test_triton.py sees that it still is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.fake_cuda import FakeCuda

RECORDED = Path(__file__).with_name("triton_launches.json")
CODE = b"\x7fELF"


class Memory:
    """What has an address, as a tensor has; ``base``, ``shape`` and so on are a descriptor's."""

    def __init__(self, address: int):
        self._address = address

    def data_ptr(self) -> int:
        return self._address


@dataclass(frozen=True)
class Case:
    """A signature, arguments for it, and how large each parameter is that the kernel reads."""

    name: str
    signature: tuple[Any, ...]
    arguments: tuple[Any, ...]
    sizes: tuple[int, ...]
    grid: tuple[int, int, int] = (3, 2, 1)
    metadata: tuple[int, int, int] = (4, 1, 0)
    cooperative: bool = False
    programmatic: bool = False
    scratch: tuple[Any, Any] = (None, None)
    stream: int = 0x5A5A


NUMBERS = (
    *(("i8", 100, 1), ("i16", -2, 2), ("i32", -(2**31), 4), ("i64", -(2**63), 8), ("i1", True, 1)),
    *(("u1", False, 1), ("u8", 255, 1), ("u16", 65535, 2), ("u32", 2**32 - 1, 4), ("u64", 2**64 - 1, 8)),
    *(("fp16", 0.1, 2), ("bf16", -3.14159, 2), ("fp32", 1e-40, 4), ("f32", float("inf"), 4), ("fp64", 0.1, 8)),
)
POINTERS = (Memory(0x7F0000001000), Memory(0x21000), Memory(0), None, 0xDEAD0000)
CASES = (
    Case("nothing", (), (), ()),
    *(Case(f"one {kind}", (kind,), (value,), (size,)) for kind, value, size in NUMBERS),
    Case(
        "every number", tuple(n[0] for n in NUMBERS), tuple(n[1] for n in NUMBERS), tuple(size for *_, size in NUMBERS)
    ),
    Case("pointers", ("*fp16", "*i8", "*fp32", "*i64", "*u8"), POINTERS, (8,) * 5),
    Case("constants among others", ("constexpr", "i32", "constexpr", "*bf16"), (1, 2, "x", POINTERS[0]), (4, 8)),
    Case("tuples", (("i32", ("*fp32", "constexpr")), "fp32"), ((7, (POINTERS[0], None)), 0.5), (4, 8, 4)),
    Case("clusters", ("i32",), (1,), (4,), metadata=(8, 4, 65536)),
    Case("the largest cluster", ("i32",), (1,), (4,), metadata=(4, 16, 1024)),
    Case("all blocks at once", ("i32",), (1,), (4,), cooperative=True),
    Case("before the last one ended", ("i32",), (1,), (4,), programmatic=True),
    Case("every mode", ("i32",), (1,), (4,), metadata=(2, 2, 16), cooperative=True, programmatic=True),
    Case("scratch memory", ("i32",), (1,), (4,), scratch=(Memory(0x7F0000002000), Memory(0x22000))),
    Case("no block", ("*i8",), (POINTERS[0],), (8,), grid=(3, 0, 1)),
    Case("the default stream", ("i32",), (1,), (4,), stream=0, grid=(65535, 32767, 1)),
)
REFUSED = (
    Case("memory that the GPU does not see", ("i32", "*fp32"), (1, Memory(0x1000)), (4, 8)),
    Case("no pointer", ("*fp32",), (1.5,), (8,)),
    Case("no number", ("i32",), ("1",), (4,)),
    Case("a number too large", ("i32",), (2**31,), (4,)),
    Case("a number too small", ("i64",), (-(2**63) - 1,), (8,)),
    Case("too few arguments", ("i32", "i32"), (1,), (4, 4)),
    Case("too many arguments", ("i32",), (1, 2), (4,)),
    Case("a tuple too short", (("i32", "i32"), "i32"), ((1,), 1), (4, 4, 4)),
    Case("scratch memory that the GPU does not see", ("i32",), (1,), (4,), scratch=(Memory(0x1000), None)),
    Case("no tensor map", ("nvTmaDesc",), (Memory(0x7F0000001000),), (128,)),
)


@dataclass
class Hooks:
    """What is called around a launch."""

    seen: list[Any] = field(default_factory=list)

    def before(self, about: Any) -> None:
        self.seen.append(("before", about))

    def after(self, about: Any) -> None:
        self.seen.append(("after", about))


@dataclass(frozen=True)
class Asking:
    """Asks through a driver of Triton's: ``utils`` as Triton calls it, ``launcher`` makes one for a case."""

    fake: FakeCuda
    utils: Any
    launcher: Callable[[Case], Callable[..., None]]

    def everything(self) -> dict[str, Any]:
        """Return what happened, in words of JSON."""
        return {
            "without a context": self.contexts(),
            "asked": self.asked(),
            "launches": {case.name: self.launched(case) for case in CASES},
            "refused arguments": {case.name: self.wrong(case) for case in REFUSED},
            "refused by the driver": self.refused(),
        }

    def launched(self, case: Case) -> dict[str, Any]:
        """Launch once."""
        hooks = Hooks()
        self.fake.parameters(*case.sizes, 8, 8)
        self.launcher(case)(*given(case, hooks))
        return {"log": self.fake.log(), "hooks": hooks.seen}

    def wrong(self, case: Case) -> list[str]:
        """Launch with what cannot be; what kind of error it is may differ."""
        self.fake.parameters(*case.sizes, 8, 8)
        try:
            self.launcher(case)(*given(case, Hooks()))
        except (TypeError, ValueError, OverflowError):
            return ["refused", *self.fake.log()]
        return ["launched", *self.fake.log()]

    def contexts(self) -> list[str]:
        """Launch and load in a thread that has no context."""
        self.fake.leave_context()
        self.launched(CASES[0])
        self.fake.leave_context()
        found = self.launched(CASES[0])["log"]
        self.fake.leave_context()
        self.utils.load_binary("kernel", CODE, 0, 3)
        self.fake.leave_context()
        self.utils.set_printf_fifo_size(1 << 20)
        return found + self.fake.log()

    def asked(self) -> list[Any]:
        """Ask what Triton asks beside launches."""
        found = [list(self.utils.load_binary("kernel", CODE, shared, 2)) for shared in (0, 49152, 100_000)]
        found += [self.utils.get_device_properties(1), self.utils.cuOccupancyMaxActiveClusters(0xF0, 4096, 8)]
        for size in (1 << 20, 1 << 22):
            self.utils.set_printf_fifo_size(size)
        self.utils.fill_tma_descriptor(0x7F0000001000, 3, 2, 6, [64, 128], [100, 200], [400, 1], 1)
        self.utils.fill_tma_descriptor(0x7F0000001000, 0, 4, 7, [8], [100], [1], 0)
        made = self.utils.fill_tma_descriptor(0x7F0000001000, 0, 1, 0, [8, 4, 2], [9, 9, 9], [81, 9, 1], 0)
        case = Case("a tensor map", ("i32", "nvTmaDesc"), (1, made), (4, 128))
        return [*found, self.fake.log(), self.launched(case)]

    def refused(self) -> list[list[str]]:
        """Let each function of the driver fail once."""
        pointers = next(case for case in CASES if case.name == "pointers")
        ask = {
            "cuModuleLoadData": lambda: self.utils.load_binary("kernel", CODE, 0, 0),
            "cuModuleGetFunction": lambda: self.utils.load_binary("kernel", CODE, 0, 0),
            "cuFuncSetCacheConfig": lambda: self.utils.load_binary("kernel", CODE, 100_000, 0),
            "cuDeviceGetAttribute": lambda: self.utils.get_device_properties(0),
            "cuCtxSetLimit": lambda: self.utils.set_printf_fifo_size(5),
            "cuOccupancyMaxActiveClusters": lambda: self.utils.cuOccupancyMaxActiveClusters(0xF0, 4096, 8),
            "cuLaunchKernelEx": lambda: self.launched(CASES[0]),
            "cuPointerGetAttribute": lambda: self.launched(pointers),
        }
        return [[name, self.failed(name, call)] for name, call in ask.items()]

    def failed(self, function: str, call: Callable[[], Any]) -> str:
        """Call while a function of the driver fails; return the error's words."""
        self.fake.fail(function)
        try:
            call()
        except RuntimeError as caught:
            return str(caught)
        finally:
            self.fake.fail("")
            self.fake.log()
        return "no error"


def given(case: Case, hooks: Hooks) -> tuple[Any, ...]:
    """Return all that a launcher is called with."""
    modes = (case.cooperative, case.programmatic)
    about = (case.metadata, {"name": case.name}, hooks.before, hooks.after)
    return (*case.grid, case.stream, 0xF0, *modes, *case.scratch, *about, *case.arguments)
