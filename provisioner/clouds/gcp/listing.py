"""What one project has: lists of Compute Engine's things and of buckets, wherever in the world they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.clouds.answers import MisreadError, set_aside, understood
from provisioner.clouds.gcp import kinds, marks
from provisioner.clouds.gcp.api import Api, to_dict
from provisioner.clouds.gcp.kinds import Kind
from provisioner.clouds.gcp.storage import Storage
from provisioner.clouds.resources import Found, Key, State


@dataclass(frozen=True, slots=True)
class Listing:
    """One project's lists."""

    api: Api
    project: str

    def of_kind(self, kind: Kind, deployment: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
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

    def everything(self, deployment: str = "") -> Iterator[Found]:
        """Yield all that bears a mark (of one deployment, or of any), in the order in which it can be deleted.

        A disk in use goes with its machine, and a machine of a group with its group: neither is yielded.

        Raises:
            GcpError: Google refuses.
            MisreadError: some answers are not understood; after everything else was yielded.
        """
        odd: list[str] = []
        yield from self.readable(deployment, odd)
        if odd:
            raise MisreadError("; ".join(odd))

    def readable(self, deployment: str, odd: list[str]) -> Iterator[Found]:
        """Yield the same as far as answers are understood, and add to ``odd`` what is not.

        Raises:
            GcpError: Google refuses.
        """
        groups: set[str] = set()
        for kind in reversed(kinds.COMPUTE):
            things: tuple[tuple[str, dict[str, Any]], ...] = ()
            with set_aside(odd):
                things = tuple(self.of_kind(kind, deployment))
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
        storage = Storage(self.api, self.project)
        with understood("listing Cloud Storage"):
            buckets = [found for found in storage.buckets() if found.mark is not None]
            for bucket in buckets:
                yield from storage.objects(bucket.key.name)
            yield from buckets

    def unfinished(self) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
        """Yield where each operation is that has not ended, as calls about it say it, and the operation.

        Raises:
            GcpError: Google refuses.
        """
        request = {"project": self.project, "filter": 'status != "DONE"'}
        for scope, found in self.api.listed("GlobalOperationsClient", "aggregated_list", request):
            what, _, where = scope.partition("/")
            about = {what.removesuffix("s"): where} if what in ("zones", "regions") else {}
            yield from ((about, to_dict(operation)) for operation in found.operations)


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


def _filter(kind: Kind, deployment: str) -> str:
    """Say which things Google shall list. https://cloud.google.com/compute/docs/reference/rest/v1/instances/list."""
    if kind.mark == "labels":
        return f"labels.{marks.DEPLOYMENT}" + (f"={deployment}" if deployment else ":*")
    return f'description eq "vitrine deployment={deployment or "[a-z0-9-]+"} digest=.*"'
