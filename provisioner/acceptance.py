"""Accepting a deployment from outside, as any client would, before its release is published.

What was predicted is compared with what the VM quotes; a difference means :class:`MeasureError` and no release.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_sdk import FetchError, Publisher, SimulatedPlatform, attest
from client_sdk.errors import AttestationError
from provisioner.clouds.interface import Progress
from provisioner.errors import CloudError, MeasureError

PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """What to connect to, and what a client would be given to judge it by."""

    origin: str
    release: Path
    publisher: Path
    tpm_ca: Path


def accept(target: Target, *, seconds: float, progress: Progress) -> dict[str, Any]:
    """Return the client's report once it accepts the deployment; a VM that still boots is asked again.

    Raises:
        CloudError: nobody answered in time.
        MeasureError: the VM answered and is not what was predicted.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return _attest(target)
        except FetchError as error:
            if time.monotonic() + PAUSE > deadline:
                raise CloudError(f"{target.origin} did not answer within {seconds:.0f} s: {error}") from error
            progress(f"waiting for {target.origin}: {error}")
            time.sleep(PAUSE)
        except AttestationError as error:
            raise MeasureError(f"the deployed VM is not what was predicted, nothing is published: {error}") from error


def _attest(target: Target) -> dict[str, Any]:
    accepted = attest(
        target.origin,
        releases=target.release,
        publisher=Publisher(keys=(target.publisher,)),
        policy=SimulatedPlatform(tpm_ca=target.tpm_ca),
    )
    return accepted.report.as_dict()
