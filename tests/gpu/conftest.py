"""Triton's kernels on an NVIDIA GPU: run by ``make test-gpu``, on a machine that has one.

Elsewhere nothing of this folder is collected; there a GPU that does not answer fails.
"""

from __future__ import annotations

from tests.serving_vllm.versions import GPUS

collect_ignore_glob = [] if GPUS else ["*"]
