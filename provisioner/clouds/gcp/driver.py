"""The calls of Google's API that reconciling makes: bodies become the SDK's objects, and every operation is awaited.

The SDK's ``result()`` polls Google's own address whatever endpoint the client has, so operations are awaited here, by
clients with the same options.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.clouds.answers import set_aside, understood
from provisioner.clouds.gcp import kinds, marks
from provisioner.clouds.gcp.api import Api, to_dict
from provisioner.clouds.gcp.errors import GcpError, of_operation
from provisioner.clouds.gcp.kinds import KINDS, Kind, place_of
from provisioner.clouds.gcp.listing import Listing, found_of
from provisioner.clouds.gcp.storage import Storage
from provisioner.clouds.gcp.upload import PIECE, Upload
from provisioner.clouds.reconcile import UnlistedError
from provisioner.clouds.resources import Found, Key, Mark, Resource
from provisioner.clouds.waiting import looks
from provisioner.errors import CloudError
from provisioner.progress import Progress, paced

_IN_USE_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GcpDriver:
    """One project's calls. ``folder`` keeps what an upload needs to go on."""

    api: Api
    project: str
    folder: Path
    machine: tuple[str, str] | None = None  # zone and machine type that a plan is about
    piece: int = PIECE

    @property
    def storage(self) -> Storage:
        """The calls about buckets and objects."""
        return Storage(self.api, self.project)

    @property
    def listing(self) -> Listing:
        """The project's lists."""
        return Listing(self.api, self.project)

    @understood("reading what is there")
    def read(self, key: Key) -> Found | None:
        """Return what is there under a name.

        Raises:
            GcpError: Google refuses.
        """
        if key.kind in kinds.STORAGE:
            return self.storage.read(key)
        body = self.get(key)
        return None if body is None else found_of(KINDS[key.kind], key, body)

    @understood("reading what is there")
    def get(self, key: Key) -> dict[str, Any] | None:
        """Return the body of what is there under a name, as the API's JSON.

        Raises:
            GcpError: Google refuses.
        """
        kind = KINDS[key.kind]
        try:
            return to_dict(self.api.compute(kind.client, "get", self._about(key)))
        except GcpError as error:
            if error.refusal.is_absent:
                return None
            raise

    @understood("making something")
    def create(self, resource: Resource, mark: Mark, *, progress: Progress) -> None:
        """Make a resource that is not there; where an earlier run's call made it meanwhile, wait for that one.

        Raises:
            GcpError: Google refuses.
            CloudError: the bytes cannot be packed or sent.
        """
        if resource.key.kind in kinds.STORAGE:
            self._require_machine()
        if resource.key.kind == kinds.BUCKET:
            self.storage.create_bucket(resource.body, mark)
        elif resource.source is not None:
            body = {**resource.body, "metadata": {**resource.body["metadata"], **marks.labels(mark)}}
            bucket = place_of(resource.key)[0]
            Upload(self.api, bucket, body, resource.source, self.folder, self.piece).run(progress=progress)
        else:
            self._insert(resource, mark, progress=progress)

    @understood("changing something")
    def update(self, resource: Resource, mark: Mark, *, progress: Progress) -> bool:
        """Change a firewall or a balancer's groups in place, mark included; everything else is made anew.

        Raises:
            GcpError: Google refuses.
        """
        kind = KINDS.get(resource.key.kind)
        if kind is None or not kind.patched:
            return False
        progress(f"{resource.key}: changes it in place")
        body = dict(resource.body)
        if kind.fingerprinted:
            body["fingerprint"] = (self.get(resource.key) or {}).get("fingerprint", "")
        request = self._about(resource.key) | {kind.resource: self._message(kind, body, mark)}
        self._change(resource.key, "patch_unary", request, progress=progress)
        return True

    def can_change(self, key: Key) -> bool:
        """Say whether such a resource is changed in place."""
        return key.kind in KINDS and KINDS[key.kind].patched

    @understood("waiting for something")
    def wait(self, key: Key, *, progress: Progress) -> None:
        """Wait for a resource that is still being made, or that still goes.

        Raises:
            CloudError: it takes too long.
        """
        told = paced(progress)
        for passed in looks(self.api.limits.operation, pause=self.api.limits.pause):
            found = self.read(key)
            if found is None or found.state != "pending":
                return
            told(f"{key}: is still being made, or still goes, {passed:.0f} s")
        raise CloudError(f"{key}: still not made; look at it in the console, then run it again")

    @understood("deleting something")
    def delete(self, key: Key, *, progress: Progress) -> None:
        """Delete a resource of ours; wait a little for what still uses it. What was on its way into a bucket goes too.

        Raises:
            GcpError: Google refuses.
        """
        if key.kind in kinds.STORAGE:
            self.storage.delete(key)
            if key.kind == kinds.BUCKET:
                shutil.rmtree(self.folder, ignore_errors=True)
            return
        told = paced(progress)
        for passed in looks(limit := min(_IN_USE_SECONDS, self.api.limits.call), pause=self.api.limits.pause):
            try:
                self._change(key, "delete_unary", self._about(key), progress=progress)
            except GcpError as error:
                if error.refusal.is_absent:
                    return
                if not error.refusal.is_in_use or passed > limit:
                    raise
                told(f"{key}: is still in use, {passed:.0f} s")
            else:
                return

    def marked(self, deployment: str, *, progress: Progress) -> tuple[Found, ...]:
        """Return everything that bears a deployment's mark, wherever in the project, last made first.

        Raises:
            GcpError: Google refuses.
            CloudError: what an interrupted run had asked for does not end.
            UnlistedError: some answers are not understood; it has the rest.
        """
        odd: list[str] = []
        with set_aside(odd):
            self.settle(deployment, progress=progress)
        everything = self.listing.readable(deployment, odd)
        found = tuple(one for one in everything if one.mark and one.mark.deployment == deployment)
        if odd:
            raise UnlistedError("; ".join(odd), found)
        return found

    @understood("looking for what is still asked for")
    def settle(self, deployment: str, *, progress: Progress) -> None:
        """Wait for what an interrupted run had asked for last: it may be in no list yet, and come into being later.

        Raises:
            GcpError: Google refuses.
            CloudError: an operation does not end.
        """
        for where, operation in self.listing.unfinished():
            name = operation.get("targetLink", "").rpartition("/")[2]
            if name == deployment or name.startswith(f"{deployment}-"):
                self._await(
                    operation, where, progress=progress, what=f"operation {operation['name']} of an earlier run"
                )

    def _require_machine(self) -> None:
        """See that the zone has such machines, before anything is made: a disk is on its way for an hour."""
        if self.machine is None:
            return
        zone, machine_type = self.machine
        about = {"project": self.project, "zone": zone, "machine_type": machine_type}
        try:
            self.api.compute("MachineTypesClient", "get", about)
        except GcpError as error:
            if error.refusal.is_absent:
                raise CloudError(f"zone {zone} has no {machine_type}: choose another zone or machine_type") from error
            raise

    def _insert(self, resource: Resource, mark: Mark, *, progress: Progress) -> None:
        kind = KINDS[resource.key.kind]
        where = _where(kind, resource.key)
        message = self._message(kind, self._resolved(resource.body), mark)
        request = {"project": self.project, **where, kind.resource: message}
        try:
            self._change(resource.key, "insert_unary", request, progress=progress)
        except GcpError as error:
            if not error.refusal.is_taken or not self._appears(resource.key, mark):
                raise
            self.wait(resource.key, progress=progress)

    def _appears(self, key: Key, mark: Mark) -> bool:
        """Say whether a name is taken by exactly what was to be made: an earlier run's call may show late."""
        for _ in looks(self.api.limits.settle, pause=self.api.limits.pause):
            if (found := self.read(key)) is not None:
                return found.mark == mark
        return False

    def _message(self, kind: Kind, body: Mapping[str, Any], mark: Mark) -> Any:
        told: dict[str, Any]
        if kind.mark == "labels":
            told = {"labels": {**body.get("labels", {}), **marks.labels(mark)}}
        else:
            told = {"description": marks.description(mark)}
        return self.api.message(kind.message, {**body, **told})

    def _resolved(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put the address itself where a machine's body names it by URL."""
        cards = [dict(card) for card in body.get("networkInterfaces", ())]
        for card in cards:
            card["accessConfigs"] = [
                access | {"natIP": self._address(access["natIP"])} for access in card["accessConfigs"]
            ]
        return {**body, "networkInterfaces": cards} if cards else body

    def _address(self, url: str) -> str:
        _, _, _, region, _, name = url.split("/")
        found = self.get(kinds.located(kinds.ADDRESS, region, name))
        if found is None:
            raise CloudError(f"the address {name} is not there any more: run it again")
        return str(found["address"])

    def _about(self, key: Key) -> dict[str, str]:
        kind = KINDS[key.kind]
        _, name = place_of(key)
        return {"project": self.project, kind.argument: name, **_where(kind, key)}

    def _change(self, key: Key, method: str, request: Mapping[str, Any], *, progress: Progress) -> None:
        """Ask for a change, under an id that makes asking twice harmless, and wait for its end."""
        kind = KINDS[key.kind]
        asked = self.api.compute(kind.client, method, {**request, "request_id": str(uuid.uuid4())})
        operation = self._await(to_dict(asked), _where(kind, key), progress=progress, what=str(key))
        for error in operation.get("error", {}).get("errors", ()):
            status = operation.get("httpErrorStatusCode", 0)
            raise GcpError(str(key), of_operation(error, status, operation["name"]))

    def _await(
        self, operation: dict[str, Any], where: Mapping[str, str], *, progress: Progress, what: str
    ) -> dict[str, Any]:
        """Wait for the end of an operation, well or not, and return it as it is then."""
        client = f"{next(iter(where), 'global').capitalize()}OperationsClient"
        about = {"project": self.project, **where, "operation": operation["name"]}
        told, start = paced(progress), time.monotonic()
        while operation.get("status") != "DONE":
            if (passed := time.monotonic() - start) > self.api.limits.operation:
                raise CloudError(f"operation {operation['name']} does not end; look at it in the console")
            told(f"{what}: Google still works on it, {passed:.0f} s")
            operation = to_dict(self.api.compute(client, "wait", about))
            if operation.get("status") != "DONE":
                time.sleep(self.api.limits.pause)  # asking waits by itself, for up to two minutes
        return operation


def _where(kind: Kind, key: Key) -> dict[str, str]:
    return {} if kind.scope == "global" else {kind.scope: place_of(key)[0]}
