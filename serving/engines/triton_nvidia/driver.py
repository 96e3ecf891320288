"""Triton's driver for NVIDIA's GPUs, but for the two places where it would compile C.

Read in ``backends/nvidia/driver.py`` of Triton 3.6.0, which the bake holds this to (provisioner/image/triton.py).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from triton.backends.nvidia import driver as nvidia

from serving.engines.triton_nvidia.cuda import CudaLibrary
from serving.engines.triton_nvidia.launch import Launch


class Driver(nvidia.CudaDriver):  # type: ignore[misc] # Triton has no types
    """What Triton asks when it is to run a kernel on the GPU."""

    def __init__(self) -> None:
        self.utils = CudaLibrary()
        self.launcher_cls = partial(Launcher, self.utils)
        nvidia.GPUDriver.__init__(self)


class Launcher(nvidia.CudaLauncher):  # type: ignore[misc] # the same
    """Launches one kernel: Triton's own allocation of scratch memory, then ours."""

    def __init__(self, library: CudaLibrary, source: Any, metadata: Any) -> None:
        descriptors = getattr(metadata, "tensordesc_meta", None)
        launch = Launch(library, tuple(source.signature.values()), descriptors or ())
        self.launch = nvidia.wrap_handle_tensordesc(launch, source.signature, descriptors)
        self.num_ctas = getattr(metadata, "num_ctas", 1)
        self.launch_cooperative_grid, self.launch_pdl = metadata.launch_cooperative_grid, metadata.launch_pdl
        self.global_scratch_size = metadata.global_scratch_size
        self.global_scratch_align = metadata.global_scratch_align
        self.profile_scratch_size = metadata.profile_scratch_size
        self.profile_scratch_align = metadata.profile_scratch_align
