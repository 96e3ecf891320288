"""A VM from its inventory to the moment in which it says that it serves, and away again: what the playbooks ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioner.atomic import replace_file
from provisioner.clouds import Group, Image, Vm, cloud_of
from provisioner.errors import CloudError
from provisioner.progress import Progress
from provisioner.publish import CANDIDATES, POLICY, RELEASE
from provisioner.spec import VmIdentity


def preview(variables: Mapping[str, Any], image: Image, root: Path) -> str:
    """Return what ``launch`` would do, for people to read. No cloud is asked, so no credentials are needed.

    Raises:
        SpecError: the inventory is wrong; every fault is listed.
        PlanError: the cloud cannot do what the inventory says.
    """
    cloud = cloud_of(variables, root)
    return cloud.preview(cloud.spec(variables, image))


def launch(
    variables: Mapping[str, Any], image: Image, root: Path, *, seconds: float, progress: Progress
) -> tuple[Vm, bool]:
    """Make the VM that these variables describe run, and wait for it; say whether anything changed.

    Whether the guest may be trusted is for a client to verify.

    Raises:
        SpecError: the inventory is wrong; every fault is listed.
        PlanError: the cloud cannot do what the inventory says.
        CloudError: it does not run, or is not ready in time; or clients use a group of another image.
    """
    cloud = cloud_of(variables, root, progress=progress)
    spec = cloud.spec(variables, image)
    name = VmIdentity.from_vars(variables).name
    _refuse_another_image(name, cloud.groups(name), image, root)
    changed = cloud.launch(spec, progress=progress)
    return cloud.wait_ready(name, seconds=seconds, progress=progress), changed


def _refuse_another_image(name: str, groups: tuple[Group, ...], image: Image, root: Path) -> None:
    """Refuse to put an image in the place of a group that clients were told of."""
    others = [group.image for group in groups if not group.is_of(image.key)]
    if others and (root / RELEASE).exists():
        raise CloudError(
            f"{name}: machines of another image are there ({', '.join(others)}) and their release is published: bring "
            "them to this image with playbooks/rollout.yml, or destroy them first"
        )


def write_policy(variables: Mapping[str, Any], image: Image, root: Path) -> Path | None:
    """Write the policy file that clients of this deployment are given; None where no policy file takes its machines.

    Beside a published release it is a candidate where it says something new, published with the next release.

    Raises:
        SpecError: the inventory is wrong; every fault is listed.
    """
    cloud = cloud_of(variables, root)
    text = cloud.guest(cloud.spec(variables, image)).policy
    if not text:
        return None
    root.mkdir(parents=True, exist_ok=True)
    candidate = root / CANDIDATES[POLICY]
    if not (root / RELEASE).exists() or is_given(text, root):
        candidate.unlink(missing_ok=True)
        candidate = root / POLICY
    replace_file(candidate, text.encode())
    return candidate


def is_given(policy: str, root: Path) -> bool:
    """Tell whether clients of this deployment were given this very policy."""
    path = root / POLICY
    return path.exists() and path.read_bytes() == policy.encode()


def find(variables: Mapping[str, Any], root: Path) -> Vm:
    """Return the deployment that these variables name, as its cloud sees it now.

    Raises:
        SpecError: the variables name none.
        CloudError: there is none, or the cloud refuses.
    """
    name = VmIdentity.from_vars(variables).name
    vm = cloud_of(variables, root).find(name)
    if vm is None:
        raise CloudError(f"there is no deployment {name}: deploy it first")
    return vm


def destroy(variables: Mapping[str, object], root: Path, *, pretend: bool, progress: Progress) -> bool:
    """Leave nothing of the VM that these variables name; say whether there was anything, a half-made VM included.

    Raises:
        SpecError: the variables name no VM.
        CloudError: something of it cannot be stopped or removed.
    """
    name = VmIdentity.from_vars(variables).name
    cloud = cloud_of(variables, root, progress=progress)
    there = name in cloud.names()
    if there and not pretend:
        cloud.destroy(name, progress=progress)
    return there
