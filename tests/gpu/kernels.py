"""``python kernels.py run|time``: run kernels of Triton's on this machine's GPU, and print what came out of them.

Run twice in processes of their own, with Triton's driver and with ours. The results are the bytes of whole tensors, and
each is held against torch's answer here already.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable

import torch
import triton
import triton.language as tl
from triton.runtime.driver import driver
from triton.runtime.errors import OutOfResources
from triton.tools.tensor_descriptor import TensorDescriptor

from tests.fakes.triton_kernels import scaled, slots

GPU = "cuda"


@triton.jit
def product(a, b, out, count, block: tl.constexpr):
    """Multiply by tensor descriptors, which a launch takes as 128 bytes each."""
    row, column = tl.program_id(0) * block, tl.program_id(1) * block
    total = tl.zeros((block, block), tl.float32)
    for at in range(0, count, block):
        total += tl.dot(a.load([row, at]), b.load([at, column]))
    out.store([row, column], total.to(tl.float16))


@triton.jit
def counted(x, out, size, block: tl.constexpr):
    """Add into one place from many programs."""
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    tl.atomic_add(out, tl.sum(tl.load(x + offsets, mask=offsets < size, other=0)))


@triton.jit
def met(flag, out, world):
    """Wait for all programs: together they have to be on the GPU at once, which is a cooperative launch."""
    tl.atomic_add(flag, 1)
    while tl.atomic_add(flag, 0) < world:
        pass
    tl.store(out + tl.program_id(0), 1)


def _chosen() -> Callable:
    """A kernel that is tried with two settings first: timing is the driver's as well."""
    configs = [triton.Config({"block": block}, num_warps=warps) for block, warps in ((256, 4), (1024, 8))]
    return triton.autotune(configs=configs, key=["size"], reset_to_zero=["out"])(counted)


def found_places() -> torch.Tensor:
    """Ask for the places of 4,096 tokens of four requests."""
    starts = torch.tensor([0, 1000, 1001, 3000, 4096], dtype=torch.int32, device=GPU)
    positions = torch.cat([torch.arange(n, device=GPU) for n in (1000, 1, 1999, 1096)])
    table = torch.arange(4 * 128, dtype=torch.int32, device=GPU).flip(0).reshape(4, 128).contiguous()
    out = torch.zeros(5000, dtype=torch.int64, device=GPU)
    slots[(4,)](3, 4999, starts, positions, table, table.stride(0), 16, out, world=1, block=1024)
    request = torch.repeat_interleave(torch.arange(4, device=GPU), starts.diff())
    expected = table[request, positions // 16].long() * 16 + positions % 16
    assert torch.equal(out[:4096], expected)
    assert out[4999] == -1
    return out


def found_scaled() -> torch.Tensor:
    """Scale 64 numbers, with nothing to add and with something."""
    x, out = torch.arange(64, device=GPU, dtype=torch.bfloat16), torch.empty(2, 64, device=GPU)
    scaled[(1,)](out[0], x, 0.125, (3, 4), None, block=64, num_warps=8)
    scaled[(1,)](out[1], x, -2.5, (3, 4), torch.ones(1, device=GPU), block=64)
    assert torch.equal(out[0], x.float() * 0.125 + 3)
    assert torch.equal(out[1], x.float() * -2.5 + 4)
    return out


def found_product() -> torch.Tensor:
    """Multiply two matrices of halves."""
    torch.manual_seed(1)
    a, b = (torch.randn(512, 512, device=GPU, dtype=torch.float16) for _ in range(2))
    out = torch.empty(512, 512, device=GPU, dtype=torch.float16)
    described = [TensorDescriptor.from_tensor(value, [64, 64]) for value in (a, b, out)]
    product[(8, 8)](*described, 512, block=64, num_stages=3)
    torch.testing.assert_close(out, a @ b, rtol=1e-2, atol=1e-1)
    return out


def found_sum() -> torch.Tensor:
    """Add up a hundred thousand numbers, by the faster of two kernels."""
    x, out = torch.arange(100_003, device=GPU), torch.zeros(1, dtype=torch.int64, device=GPU)
    _chosen()[lambda meta: (triton.cdiv(x.numel(), meta["block"]),)](x, out, x.numel())
    assert out.item() == x.sum().item()
    return out


def found_meeting() -> torch.Tensor:
    """Have as many programs meet as the GPU has processors."""
    world = torch.cuda.get_device_properties(0).multi_processor_count
    flag, out = torch.zeros(1, dtype=torch.int32, device=GPU), torch.zeros(world, dtype=torch.int32, device=GPU)
    met[(world,)](flag, out, world, launch_cooperative_grid=True)
    assert out.sum().item() == world
    return flag


def found_graph() -> torch.Tensor:
    """Capture a launch in a CUDA graph, as a decoding step is, and play it with other numbers."""
    x, out = torch.zeros(64, device=GPU, dtype=torch.bfloat16), torch.zeros(64, device=GPU)
    scaled[(1,)](out, x, 2.0, (1, 0), None, block=64)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        scaled[(1,)](out, x, 2.0, (1, 0), None, block=64)
    x.copy_(torch.arange(64, device=GPU))
    graph.replay()
    assert torch.equal(out, x.float() * 2 + 1)
    return out


def found_stream() -> torch.Tensor:
    """Launch on another stream than the usual one, behind work of that stream's."""
    x, out = torch.zeros(64, device=GPU, dtype=torch.bfloat16), torch.zeros(64, device=GPU)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()) as _:
        torch.cuda._sleep(10_000_000)
        x.fill_(5)
        scaled[(1,)](out, x, 1.0, (0, 0), None, block=64)
        torch.cuda.current_stream().synchronize()
    assert torch.equal(out, x.float())
    return out


def refused() -> str:
    """Ask for more shared memory than there is: say how Triton names that."""
    try:
        a = TensorDescriptor.from_tensor(torch.zeros(512, 512, device=GPU, dtype=torch.float16), [256, 256])
        product[(2, 2)](a, a, a, 512, block=256, num_stages=4)
    except OutOfResources as error:
        return type(error).__name__
    return "nothing"


KERNELS = (found_places, found_scaled, found_product, found_sum, found_meeting, found_graph, found_stream)


def timed() -> dict[str, float]:
    """Return how long a launch takes that was compiled before, in microseconds: alone, and within a graph."""
    x, out = torch.zeros(64, device=GPU, dtype=torch.bfloat16), torch.zeros(64, device=GPU)

    def launch() -> None:
        scaled[(1,)](out, x, 2.0, (1, 0), None, block=64)

    launch()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(1000):
            launch()
    found = {}
    for name, action, count in (("launch", launch, 1000), ("graph", graph.replay, 10)):
        times, cpu = [], []
        for _ in range(20):
            torch.cuda.synchronize()
            begun, spent = time.perf_counter(), time.process_time()
            for _ in range(count):
                action()
            cpu.append(time.process_time() - spent)
            torch.cuda.synchronize()
            times.append(time.perf_counter() - begun)
        launches = 1000 if name == "launch" else 10_000
        found |= {f"{name}, wall": min(times) / launches * 1e6, f"{name}, CPU": min(cpu) / launches * 1e6}
    return found


def main() -> None:
    """Print it, as JSON."""
    told = {"driver": type(driver.active).__module__, "gpu": torch.cuda.get_device_name(0)}
    if sys.argv[1] == "time":
        print(json.dumps(told | timed()))
        return
    for kernel in KERNELS:
        out = kernel()
        told[kernel.__name__] = hashlib.sha256(out.cpu().numpy().tobytes()).hexdigest()
    print(json.dumps(told | {"refused": refused()}))


if __name__ == "__main__":
    main()
