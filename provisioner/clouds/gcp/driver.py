"""The calls of Google's API that reconciling makes: bodies become the SDK's objects, and every operation is awaited.

The SDK's ``result()`` polls Google's own address whatever endpoint the client has, so operations are awaited here, by
clients with the same options.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.clouds.answers import MisreadError, set_aside, understood
from provisioner.clouds.gcp import kinds, marks
from provisioner.clouds.gcp.api import Api, to_dict
from provisioner.clouds.gcp.errors import GcpError, of_operation
from provisioner.clouds.gcp.kinds import KINDS, Kind, place_of
from provisioner.clouds.gcp.storage import Storage
from provisioner.clouds.gcp.upload import PIECE, Upload
from provisioner.clouds.reconcile import UnlistedError
from provisioner.clouds.resources import Found, Key, Mark, Resource, State
from provisioner.errors import CloudError
from provisioner.progress import Progress

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
        if resource.key.kind == kinds.BUCKET:
            self.storage.create_bucket(resource.body, mark)
        elif resource.source is not None:
            self._require_machine()
            body = {**resource.body, "metadata": {**resource.body["metadata"], **marks.labels(mark)}}
            bucket = place_of(resource.key)[0]
            Upload(self.api, bucket, body, resource.source, self.folder, self.piece).run(progress)
        else:
            self._insert(resource, mark, progress)

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
        self._change(resource.key, kind, "patch_unary", request)
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
        deadline = time.monotonic() + self.api.limits.operation
        while (found := self.read(key)) is not None and found.state == "pending":
            if time.monotonic() > deadline:
                raise CloudError(f"{key}: still not made; look at it in the console, then run it again")
            progress(f"{key}: is still being made, or still goes")
            time.sleep(self.api.limits.pause)

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
        deadline = time.monotonic() + min(_IN_USE_SECONDS, self.api.limits.call)
        while True:
            try:
                self._change(key, KINDS[key.kind], "delete_unary", self._about(key))
            except GcpError as error:
                if error.refusal.is_absent:
                    return
                if not error.refusal.is_in_use or time.monotonic() > deadline:
                    raise
                progress(f"{key}: is still in use")
                time.sleep(self.api.limits.pause)
                continue
            return

    def marked(self, deployment: str) -> tuple[Found, ...]:
        """Return everything that bears a deployment's mark, wherever in the project, last made first.

        Raises:
            GcpError: Google refuses.
            UnlistedError: some answers are not understood; it has the rest.
        """
        odd: list[str] = []
        with set_aside(odd):
            self.settle(deployment)
        everything = self._everything(deployment, odd)
        found = tuple(one for one in everything if one.mark and one.mark.deployment == deployment)
        if odd:
            raise UnlistedError("; ".join(odd), found)
        return found

    @understood("looking for what is still asked for")
    def settle(self, deployment: str) -> None:
        """Wait for what an interrupted run had asked for last: it may be in no list yet, and come into being later.

        Raises:
            GcpError: Google refuses.
            CloudError: an operation does not end.
        """
        request = {"project": self.project, "filter": 'status != "DONE"'}
        for scope, found in self.api.listed("GlobalOperationsClient", "aggregated_list", request):
            what, _, where = scope.partition("/")
            kind = {"zones": "zone", "regions": "region"}.get(what, "global")
            for operation in map(to_dict, found.operations):
                name = operation.get("targetLink", "").rpartition("/")[2]
                if name == deployment or name.startswith(f"{deployment}-"):
                    self._await(operation, {kind: where} if where else {})

    def everything(self, deployment: str = "") -> Iterator[Found]:
        """Yield all that bears a mark (of one deployment, or of any), in the order in which it can be deleted.

        A disk in use goes with its machine, and a machine of a group with its group: neither is yielded.

        Raises:
            GcpError: Google refuses.
            MisreadError: some answers are not understood; after everything else was yielded.
        """
        odd: list[str] = []
        yield from self._everything(deployment, odd)
        if odd:
            raise MisreadError("; ".join(odd))

    def _everything(self, deployment: str, odd: list[str]) -> Iterator[Found]:
        groups: set[str] = set()
        for kind in reversed(kinds.COMPUTE):
            things: tuple[tuple[str, dict[str, Any]], ...] = ()
            with set_aside(odd):
                things = tuple(self.all_of(kind, deployment))
            for where, body in things:
                name = body.get("name", "")
                key = kinds.located(kind, where, name) if where else Key(kind.name, name)
                if kind is kinds.GROUP:
                    groups.add(key.name)
                if not (kind is kinds.DISK and body.get("users")) and created_by(body) not in groups:
                    yield found_of(kind, key, body)
        with set_aside(odd):
            yield from self._stored()

    def _stored(self) -> Iterator[Found]:
        with understood("listing Cloud Storage"):
            buckets = [found for found in self.storage.buckets() if found.mark is not None]
            for bucket in buckets:
                yield from self.storage.objects(bucket.key.name)
            yield from buckets

    def all_of(self, kind: Kind, deployment: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield where each thing of a kind is, and its body: those with a mark of this deployment, or of any.

        Raises:
            GcpError: Google refuses.
        """
        request = {"project": self.project, "filter": _filter(kind, deployment)}
        if kind.scope == "global":
            yield from (("", to_dict(one)) for one in self.api.listed(kind.client, "list", request))
            return
        attribute = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.collection)
        for scope, found in self.api.listed(kind.listed or kind.client, "aggregated_list", request):
            what, _, where = scope.partition("/")
            if what == f"{kind.scope}s":
                yield from ((where, to_dict(one)) for one in getattr(found, attribute))

    def _require_machine(self) -> None:
        """See that the zone has such machines, before a disk is on its way for an hour."""
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

    def _insert(self, resource: Resource, mark: Mark, progress: Progress) -> None:
        kind = KINDS[resource.key.kind]
        where = _where(kind, resource.key)
        message = self._message(kind, self._resolved(resource.body), mark)
        request = {"project": self.project, **where, kind.resource: message}
        try:
            self._change(resource.key, kind, "insert_unary", request)
        except GcpError as error:
            if not error.refusal.is_taken or not self._appears(resource.key, mark):
                raise
            self.wait(resource.key, progress=progress)

    def _appears(self, key: Key, mark: Mark) -> bool:
        """Say whether a name is taken by exactly what was to be made: an earlier run's call may show late."""
        deadline = time.monotonic() + self.api.limits.settle
        while (found := self.read(key)) is None and time.monotonic() < deadline:
            time.sleep(self.api.limits.pause)
        return found is not None and found.mark == mark

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

    def _change(self, key: Key, kind: Kind, method: str, request: Mapping[str, Any]) -> None:
        """Ask for a change, under an id that makes asking twice harmless, and wait for its end."""
        asked = self.api.compute(kind.client, method, {**request, "request_id": str(uuid.uuid4())})
        operation = self._await(to_dict(asked), _where(kind, key))
        for error in operation.get("error", {}).get("errors", ()):
            status = operation.get("httpErrorStatusCode", 0)
            raise GcpError(str(key), of_operation(error, status, operation["name"]))

    def _await(self, operation: dict[str, Any], where: Mapping[str, str]) -> dict[str, Any]:
        """Wait for the end of an operation, well or not, and return it as it is then."""
        client = f"{next(iter(where), 'global').capitalize()}OperationsClient"
        about = {"project": self.project, **where, "operation": operation["name"]}
        deadline = time.monotonic() + self.api.limits.operation
        while operation.get("status") != "DONE":
            if time.monotonic() > deadline:
                raise CloudError(f"operation {operation['name']} does not end; look at it in the console")
            operation = to_dict(self.api.compute(client, "wait", about))
            if operation.get("status") != "DONE":
                time.sleep(self.api.limits.pause)  # asking waits by itself, for up to two minutes
        return operation


def found_of(kind: Kind, key: Key, body: Mapping[str, Any]) -> Found:
    """Read the mark and the state of something from its body."""
    if kind.mark == "labels":
        mark = marks.of_labels(body.get("labels", {}))
    else:
        mark = marks.of_description(body.get("description", ""))
    status = body.get("status")
    state: State = "ready"
    if kind.ready and status not in kind.ready:
        state = "pending" if status in kind.pending else "failed"
    return Found(key, mark, state)


def created_by(body: Mapping[str, Any]) -> str:
    """Return the group that made a machine, as a key's name; nothing where none did."""
    items = body.get("metadata", {}).get("items", ()) if "networkInterfaces" in body else ()
    urls = [str(item.get("value", "")) for item in items if item.get("key") == "created-by"]
    parts = urls[0].split("/") if urls else []
    return f"{parts[-3]}/{parts[-1]}" if len(parts) >= 3 else ""


def _where(kind: Kind, key: Key) -> dict[str, str]:
    return {} if kind.scope == "global" else {kind.scope: place_of(key)[0]}


def _filter(kind: Kind, deployment: str) -> str:
    """Say which things Google shall list. https://cloud.google.com/compute/docs/reference/rest/v1/instances/list."""
    if kind.mark == "labels":
        return f"labels.{marks.DEPLOYMENT}" + (f"={deployment}" if deployment else ":*")
    return f'description eq "vitrine deployment={deployment or "[a-z0-9-]+"} digest=.*"'
