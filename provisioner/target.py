"""Which files a deployment is judged by, and where it is: what a client would be given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.acceptance import Target, Trust
from provisioner.clouds.tpm_ca import CERTIFICATE
from provisioner.collateral import gather
from provisioner.errors import CloudError, Fault, SpecError
from provisioner.launch import find
from provisioner.progress import Progress
from provisioner.publish import CANDIDATES, KEY, POLICY, PUBLISHER, RELEASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What the inventory says. ``origin`` may be empty: then the cloud is asked; ``candidate`` is the release's."""

    variables: Mapping[str, Any]
    root: Path
    origin: str
    candidate: bool
    simulated_cloud: Path | None


def target_of(deployment: Deployment, *, seconds: float, progress: Progress) -> Target:
    """Return what to connect to and by which files to judge it; gathers collateral where hardware is judged by it.

    Raises:
        SpecError: there is no release: a cloud's needs platform values first.
        CloudError: there is no such deployment, or collateral is not complete.
    """
    root, origin = deployment.root, deployment.origin or find(deployment.variables, deployment.root).endpoint
    if not origin:
        raise CloudError(f"{root.name} has no address yet: deploy it again, which waits for one")
    release = root / (CANDIDATES[RELEASE] if deployment.candidate else RELEASE)
    trust = _trust(deployment)
    if trust.kind != "simulated" and not release.exists():
        told = f"a release; observe the machine at {origin}, write its platform values, sign them with {root / KEY} "
        told += "(docs/clouds says how, step by step), name the file here, then deploy once more"
        raise SpecError((Fault("deploy_platform_values", told, "no platform values yet"),))
    collateral = gather(origin, root, seconds=seconds, progress=progress) if trust.kind == "policy" else None
    return Target(origin, release, root / PUBLISHER, trust, collateral)


def _trust(deployment: Deployment) -> Trust:
    if deployment.simulated_cloud is not None:
        return Trust("simulated_cloud", deployment.simulated_cloud)
    if deployment.variables.get("cloud", "qemu") == "qemu":
        return Trust("simulated", deployment.root / CERTIFICATE)
    candidate = deployment.root / CANDIDATES[POLICY]
    new = deployment.candidate and candidate.exists()
    return Trust("policy", candidate if new else deployment.root / POLICY)
