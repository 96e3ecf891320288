"""One deployment as it was found, and what is wrong with it: data, no effects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from provisioner.clouds import Vm
from provisioner.status.local import Local

State = Literal["running", "not running", "half-made", "not deployed", "not asked"]
_VERIFY = "vitrine status --verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Things:
    """What bears the deployment's mark, as text: how many, what is not ready, what is in no plan, what is missing.

    The last two are None where there is no plan to compare with; ``why`` says why not.
    """

    count: int
    unfinished: tuple[str, ...]
    leftover: tuple[str, ...] | None
    missing: tuple[str, ...] | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What this machine and the cloud say. ``refusal`` is why the cloud could not be asked; empty where it was.

    ``doors`` is None where nobody looked, and ``unlooked`` is why, where somebody should have.
    ``unjudged`` is why there is no verdict of now, where one was asked for.

    Nothing here is evidence: what a VM is, only a client's verification shows.
    """

    name: str
    cloud: str
    local: Local
    vm: Vm | None = None
    things: Things | None = None
    doors: tuple[str, ...] | None = None
    refusal: str = ""
    unjudged: str = ""
    unlooked: str = ""

    @property
    def state(self) -> State:
        """Say in a word how it is."""
        if self.refusal and self.vm is None:
            return "not asked"
        if self.vm is not None:
            return "running" if self.vm.running else "not running"
        return "half-made" if self.things is not None and self.things.count else "not deployed"


def wrong(one: Deployment, now: datetime) -> tuple[str, ...]:
    """Return everything that is wrong with a deployment, each with the next step; of what nobody knows, nothing."""
    return (*one.local.faults, *_machines(one), *_release(one, now), *_verdict(one), *_things(one), *_doors(one))


def _doors(one: Deployment) -> Iterator[str]:
    yield from one.doors or ()
    if one.unlooked:
        yield f"nobody knows which doors are open, {one.unlooked}: see to that, or leave them out (--no-doors)"


def exit_code(found: tuple[Deployment, ...], now: datetime) -> int:
    """Return 1 where something is wrong, else 3 where a cloud could not be asked, else 0."""
    if any(wrong(one, now) for one in found):
        return 1
    return 3 if any(one.refusal for one in found) else 0


def _machines(one: Deployment) -> Iterator[str]:
    if one.state == "not deployed":
        yield "it is not deployed: run playbooks/deploy.yml"
    if one.state == "half-made":
        yield "it is half-made and may cost: run playbooks/deploy.yml, which goes on, or playbooks/destroy.yml"
    if one.vm is None:
        return
    asleep = [node.name for node in one.vm.nodes if not node.running]
    if asleep or not one.vm.running:
        yield f"not running: {', '.join(asleep) or one.name}; run playbooks/deploy.yml"
    wanted = one.local.image
    for node in one.vm.nodes:
        if wanted and node.image and not node.is_of(wanted):
            yield (
                f"{node.name} is of image {node.image[:12]}, and the published release of {wanted[:12]}: "
                "run playbooks/deploy.yml"
            )


def _release(one: Deployment, now: datetime) -> Iterator[str]:
    release = one.local.release
    if release is None:
        # A release that cannot be read is a fault already; one of another machine's may well be published.
        if one.vm is not None and not one.local.faults:
            yield "this machine has published no release of it, so no client can verify it: run playbooks/deploy.yml"
        return
    window = release.window(now)
    if window in ("expired", "not yet valid"):
        yield f"release {release.number} is {window}, and clients refuse it: run playbooks/deploy.yml to renew it"


def _verdict(one: Deployment) -> Iterator[str]:
    verdict, release = one.local.verdict, one.local.release
    if one.unjudged:
        yield one.unjudged
    if verdict is None:
        if one.vm is not None and not one.local.faults:
            yield f"nobody here has judged it yet: {_VERIFY}"
        return
    if verdict.verdict == "refused":
        yield f"the last verdict is a refusal{f' by {verdict.rule}' if verdict.rule else ''}: {verdict.why}"
    elif release is not None and verdict.release != release.number:
        yield f"the last verdict is about release {verdict.release}, not {release.number}: {_VERIFY}"
    elif one.vm is not None and one.vm.endpoint and verdict.origin != one.vm.endpoint:
        yield f"the last verdict is about {verdict.origin}, not {one.vm.endpoint}: {_VERIFY}"


def _things(one: Deployment) -> Iterator[str]:
    things = one.things
    if things is None:
        return
    yield from (f"{text}: run playbooks/deploy.yml" for text in things.unfinished)
    if one.vm is not None:
        yield from (f"{text} is planned and not there: run playbooks/deploy.yml" for text in things.missing or ())
    yield from (f"{text} is left over and may cost: run playbooks/deploy.yml" for text in things.leftover or ())
