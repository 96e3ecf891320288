"""From release N to N+1 on a group of machines: no new machine takes traffic before it is verified.

(1) Look where a rollout is: the groups and the balancer are the cloud's word, what clients were told the release's.
(2) ``stage``: the new group beside the old one, at an endpoint of its own.
(3) Meet every new machine there, as a client does, under the candidate release.
(4) Publish that release; the one before stays valid. Clients get some time to fetch it, while nothing else changes.
(5) ``overlap``: clients are led to both groups, for as long as was asked.
(6) ``drain``: they are led to the new group alone; connections to the old one may end.
(7) The old group is deleted.

What fails before (4) goes back: the old group alone, nothing published. What is interrupted anywhere goes on, or back,
with the next run: nothing is remembered but in the cloud and in the release files. So a run that goes on at (4) meets
the new machines once more, and where one of them would have to be made anew later, (2) and (3) come first again. A
wait that was interrupted is waited for in full once more. Open doors stop it before (5) and before (6).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from provisioner import place
from provisioner.clouds import Cloud, Group, Image, Rolling, cloud_of
from provisioner.clouds.interface import DRAIN_SECONDS, ONE_MACHINE, require_group, short
from provisioner.clouds.resources import Key
from provisioner.errors import CloudError, MeasureError, PlanError, ProvisionError
from provisioner.launch import is_given
from provisioner.meeting import Verify, meet_all
from provisioner.progress import Progress
from provisioner.publish import IMAGE, POLICY, is_published, promote, sole
from provisioner.reading import read_spec
from provisioner.spec import VmIdentity

_SAY_SECONDS = 60.0
Where = Literal["settle", "stage", "announce", "overlap", "drain", "end"]


@runtime_checkable
class RollingCloud(Cloud[Any], Protocol):
    """What a rollout needs of a cloud besides: an older group beside the one of the spec.

    Raises:
        CloudError: by every method that asks the cloud; run it again, it goes on where it was.
    """

    def planned(self, spec: Any, rolling: Rolling | None = None) -> frozenset[Key]:
        """Name everything that there is at a step; asks the cloud nothing."""

    def check(self, spec: Any, rolling: Rolling | None) -> None:
        """See that a step makes nothing anew that serves; changes nothing.

        Raises:
            PlanError: the inventory changed more than what belongs to one image.
        """

    def unmade(self, spec: Any, rolling: Rolling) -> tuple[Key, ...]:
        """Return what a step needs of the new group and what is not there, or not as planned: it would be made anew."""

    def roll(self, spec: Any, rolling: Rolling, *, progress: Progress) -> None:
        """Make the cloud have what the plan of this step says. The older group is left as it is.

        Raises:
            PlanError: the inventory changed more than what belongs to one image; nothing was changed then.
        """

    def wait_staged(self, name: str, image: str, count: int, *, seconds: float, progress: Progress) -> str:
        """Wait until a group that serves nobody yet has all its machines; return its endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What is wanted: this image on the inventory's group.

    ``announce`` is for how many seconds the new release is published before a client may meet its machines, ``overlap``
    for how many both releases' machines serve.
    """

    variables: Mapping[str, Any]
    image: Image
    root: Path
    announce: float
    overlap: float
    seconds: float
    drain: float = DRAIN_SECONDS

    @property
    def name(self) -> str:
        """The deployment's name."""
        return VmIdentity.from_vars(self.variables).name


@dataclass(frozen=True, slots=True)
class Position:
    """Where a rollout is, and how the key of the older image begins; empty where there is none."""

    where: Where
    old: str


def position(name: str, groups: tuple[Group, ...], image: str, *, published: bool) -> Position:
    """Say where a rollout to an image is, from what the cloud has and whether clients were told of that image.

    Raises:
        CloudError: there is nothing to roll from.
    """
    ours = [group for group in groups if group.is_of(image)]
    others = sorted((group for group in groups if not group.is_of(image)), key=lambda one: (not one.serving, one.image))
    serving = [group for group in others if group.serving]
    if ours and published and serving:
        return Position("overlap" if ours[0].serving else "announce", serving[0].image)
    if ours and published:
        return Position("drain" if others else "end", others[0].image if others else "")
    if len(serving) > 1:
        return Position("settle", "")
    if serving:
        return Position("stage", serving[0].image)
    if ours:
        raise CloudError(f"{name}: its machines run this image already: playbooks/deploy.yml accepts and publishes it")
    if others:
        raise CloudError(f"{name}: nothing serves, what is there is half-made: playbooks/destroy.yml, then deploy.yml")
    raise CloudError(f"{name}: there is no group of machines to roll from: playbooks/deploy.yml makes it")


def rolling_cloud(variables: Mapping[str, Any], root: Path) -> RollingCloud:
    """Return the cloud of an inventory whose deployment can be a group of machines.

    Raises:
        SpecError: the inventory names no cloud, or not where in it.
        PlanError: its deployments are one machine each.
    """
    cloud = cloud_of(variables, root)
    if not isinstance(cloud, RollingCloud):
        raise PlanError(f"{variables['name']}: {ONE_MACHINE}")
    return cloud


def preview(wanted: Rollout, cloud: RollingCloud) -> str:
    """Return the steps, and everything that the cloud has once they are done, for people to read; asks nobody.

    Raises:
        SpecError: the inventory is wrong; every fault is listed.
        PlanError: this cloud cannot do what the inventory says.
    """
    spec = read_spec(cloud, wanted.variables, wanted.image, wanted.root, pretend=True)
    require_group(wanted.name, spec.replicas)
    link, new = wanted.root / IMAGE, short(wanted.image.key)
    old = short(link.resolve().name if link.is_symlink() else "0" * len(wanted.image.key))
    beside = cloud.planned(spec, Rolling(old=old, step="stage")) - cloud.planned(spec)
    trial = ", ".join(sorted(str(key) for key in beside)) or "nothing more than in the end"
    steps = (
        f"stage: {spec.replicas} machines of {new} are made beside those of {old}, and each is verified",
        f"  for that time alone: {trial}",
        f"announce: the new release is published; for {wanted.announce:.0f} s the old machines serve alone",
        f"overlap: for {wanted.overlap:.0f} s both serve",
        f"drain: for {wanted.drain:.0f} s connections to the old machines may end",
        f"end: the machines of {old} and what they were made from are deleted; there is then:",
    )
    return "\n".join((*place.about(wanted.variables, wanted.root), *steps, cloud.preview(spec)))


def roll_out(wanted: Rollout, cloud: RollingCloud, verify: Verify, *, progress: Progress) -> bool:
    """Bring a group of machines to an image; say whether anything changed.

    Raises:
        SpecError: the inventory is wrong, or there is no candidate of a release.
        PlanError: the inventory changed more than what belongs to one image, or there is no group; nothing changed.
        CloudError: the cloud refused; the old group serves as before, or, where the new release is published already,
            the next run goes on.
        MeasureError: new machines are not what was predicted; the old group serves as before.
        BusyError: another run holds the deployment's folder; nothing changed.
    """
    with sole(wanted.root):
        return _roll_out(wanted, _Run(wanted, cloud, verify, progress), progress)


def _roll_out(wanted: Rollout, run: _Run, progress: Progress) -> bool:
    run.require_same_policy()
    here = run.look()  # (1)
    if here.where == "settle":
        run.settle()
        here = run.look()
    if here.where in ("stage", "announce") or run.is_broken(here):
        run.stage(here.old)  # (2), (3)
        promote(wanted.root)  # (4)
        progress(f"{wanted.name}: the new release is published; the one before stays valid")
        here = Position("announce", here.old)
    changed = here.where != "end"
    if here.where == "announce":
        run.announce()
        here = Position("overlap", here.old)
    if here.where == "overlap":
        run.overlap(here.old)  # (5)
        here = Position("drain", here.old)
    if here.where == "drain":
        run.drain(here.old)  # (6)
    run.end()  # (7)
    return changed


class _Run:
    """One run towards an image."""

    def __init__(self, wanted: Rollout, cloud: RollingCloud, verify: Verify, progress: Progress) -> None:
        self._wanted, self._cloud, self._verify, self._progress = wanted, cloud, verify, progress
        self._spec = read_spec(cloud, wanted.variables, wanted.image, wanted.root)
        require_group(wanted.name, self._spec.replicas)
        place.refuse_elsewhere(wanted.root, wanted.variables)

    def look(self) -> Position:
        """Say where the rollout is."""
        groups = self._cloud.groups(self._wanted.name)
        return position(self._wanted.name, groups, self._wanted.image.key, published=self._is_published())

    def _is_published(self) -> bool:
        return is_published(self._wanted.root, self._wanted.image.key)

    def require_same_policy(self) -> None:
        """Refuse machines that clients of those that serve would not take: both serve at a time."""
        policy = self._cloud.guest(self._spec).policy
        if policy and not is_given(policy, self._wanted.root):
            raise PlanError(
                f"{self._wanted.name}: the inventory asks for machines that the policy which clients were given "
                f"({self._wanted.root / POLICY}) may not take: undo that change, or destroy and deploy again"
            )

    def is_broken(self, here: Position) -> bool:
        """Tell whether the rest would make anything of the new group anew, which nobody would have verified then."""
        if here.where not in ("overlap", "drain"):
            return False
        return bool(self._cloud.unmade(self._spec, Rolling(old=here.old, step=here.where)))

    def settle(self) -> None:
        """Bring an earlier rollout, to the image that is published, to its end before another one begins."""
        name = (self._wanted.root / IMAGE).resolve().name
        groups = [one for one in self._cloud.groups(self._wanted.name) if one.serving and one.is_of(name)]
        if not groups:
            raise CloudError(
                f"{self._wanted.name}: several groups serve, and none is of the published image: "
                "playbooks/destroy.yml, then deploy.yml"
            )
        self._progress(f"{self._wanted.name}: an earlier rollout was interrupted; it is brought to its end first")
        self._wait(self._wanted.overlap, "both releases serve")
        self._roll(Rolling(old=groups[0].image, step="back"))

    def stage(self, old: str) -> None:
        """Make the new group and verify each of its machines; go back where that fails."""
        try:
            self._roll(Rolling(old=old, step="stage"))
            self._meet()
        except PlanError:  # said before anything was changed
            raise
        except ProvisionError as error:
            raise self._back(old, error) from error

    def announce(self) -> None:
        """Give clients time to fetch the new release before they may meet its machines."""
        self._wait(self._wanted.announce, "clients fetch the new release; the old machines serve alone")

    def overlap(self, old: str) -> None:
        """Lead clients to both groups for as long as was asked."""
        self._require_shut()
        self._roll(Rolling(old=old, step="overlap"))
        self._wait(self._wanted.overlap, "both releases serve")

    def drain(self, old: str) -> None:
        """Lead clients to the new group alone, and let connections to the old one end."""
        self._require_shut()
        try:
            self._roll(Rolling(old=old, step="drain"))
        except PlanError:
            if any(group.is_of(old) for group in self._cloud.groups(self._wanted.name)):
                raise
            return  # an interrupted run had asked for its end, which came between the two looks
        self._wait(self._wanted.drain, "connections to the old machines may end")

    def end(self) -> None:
        """Delete what is not the new group's, and see that it serves."""
        self._cloud.check(self._spec, None)
        self._cloud.launch(self._spec, progress=self._progress)
        self._cloud.wait_ready(self._wanted.name, seconds=self._wanted.seconds, progress=self._progress)

    def _require_shut(self) -> None:
        if doors := self._cloud.open_doors(self._wanted.name):
            raise CloudError(f"{self._wanted.name}: open doors, the rollout goes no further: {'; '.join(doors)}")

    def _roll(self, rolling: Rolling) -> None:
        self._progress(f"{self._wanted.name}: {rolling.step}, beside {rolling.old}")
        self._cloud.roll(self._spec, rolling, progress=self._progress)

    def _meet(self) -> None:
        wanted, count = self._wanted, self._spec.replicas
        endpoint = self._cloud.wait_staged(
            wanted.name, wanted.image.key, count, seconds=wanted.seconds, progress=self._progress
        )
        meet_all(endpoint, count, self._verify, progress=self._progress)

    def _back(self, old: str, error: ProvisionError) -> ProvisionError:
        """Have the old group alone again, and return what to raise."""
        kind = MeasureError if isinstance(error, MeasureError) else CloudError
        told = "its release stays published" if self._is_published() else "nothing is published"
        try:
            self._roll(Rolling(old=old, step="back"))
        except ProvisionError as again:
            return kind(
                f"{self._wanted.name}: {told}, {old} serves as before, and what was made for the new "
                f"image could not be taken away: {again}; run the rollout again. It failed because: {error}"
            )
        return kind(f"{self._wanted.name}: rolled back, {told}, {old} serves as before: {error}")

    def _wait(self, seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._progress(f"{self._wanted.name}: {what}, {left:.0f} s more")
            time.sleep(min(left, _SAY_SECONDS))
