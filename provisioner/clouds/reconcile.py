"""Make a cloud have what a plan says, and take it away again; interrupted anywhere, a second run goes on.

Nothing is remembered on this machine: what exists is asked of the cloud each time, and what is ours bears our mark.

``apply``, for each resource in the plan's order:
(1) It is not there: create it.
(2) It is there without our mark, or with another deployment's: refuse before anything is changed.
(3) It is as planned: leave it alone; wait where it is still being made.
(4) It is ours and differs, or its making failed: change it in place where the cloud can; else delete what needs it,
    then it, and create it anew.
(5) At the end, delete what bears this deployment's mark and is in no plan any more; what the plan keeps stays.
(6) Look once more at what was changed in place: it may have had to hold on to a part until (5) was done.

``destroy`` deletes everything that bears the deployment's mark, whoever planned it, and lists again until nothing is
left: a disk that its machine did not take along shows only when that machine is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from provisioner.clouds.resources import Found, Key, Mark, Resource, ResourcePlan
from provisioner.errors import CloudError
from provisioner.progress import Progress

_ROUNDS = 5  # a list may lag behind what was deleted


class UnlistedError(CloudError):
    """What bears a mark cannot all be listed; ``found`` is what could, in the order in which it can be deleted."""

    def __init__(self, message: str, found: tuple[Found, ...]) -> None:
        self.found = found
        super().__init__(message)


class Driver(Protocol):
    """The calls of one vendor's API. Each returns when its effect is there, or raises.

    Raises:
        CloudError: by every method, in one sentence with the next step, and the request's id where there is one.
    """

    def read(self, key: Key) -> Found | None:
        """Return what is there under a resource's name, ours or not."""

    def create(self, resource: Resource, mark: Mark, *, progress: Progress) -> None:
        """Make a resource that is not there. An interrupted upload goes on where it was."""

    def update(self, resource: Resource, mark: Mark, *, progress: Progress) -> bool:
        """Change a resource in place, mark included; say False, and change nothing, where that cannot be done."""

    def can_change(self, key: Key) -> bool:
        """Say whether ``update`` changes such a resource at all; a particular change may still need it made anew."""

    def wait(self, key: Key, *, progress: Progress) -> None:
        """Wait for a resource that is still being made."""

    def delete(self, key: Key, *, progress: Progress) -> None:
        """Delete a resource of ours; one that is not there, or goes already, is fine."""

    def marked(self, deployment: str, *, progress: Progress) -> tuple[Found, ...]:
        """Return everything that bears a deployment's mark, in the order in which it can be deleted.

        What an interrupted run had asked for last is waited for.

        Raises:
            UnlistedError: some answers are not understood; it has the rest.
        """


@dataclass(frozen=True, slots=True)
class Change:
    """What one run did: the resources that it made, changed and deleted."""

    created: tuple[Key, ...]
    updated: tuple[Key, ...]
    deleted: tuple[Key, ...]

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.deleted)


def apply(plan: ResourcePlan, driver: Driver, *, progress: Progress) -> Change:
    """Make the cloud have what the plan says.

    Raises:
        CloudError: a name is taken by something that is not ours (then nothing was changed), or the cloud refused.
    """
    run = _Run(plan, driver, progress)
    run.refuse_taken()  # (2)
    for resource in plan.resources:
        run.ensure(resource)
    run.prune()  # (5)
    run.finish()  # (6)
    return run.change()


def replaced(plan: ResourcePlan, driver: Driver) -> tuple[Key, ...]:
    """Return what ``apply`` would make anew: it is there, ready, differs, and is of a kind that is never changed.

    Raises:
        CloudError: the cloud refuses to tell.
    """
    found = ((resource, driver.read(resource.key)) for resource in plan.resources)
    return tuple(
        resource.key
        for resource, one in found
        if one is not None
        and one.state == "ready"
        and one.mark != plan.mark(resource)
        and not driver.can_change(resource.key)
    )


def destroy(deployment: str, driver: Driver, *, progress: Progress) -> None:
    """Delete everything that bears the deployment's mark, and see that nothing is left.

    Raises:
        CloudError: something cannot be deleted, or shows again; everything else was, as far as it could be.
    """
    left, odd = _listed(deployment, driver, progress=progress)
    for _ in range(_ROUNDS):
        if not left and not odd:
            return
        _, failures = _delete_all(left, driver, progress=progress)
        if failures := (*failures, *odd):
            raise CloudError(f"{deployment}: not everything could be deleted, run it again: {'; '.join(failures)}")
        left, odd = _listed(deployment, driver, progress=progress)
    if left or odd:
        names = ", ".join((*(str(one.key) for one in left), *odd))
        raise CloudError(f"{deployment}: deleted and still there: {names}; see the console, then run it again")


class _Run:
    """One application of a plan."""

    def __init__(self, plan: ResourcePlan, driver: Driver, progress: Progress) -> None:
        self._plan, self._driver, self._progress = plan, driver, progress
        self._created: list[Key] = []
        self._updated: list[Key] = []
        self._deleted: list[Key] = []

    def change(self) -> Change:
        """Return what was done."""
        return Change(tuple(self._created), tuple(self._updated), tuple(self._deleted))

    def refuse_taken(self) -> None:
        """Look at every name before anything is changed."""
        found = (self._driver.read(resource.key) for resource in self._plan.resources)
        taken = [str(one.key) for one in found if one is not None and not self._is_ours(one)]
        if taken:
            raise CloudError(
                f"{self._plan.deployment}: the cloud has things of these names that this deployment did not make: "
                f"{', '.join(taken)}; choose another deploy_name, or remove them yourself"
            )

    def ensure(self, resource: Resource) -> None:
        """Make one resource be as planned (1, 3, 4)."""
        found = self._driver.read(resource.key)
        if found is not None and found.state == "pending":
            self._progress(f"{resource.key}: waits until it is made")
            self._driver.wait(resource.key, progress=self._progress)
            found = self._driver.read(resource.key)
        if found is not None and not self._plan.is_met(resource, found):
            if found.state == "ready" and self._update(resource):
                return
            self._replace(resource)
            found = None
        if found is None:
            self._progress(f"{resource.key}: creates it")
            self._driver.create(resource, self._plan.mark(resource), progress=self._progress)
            self._created.append(resource.key)

    def prune(self) -> None:
        """Delete what earlier plans of this deployment left."""
        wanted = {*self._plan.kept, *(resource.key for resource in self._plan.resources)}
        marked = self._driver.marked(self._plan.deployment, progress=self._progress)
        old = [found for found in marked if found.key not in wanted]
        gone, failures = _delete_all(old, self._driver, progress=self._progress)
        self._deleted += gone
        if failures:
            raise CloudError(f"{self._plan.deployment}: everything runs, but old things stay: {'; '.join(failures)}")

    def finish(self) -> None:
        """Ensure again what was changed in place (6)."""
        for resource in [one for one in self._plan.resources if one.key in self._updated]:
            self.ensure(resource)

    def _is_ours(self, found: Found) -> bool:
        return found.mark is not None and found.mark.deployment == self._plan.deployment

    def _update(self, resource: Resource) -> bool:
        if not self._driver.update(resource, self._plan.mark(resource), progress=self._progress):
            return False
        self._progress(f"{resource.key}: changed it")
        if resource.key not in self._updated:
            self._updated.append(resource.key)
        return True

    def _replace(self, resource: Resource) -> None:
        for key in (*(dependent.key for dependent in self._plan.dependents(resource.key)), resource.key):
            found = self._driver.read(key)
            if found is None:
                continue
            if not self._is_ours(found):  # it appeared after refuse_taken() had looked
                raise CloudError(f"{key} is not this deployment's any more; run it again")
            self._progress(f"{key}: deletes it, to make it anew")
            self._driver.delete(key, progress=self._progress)
            self._deleted.append(key)


def _listed(deployment: str, driver: Driver, *, progress: Progress) -> tuple[tuple[Found, ...], tuple[str, ...]]:
    """Return what bears the mark, as far as that can be read, and what cannot."""
    try:
        return driver.marked(deployment, progress=progress), ()
    except UnlistedError as error:
        return error.found, (str(error),)


def _delete_all(
    found: Iterable[Found], driver: Driver, *, progress: Progress
) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """Delete as much as can be; return what went, and what did not with the reason."""
    gone: list[Key] = []
    failures: list[str] = []
    for one in found:
        progress(f"{one.key}: deletes it")
        try:
            driver.delete(one.key, progress=progress)
        except CloudError as error:
            failures.append(f"{one.key}: {error}")
        else:
            gone.append(one.key)
    return tuple(gone), tuple(failures)
