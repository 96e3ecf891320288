"""Buckets and objects of Cloud Storage: what the driver does for Compute Engine's kinds, for these two.

Source: https://cloud.google.com/storage/docs/json_api/v1. The SDK for it is not needed: these are six calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from provisioner.clouds.answers import bounded
from provisioner.clouds.gcp import kinds, marks
from provisioner.clouds.gcp.api import Api
from provisioner.clouds.gcp.errors import GcpError
from provisioner.clouds.resources import Found, Key, Mark


@dataclass(frozen=True, slots=True)
class Storage:
    """Calls about one project's buckets."""

    api: Api
    project: str

    def read(self, key: Key) -> Found | None:
        """Return what is there under a name; None where nothing is.

        Raises:
            GcpError: Google refuses; a bucket of somebody else's shows as a missing permission.
        """
        try:
            found = self.api.json(f"reading {key}", "GET", self._url(key))
        except GcpError as error:
            if error.refusal.is_absent:
                return None
            raise
        return _found(key, found)

    def create_bucket(self, body: Mapping[str, Any], mark: Mark) -> None:
        """Make a bucket.

        Raises:
            GcpError: Google refuses; every name is somebody's in the whole world.
        """
        wanted = {**body, "labels": {**body["labels"], **marks.labels(mark)}}
        url = f"{self.api.storage}/storage/v1/b"
        what, key = f"making bucket {body['name']}", Key(kinds.BUCKET, body["name"])
        try:
            self.api.http(what, "POST", url, params={"project": self.project}, json=wanted)
        except GcpError as error:
            if not error.refusal.is_taken or (found := self.read(key)) is None or found.mark != mark:
                raise  # else an answer got lost, and asking again found what the first call had made

    def delete(self, key: Key) -> None:
        """Delete a bucket or an object; one that is not there is fine.

        Raises:
            GcpError: Google refuses; a bucket that holds something of somebody else's stays.
        """
        self.api.http(f"deleting {key}", "DELETE", self._url(key), good=(200, 204, 404))

    def buckets(self) -> Iterator[Found]:
        """Yield every bucket of the project.

        Raises:
            GcpError: Google refuses.
        """
        for item in self._pages(f"{self.api.storage}/storage/v1/b", {"project": self.project}):
            yield _found(Key(kinds.BUCKET, item["name"]), item)

    def objects(self, bucket: str) -> Iterator[Found]:
        """Yield every object of a bucket.

        Raises:
            GcpError: Google refuses.
        """
        for item in self._objects(bucket):
            yield _found(Key(kinds.OBJECT, f"{bucket}/{item['name']}"), item)

    def sizes(self, bucket: str) -> Iterator[int]:
        """Yield the size of every object of a bucket, in bytes.

        Raises:
            GcpError: Google refuses.
        """
        yield from (int(item.get("size", 0)) for item in self._objects(bucket))

    def _objects(self, bucket: str) -> Iterator[Mapping[str, Any]]:
        return self._pages(f"{self.api.storage}/storage/v1/b/{quote(bucket, safe='')}/o", {})

    def _pages(self, url: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        what = "listing Cloud Storage"
        pages = self._each(what, url, query)
        for page in bounded(what, pages, lambda page: page.get("nextPageToken"), self.api.limits.call):
            yield from page.get("items", ())

    def _each(self, what: str, url: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        token: dict[str, str] = {}
        while True:
            page = self.api.json(what, "GET", url, params={**query, **token})
            yield page
            if not page.get("nextPageToken"):
                return
            token = {"pageToken": str(page["nextPageToken"])}

    def _url(self, key: Key) -> str:
        bucket, _, name = key.name.partition("/")
        below = f"/o/{quote(name, safe='')}" if name else ""
        return f"{self.api.storage}/storage/v1/b/{quote(bucket, safe='')}{below}"


def _found(key: Key, item: Mapping[str, Any]) -> Found:
    told = item.get("labels" if key.kind == kinds.BUCKET else "metadata") or {}
    return Found(key, marks.of_labels(told), "ready")
