"""What makers publish about a deployment's machines, gathered as an operator does: by ``vitrine collateral fetch``.

The command runs as a process of its own: it is the one program that talks to AMD, Intel, NVIDIA and the clouds' CAs,
with their limits and a cache, and what it writes is what clients are given. Nothing of it is believed here: acceptance
verifies it like any client.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from provisioner.errors import CloudError
from provisioner.progress import Progress

FOLDER = "collateral"
_PATIENCE = 1800.0
_LAST = 4


def gather(origin: str, root: Path, *, seconds: float, progress: Progress) -> Path:
    """Ask a deployment for evidence and vendors for what it needs; return the folder, which clients are given.

    Behind a balancer it is about the machine that answered; ``seconds`` is how long that may take to come up.

    Raises:
        CloudError: not all could be had; with what the command said, which names the next step.
    """
    folder = root / FOLDER
    progress(f"gathers collateral for {origin} into {folder}")
    argv = [sys.executable, "-m", "client_sdk.cli", "collateral", "fetch", origin, "--output", str(folder)]
    try:
        done = subprocess.run(
            [*argv, "--wait", f"{seconds:.0f}"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE + seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CloudError(f"{origin}: no end of gathering collateral; run it again, what is there is kept") from error
    if done.returncode != 0:
        said = " | ".join(line.strip() for line in (done.stderr or done.stdout).splitlines()[-_LAST:] if line.strip())
        raise CloudError(f"{origin}: collateral is not complete, so no client could accept it: {said}")
    return folder
