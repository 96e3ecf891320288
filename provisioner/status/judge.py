"""Judging a deployment now, as any client would; the verdict is kept beside its release."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.acceptance import Target, Trust, accept
from provisioner.clouds.tpm_ca import CERTIFICATE
from provisioner.collateral import FOLDER
from provisioner.errors import CloudError, MeasureError, SpecError
from provisioner.progress import Progress
from provisioner.publish import POLICY, PUBLISHER, RELEASE
from provisioner.status.deployment import Deployment
from provisioner.status.local import read_local
from provisioner.verdict import keeper

SECONDS = 10.0  # a VM that runs answers at once


@dataclass(frozen=True, slots=True)
class By:
    """What a client would be given besides the release: a policy, and a folder of collateral.

    Where one is left out, the deployment's own counts, and where there is none, production's policy.
    """

    policy: Path | None = None
    collateral: Path | None = None


def judge(one: Deployment, build: Path, by: By, *, progress: Progress) -> Deployment:
    """Return the deployment with the verdict of now; one that has no endpoint is returned as it is.

    Behind a balancer the verdict is about the machine that answers; clients judge each that they meet.
    """
    if one.vm is None or not one.vm.endpoint:
        return one
    root = build / one.name
    collateral = by.collateral or (root / FOLDER if one.cloud != "qemu" and (root / FOLDER).is_dir() else None)
    target = Target(one.vm.endpoint, root / RELEASE, root / PUBLISHER, _trust(one, root, by), collateral)
    unjudged = refused = ""
    try:
        accept(target, seconds=SECONDS, progress=progress, keep=keeper(root, progress))
    except MeasureError as error:
        refused = str(error)
    except (SpecError, CloudError) as error:
        unjudged = f"no verdict now: {error}"
    local = read_local(root)
    if refused and (local.verdict is None or local.verdict.verdict != "refused"):
        unjudged = f"refused now, which could not be kept: {refused}"
    return replace(one, local=local, unjudged=unjudged)


def _trust(one: Deployment, root: Path, by: By) -> Trust:
    if by.policy is None and one.cloud == "qemu":
        return Trust("simulated", root / CERTIFICATE)
    made = root / POLICY
    return Trust("policy", by.policy or (made if made.exists() else None))
