"""Looking: what an inventory's cloud and this machine say of its deployments. Changes nothing, waits for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provisioner import fields
from provisioner.baked import image_of
from provisioner.clouds import Cloud, cloud_of
from provisioner.clouds.resources import Found, Key
from provisioner.errors import BakeError, CloudError, PlanError, ProvisionError, SpecError
from provisioner.image.artefacts import open_image
from provisioner.place import refuse_elsewhere
from provisioner.publish import RELEASE, newest_image
from provisioner.reading import read_spec
from provisioner.spec import VmIdentity
from provisioner.status.deployment import Deployment, Things
from provisioner.status.local import read_local


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look at: ``told`` is the inventory's ``deploy_vm``, ``build`` where deployments have their folders.

    ``alone`` leaves out the other deployments of the same cloud.
    """

    told: Mapping[str, Any]
    build: Path
    alone: bool = False
    doors: bool = True


def look(wanted: Wanted) -> tuple[Deployment, ...]:
    """Return the deployments of an inventory's cloud, its own first.

    A cloud that refuses is in the answer, not raised: what this machine knows is worth showing.

    Raises:
        SpecError: the inventory does not say which cloud, or where in it.
    """
    own = VmIdentity.from_vars(wanted.told)
    if own.cloud == "qemu":
        return tuple(_local(wanted, name) for name in _names(wanted, own.name, _folders(wanted.build)))
    cloud = cloud_of(wanted.told, wanted.build / own.name)
    try:
        found = cloud.found()
    except CloudError as error:
        return (_unasked(wanted, own.name, error),)
    names = _names(wanted, own.name, {one.mark.deployment for one in found if one.mark is not None})
    return tuple(_looked(wanted, name, cloud, found) for name in names)


def _local(wanted: Wanted, name: str) -> Deployment:
    """Look at a VM of this machine: each has a folder, and so a cloud, of its own."""
    told = {**wanted.told, "name": name}
    cloud = cloud_of(told, wanted.build / name)
    return _looked(Wanted(told=told, build=wanted.build, doors=wanted.doors), name, cloud, cloud.found())


def _folders(build: Path) -> set[str]:
    """Return the deployments that have a VM's folder on this machine."""
    return {path.parent.parent.name for path in build.glob("*/vms/*") if fields.NAME.fullmatch(path.parent.parent.name)}


def _names(wanted: Wanted, own: str, found: set[str]) -> tuple[str, ...]:
    """Return the inventory's own name first; it is left out where others are there and nothing of it is."""
    others = () if wanted.alone else tuple(sorted(found - {own}))
    here = own in found or (wanted.build / own / RELEASE).exists()
    return others if others and not here else (own, *others)


def _unasked(wanted: Wanted, name: str, error: CloudError) -> Deployment:
    cloud = VmIdentity.from_vars(wanted.told).cloud
    local = read_local(wanted.build / name)
    return Deployment(name=name, cloud=cloud, local=local, refusal=str(error), elsewhere=_elsewhere(wanted, name))


def _looked(wanted: Wanted, name: str, cloud: Cloud[Any], found: Iterable[Found]) -> Deployment:
    own = VmIdentity.from_vars(wanted.told)
    ours = tuple(one for one in found if one.mark is not None and one.mark.deployment == name)
    try:
        vm = cloud.find(name)
    except CloudError as error:
        return _unasked(wanted, name, error)
    things = _things(ours, None, "another inventory has its plan")
    if name == own.name:
        things = _things(ours, *_planned(wanted, cloud))
    local, place = read_local(wanted.build / name), _elsewhere(wanted, name)
    made = Deployment(name=name, cloud=own.cloud, local=local, vm=vm, things=things, elsewhere=place)
    # Which clients may connect is in its own inventory; a machine without an address is looked at too.
    return _with_doors(made, cloud) if wanted.doors and name == own.name and vm is not None else made


def _elsewhere(wanted: Wanted, name: str) -> str:
    """Say that the inventory's own deployment is at another place than the inventory; nothing where it is not."""
    if name != wanted.told["name"]:
        return ""
    try:
        refuse_elsewhere(wanted.build / name, wanted.told)
    except SpecError as error:
        return str(error)
    return ""


def _with_doors(made: Deployment, cloud: Cloud[Any]) -> Deployment:
    if made.vm is not None and not made.vm.nodes:
        return replace(made, unlooked="because there is no machine to look at")
    try:
        return replace(made, doors=cloud.open_doors(made.name))
    except CloudError as error:
        return replace(made, refusal=str(error), unlooked="because the cloud could not be asked")


def _planned(wanted: Wanted, cloud: Cloud[Any]) -> tuple[frozenset[Key] | None, str]:
    """Name what the inventory plans, with the image that was deployed last; or say why that is unknown."""
    folder = newest_image(wanted.build / str(wanted.told["name"]))
    if folder is None:
        return None, "no image of it is on this machine"
    try:
        image = image_of(folder, open_image(folder).service.port)
        root = wanted.build / str(wanted.told["name"])
        return cloud.planned(read_spec(cloud, wanted.told, image, root, pretend=True)), ""
    except (BakeError, SpecError, PlanError) as error:
        return None, _said(error)


def _said(error: ProvisionError) -> str:
    return f"there is no plan to compare with: {error}"


def _things(ours: tuple[Found, ...], planned: frozenset[Key] | None, why: str) -> Things:
    there = {one.key for one in ours}
    return Things(
        count=len(ours),
        unfinished=tuple(f"{one.key} is {_STATES[one.state]}" for one in ours if one.state != "ready"),
        leftover=None if planned is None else tuple(str(one.key) for one in ours if one.key not in planned),
        missing=None if planned is None else tuple(sorted(str(key) for key in planned - there)),
        why=why,
    )


_STATES = {"pending": "still being made, or goes", "failed": "stopped or half-made"}
