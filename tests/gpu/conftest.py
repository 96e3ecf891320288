"""Triton's kernels on an NVIDIA GPU: run by ``make test-gpu``, on a machine that has one.

Elsewhere nothing of this folder is collected; there a GPU that does not answer fails.
"""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("VITRINE_GPUS") else ["*"]
