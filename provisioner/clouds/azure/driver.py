"""The calls that reconciling needs, on Azure: what there is and whose, making, changing, deleting.

A mark is two tags. Instances of a scale set, and the disks that machines bring along, may carry tags of what they
belong to; they go with it and are no things of ours by themselves.

A disk that is uploaded in part reports a digest that no plan has. So the engine asks to change it, and that is where
the upload goes on. A balancer that had to keep a pool, because machines that are to go are still in it, bears such a
digest too, until they are gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.clouds.answers import MisreadError, set_aside, understood
from provisioner.clouds.azure.api import Api, Json
from provisioner.clouds.azure.kinds import BY_NAME, GROUP, GROUP_SECONDS, KINDS, Kind
from provisioner.clouds.azure.names import POOLS
from provisioner.clouds.azure.upload import Upload, upload
from provisioner.clouds.azure.vhd import FOOTER_SIZE
from provisioner.clouds.reconcile import UnlistedError
from provisioner.clouds.resources import DIGEST_SIZE, Found, Key, Mark, Resource, State
from provisioner.clouds.waiting import looks
from provisioner.errors import CloudError
from provisioner.progress import Progress, paced

DEPLOYMENT_TAG, DIGEST_TAG, SHAPE_TAG = "vitrine-deployment", "vitrine-digest", "vitrine-shape"
_UPLOADING = {"ReadyToUpload", "ActiveUpload"}
_OPEN = {"ActiveUpload", "ActiveSAS"}
_STOPPED = {"PowerState/deallocated", "PowerState/deallocating", "PowerState/stopped", "PowerState/stopping"}
_FAILED = {"Failed", "Canceled"}
_SAS_SECONDS = 86400
_UNFINISHED = "unfinished"


class AzureDriver:
    """One resource group, as reconciling sees it."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @understood("reading what is there")
    def read(self, key: Key) -> Found | None:
        """Return what is there under a resource's name, ours or not.

        Raises:
            CloudError: the API refuses.
        """
        body = self.api.get(key, **({"expand": "instanceView"} if key.kind == "virtualMachine" else {}))
        return None if body is None else _found(key, body)

    @understood("making something")
    def create(self, resource: Resource, mark: Mark, *, progress: Progress) -> None:
        """Make a resource, and fill a disk.

        Raises:
            CloudError: the API refuses; run it again, it goes on where it was.
        """
        self._put(resource, mark, progress=progress)
        if resource.source is not None:
            self._fill(resource, progress=progress)

    @understood("changing something")
    def update(self, resource: Resource, mark: Mark, *, progress: Progress) -> bool:
        """Change a resource where the API can, a scale set's number of machines among it; go on with an upload.

        Raises:
            CloudError: the API refuses.
        """
        kind = resource.key.kind
        if kind == "disk":
            return self._resume(resource, mark, progress=progress)
        if kind == "virtualMachineScaleSet":
            body = self.api.get(resource.key)
            if body is None or _tags(body).get(SHAPE_TAG) != _shape(resource):
                return False
        elif kind == GROUP or not BY_NAME[kind].in_place or self._is_elsewhere(resource):
            return False
        used = self._used_pools(resource) if kind == "loadBalancer" else []
        self._put(resource, mark, used, progress=progress)
        return True

    def can_change(self, key: Key) -> bool:
        """Say whether such a resource is changed in place."""
        return key.kind in BY_NAME and BY_NAME[key.kind].in_place

    @understood("waiting for something")
    def wait(self, key: Key, *, progress: Progress) -> None:
        """Wait for a resource that is still being made, or goes.

        Raises:
            CloudError: it takes too long.
        """
        limit = GROUP_SECONDS if key.kind == GROUP else BY_NAME[key.kind].seconds
        told = paced(progress)
        for passed in looks(limit, pause=self.api.wire.poll_seconds):
            found = self.read(key)
            if found is None or found.state != "pending":
                return
            told(f"{key}: Azure still works on it, {passed:.0f} s")
        raise CloudError(f"{key}: not done within {limit:.0f} s; run it again, it waits for it")

    @understood("deleting something")
    def delete(self, key: Key, *, progress: Progress) -> None:
        """Delete a resource; one that is not there is fine.

        Raises:
            CloudError: the API refuses, mostly because something uses it.
        """
        if key.kind == "disk" and _properties(self.api.get(key) or {}).get("diskState") in _OPEN:
            self.api.revoke(key, progress=progress)  # a disk that somebody may still write to is not deleted
        self.api.delete(key, progress=progress)

    def marked(self, deployment: str, *, progress: Progress) -> tuple[Found, ...]:
        """Return everything in the group that bears a deployment's mark, in the order in which it can be deleted.

        What an interrupted run had asked for shows at once, as something that is being made: nothing is waited for.

        Raises:
            CloudError: the API refuses.
            UnlistedError: some answers are not understood; it has the rest.
        """
        del progress
        odd: list[str] = []
        found = tuple(one for one in self._everything(odd) if one.mark and one.mark.deployment == deployment)
        if odd:
            raise UnlistedError("; ".join(odd), found)
        return found

    def all_marked(self) -> Iterator[Found]:
        """Yield everything in the group that bears any deployment's mark, in the order in which it can be deleted.

        Raises:
            CloudError: the API refuses.
            MisreadError: some answers are not understood; after everything else was yielded.
        """
        odd: list[str] = []
        yield from self._everything(odd)
        if odd:
            raise MisreadError("; ".join(odd))

    def _everything(self, odd: list[str]) -> Iterator[Found]:
        group = self.read(Key(GROUP, self.api.place.group))
        if group is None:
            return
        for kind in reversed(KINDS):
            things: tuple[tuple[str, Json], ...] = ()
            with set_aside(odd):
                things = tuple(self._all(kind))
            yield from self._marked_of(kind, things, odd)
        if group.mark is not None:
            yield group

    def _marked_of(self, kind: Kind, things: Sequence[tuple[str, Json]], odd: list[str]) -> Iterator[Found]:
        for name, body in things:
            key = Key(kind.name, name)
            with set_aside(odd), understood(str(key)):
                if (found := _found(key, body)).mark is not None:
                    yield found

    def _all(self, kind: Kind) -> Iterator[tuple[str, Json]]:
        """Yield names and bodies of a kind, those of parents' things with the parents' names before theirs."""
        if not kind.parent:
            yield from ((str(body.get("name", "")), body) for body in self.api.list(kind) if not _belongs(body))
            return
        for parent, _ in self._all(BY_NAME[kind.parent]):
            yield from ((f"{parent}/{body.get('name', '')}", body) for body in self.api.list(kind, parent))

    def _used_pools(self, resource: Resource) -> list[Json]:
        """Return the pools that a balancer shall not have any more and that still have machines: Azure keeps those."""
        planned = {pool["name"] for pool in resource.body["properties"][POOLS]}
        there = _properties(self.api.get(resource.key) or {}).get(POOLS) or ()
        members = "backendIPConfigurations"
        return [
            {"name": pool["name"]} for pool in there if pool["name"] not in planned and _properties(pool).get(members)
        ]

    def _put(self, resource: Resource, mark: Mark, used_pools: Sequence[Json] = (), *, progress: Progress) -> None:
        tags = {DEPLOYMENT_TAG: mark.deployment, DIGEST_TAG: _UNFINISHED if used_pools else mark.digest}
        if resource.key.kind == "virtualMachineScaleSet":
            tags[SHAPE_TAG] = _shape(resource)
        body = dict(resource.body)
        if used_pools:
            properties = body["properties"]
            body["properties"] = {**properties, POOLS: [*properties[POOLS], *used_pools]}
        self.api.put(resource.key, body | {"tags": {**body.get("tags", {}), **tags}}, progress=progress)

    def _is_elsewhere(self, resource: Resource) -> bool:
        body = self.api.get(resource.key)
        return body is None or body.get("location") != resource.body["location"]

    def _resume(self, resource: Resource, mark: Mark, *, progress: Progress) -> bool:
        body = self.api.get(resource.key)
        if body is None or _tags(body).get(DIGEST_TAG) != mark.digest:
            return False
        if _properties(body).get("diskState") not in _UPLOADING:
            return False
        self._fill(resource, progress=progress)
        return True

    def _fill(self, resource: Resource, *, progress: Progress) -> None:
        """Write a disk's bytes, and shut it again. Interrupted, it stays open: that says that it is not complete."""
        if resource.source is None:
            raise ValueError(f"{resource.key}: no file is planned for it")
        size = resource.body["properties"]["creationData"]["uploadSizeBytes"] - FOOTER_SIZE
        address = self.api.grant(resource.key, _SAS_SECONDS, progress=progress)
        wanted = Upload(source=resource.source, size=size, address=address, name=str(resource.key))
        upload(wanted, self.api.wire, progress=progress)
        self.api.revoke(resource.key, progress=progress)


def _found(key: Key, body: Json) -> Found:
    tags = _tags(body)
    deployment, digest = tags.get(DEPLOYMENT_TAG), tags.get(DIGEST_TAG, "")
    if _properties(body).get("diskState") in _UPLOADING:
        digest = _UNFINISHED
    return Found(key, Mark(str(deployment), digest) if deployment else None, _state(body))


def _state(body: Json) -> State:
    properties = _properties(body)
    said = properties.get("provisioningState", "Succeeded")
    statuses = (properties.get("instanceView") or {}).get("statuses") or ()
    if said in _FAILED or _STOPPED.intersection(status.get("code", "") for status in statuses):
        return "failed"
    return "ready" if said == "Succeeded" else "pending"


def _shape(resource: Resource) -> str:
    """Name a scale set's body but for how many machines it has."""
    body = dict(resource.body)
    body["sku"] = {name: value for name, value in body["sku"].items() if name != "capacity"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:DIGEST_SIZE]


def _belongs(body: Json) -> bool:
    """Tell whether a thing is part of a scale set or a machine, and goes with it."""
    properties = _properties(body)
    source = properties.get("creationData")
    copied = isinstance(source, Mapping) and bool(source.get("galleryImageReference"))
    return copied or bool(properties.get("virtualMachineScaleSet"))


def _properties(body: Json) -> Mapping[str, Any]:
    found = body.get("properties")
    return found if isinstance(found, Mapping) else {}


def _tags(body: Json) -> Mapping[str, str]:
    found = body.get("tags")
    return found if isinstance(found, Mapping) else {}
