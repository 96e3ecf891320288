"""A deployment from its inventory to the moment in which it serves, and away again: what the playbooks ask for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioner import place
from provisioner.atomic import replace_file
from provisioner.clouds import Cloud, Group, Image, Vm, cloud_of
from provisioner.errors import CloudError
from provisioner.progress import Progress
from provisioner.publish import CANDIDATES, POLICY, RELEASE
from provisioner.reading import read_spec
from provisioner.secure_boot.own import are_made, keys_folder
from provisioner.spec import VmIdentity


def preview(variables: Mapping[str, Any], image: Image, root: Path) -> str:
    """Return what ``launch`` would do, for people to read. No cloud is asked, so no credentials are needed.

    Raises:
        SpecError: the inventory is wrong; every fault is listed.
        PlanError: the cloud cannot do what the inventory says.
    """
    cloud = cloud_of(variables, root)
    text = cloud.preview(read_spec(cloud, variables, image, root, pretend=True))
    return "\n".join((*place.about(variables, root), text, *_keys_to_be_made(variables, root)))


def warnings(variables: Mapping[str, Any], image: Image, root: Path) -> tuple[str, ...]:
    """Return what a person should know before ``launch``, each a sentence.

    Raises:
        SpecError: the inventory is wrong; every fault is listed.
        PlanError: the cloud cannot do what the inventory says.
    """
    cloud = cloud_of(variables, root)
    spec = read_spec(cloud, variables, image, root, pretend=True)
    return (*cloud.warnings(spec), *_keys_to_be_made(variables, root))


def _keys_to_be_made(variables: Mapping[str, Any], root: Path) -> tuple[str, ...]:
    """Say that a plan's certificates stand in for those that the first real run makes; nothing where they are made."""
    if variables.get("secure_boot") is not True or are_made(root):
        return ()
    return (f"Secure Boot: keys would be made in {keys_folder(root)}; what this plan shows of them stands in",)


def launch(
    variables: Mapping[str, Any], image: Image, root: Path, *, seconds: float, progress: Progress
) -> tuple[Vm, bool]:
    """Make the deployment that these variables describe run, and wait for it; say whether anything changed.

    Whether the guest may be trusted is for a client to verify.

    Raises:
        SpecError: the inventory is wrong, every fault is listed; or the deployment is at another place.
        PlanError: the cloud cannot do what the inventory says.
        CloudError: it does not run, or is not ready in time; or clients use a group of another image.
    """
    cloud = cloud_of(variables, root, progress=progress)
    spec = read_spec(cloud, variables, image, root)
    name = VmIdentity.from_vars(variables).name
    place.refuse_elsewhere(root, variables)
    _refuse_another_image(name, cloud.groups(name), image, root)
    # Before anything is made, and after the cloud answered: where an interrupted run left things has to be known.
    first = place.record(root, variables)
    try:
        changed = cloud.launch(spec, progress=progress)
    except CloudError:
        if first and _has_nothing(cloud, name):
            place.forget(root)
        raise
    return cloud.wait_ready(name, seconds=seconds, progress=progress), changed


def _has_nothing(cloud: Cloud[Any], name: str) -> bool:
    """Tell whether the cloud says that there is nothing of a deployment; one that does not answer says nothing."""
    try:
        return name not in cloud.names()
    except CloudError:
        return False


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
    text = cloud.guest(read_spec(cloud, variables, image, root)).policy
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
        SpecError: the variables name none, or it is at another place.
        CloudError: there is none, or the cloud refuses.
    """
    name = VmIdentity.from_vars(variables).name
    cloud = cloud_of(variables, root)
    place.refuse_elsewhere(root, variables, to_look=True)
    vm = cloud.find(name)
    if vm is None:
        raise CloudError(f"there is no deployment {name}: deploy it first")
    return vm


def destroy(variables: Mapping[str, Any], root: Path, *, pretend: bool, progress: Progress) -> bool:
    """Leave nothing of the deployment that these variables name; say whether there was anything, half-made included.

    ``pretend`` names everything that would go, and deletes nothing.

    Raises:
        SpecError: the variables name no deployment, or it is at another place.
        CloudError: something of it cannot be stopped or removed.
    """
    name = VmIdentity.from_vars(variables).name
    cloud = cloud_of(variables, root, progress=progress)
    place.refuse_elsewhere(root, variables, to_look=True)
    there = name in cloud.names()
    if pretend:
        for one in cloud.found():
            if one.mark is not None and one.mark.deployment == name:
                progress(f"would delete {one.key}")
    elif there:
        cloud.destroy(name, progress=progress)
    if not there:
        here = place.place_of(variables, root)
        progress(f"there is nothing of {name} in {root / 'vms' if here is None else here.account}")
    if not pretend:
        place.forget(root)
    return there
