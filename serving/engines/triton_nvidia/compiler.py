"""Triton's own compiler for NVIDIA's GPUs, where Triton looks for that of a backend."""

from __future__ import annotations

from triton.backends.nvidia.compiler import CUDABackend

__all__ = ["CUDABackend"]
