"""The calls of Azure's API, through the vendor's SDK: bodies go and come as the JSON that they are.

Loading the SDK takes seconds, so this module is loaded when a cloud is asked and not before. Resource groups belong
to an API whose SDK we do without: four calls through the compute client's own pipeline.

Source: learn.microsoft.com/rest/api/{compute,virtualnetwork,resources};
learn.microsoft.com/azure/azure-resource-manager/ management/{async-operations,request-limits-and-throttling}.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import RetryPolicy, SansIOHTTPPolicy
from azure.core.polling import LROPoller
from azure.core.rest import HttpRequest
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute.models import GrantAccessData
from azure.mgmt.network import NetworkManagementClient

from provisioner.clouds.answers import bounded
from provisioner.clouds.azure.errors import code_of, explained
from provisioner.clouds.azure.kinds import BY_NAME, GROUP, GROUP_SECONDS, Kind
from provisioner.clouds.azure.names import Place
from provisioner.clouds.resources import Key
from provisioner.clouds.waiting import looks
from provisioner.errors import CloudError
from provisioner.progress import PACE_SECONDS, Progress, paced

Answer = TypeVar("Answer")
Json = Mapping[str, Any]
_GROUPS_API = "2021-04-01"
_READ_SECONDS = 300.0  # of what only reads
_LIST_SECONDS = 600.0
_LONGEST_PAUSE, _LONGEST_BACKOFF = 120.0, 60
_NOT_AN_ABSENCE = {"SubscriptionNotFound", "InvalidSubscriptionId"}


class Patience(RetryPolicy[Any, Any]):
    """The SDK's own policy, which sleeps as long as an answer asks it to: here at most two minutes."""

    def get_retry_after(self, response: Any) -> float | None:
        """Return how long to wait, as far as the answer says."""
        try:
            after = super().get_retry_after(response)
        except (ValueError, TypeError, OverflowError):
            return None
        return None if after is None else min(float(after), _LONGEST_PAUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How requests travel. The defaults are for the cloud; only tests say something else.

    ``retries`` are of connections, 429 and 5xx, which the SDK spaces by Retry-After; ``poll_seconds`` counts where
    the API names no time; ``empty_seconds`` is how long a group's own list may lag behind what was deleted from it;
    ``say_seconds`` lie between two lines about one wait.
    """

    base_url: str = "https://management.azure.com"
    ca_file: str | None = None
    retries: int = 8
    backoff: float = 0.8
    poll_seconds: float = 10.0
    connect_seconds: float = 20.0
    read_seconds: float = 100.0
    empty_seconds: float = 120.0
    say_seconds: float = PACE_SECONDS

    def options(self) -> dict[str, Any]:
        """Return it as one of the SDK's clients takes it; none may have another's policy."""
        return {
            "base_url": self.base_url,
            "connection_verify": self.ca_file or True,
            "retry_policy": Patience(
                retry_total=self.retries, retry_backoff_factor=self.backoff, retry_backoff_max=_LONGEST_BACKOFF
            ),
            "polling_interval": self.poll_seconds,
            "connection_timeout": self.connect_seconds,
            "read_timeout": self.read_seconds,
        }


class _DeadNetwork(SansIOHTTPPolicy[Any, Any]):
    """Says once that a connection failed: trying again, the SDK is silent for minutes."""

    def __init__(self, *, progress: Progress) -> None:
        self._progress, self._said = progress, False

    def on_exception(self, request: PipelineRequest[Any]) -> None:
        if not self._said:
            self._said = True
            self._progress(f"{urlsplit(request.http_request.url).netloc} cannot be reached: tries again for minutes")


class Api:
    """The API, about one resource group. ``progress`` hears what no call has a progress of its own for."""

    def __init__(self, place: Place, credential: TokenCredential, wire: Wire, *, progress: Progress) -> None:
        self.place, self.wire, self._progress = place, wire, progress
        options = wire.options() | {"per_retry_policies": [_DeadNetwork(progress=progress)]}
        self.compute = ComputeManagementClient(credential, place.subscription, **options)
        self.network = NetworkManagementClient(credential, place.subscription, **options)

    def get(self, key: Key, **options: Any) -> Json | None:
        """Return a resource as it is, or None where there is none.

        Raises:
            CloudError: the API refuses.
        """
        if key.kind == GROUP:
            return self._group("GET")
        with explained(str(key)):
            try:
                return dictionary(self._operations(key.kind).get(self.place.group, *key.name.split("/"), **options))
            except ResourceNotFoundError as error:
                _refuse_other(error)
                return None

    def put(self, key: Key, body: Json, *, progress: Progress) -> None:
        """Make or change a resource, and wait until that is done.

        Raises:
            CloudError: the API refuses, or is not done in time.
        """
        if key.kind == GROUP:
            self._group("PUT", body)
            return
        with explained(str(key)):
            begin = self._operations(key.kind).begin_create_or_update
            poller = begin(self.place.group, *key.name.split("/"), dict(body))
            self.finish(key, poller, progress=progress)

    def delete(self, key: Key, *, progress: Progress) -> None:
        """Delete a resource, and wait until it is gone; one that is not there is fine.

        Raises:
            CloudError: the API refuses, or is not done in time.
        """
        if key.kind == GROUP:
            self._delete_group(progress=progress)
            return
        with explained(str(key)):
            try:
                poller = self._operations(key.kind).begin_delete(self.place.group, *key.name.split("/"))
                self.finish(key, poller, progress=progress)
            except ResourceNotFoundError as error:
                _refuse_other(error)

    def list(self, kind: Kind, parent: str = "") -> Iterator[Json]:
        """Yield all resources of a kind in the group, or in a parent of it.

        Raises:
            CloudError: the API refuses.
        """
        names = parent.split("/") if parent else ()
        with explained(f"list of {kind.name}"):
            try:
                asked = getattr(self._operations(kind.name), kind.listing)(self.place.group, *names)
                yield from _of_pages(f"list of {kind.name}", asked)
            except ResourceNotFoundError as error:
                _refuse_other(error)

    def grant(self, disk: Key, seconds: int, *, progress: Progress) -> str:
        """Return an address at which a disk's bytes can be written for a while; it is a secret.

        Raises:
            CloudError: the API refuses.
        """
        asked = GrantAccessData(access="Write", duration_in_seconds=seconds)
        with explained(f"{disk}: permission to write"):
            poller = self.compute.disks.begin_grant_access(self.place.group, disk.name, asked)
            granted = self.finish(disk, poller, progress=progress)
        if not granted.access_sas:
            raise CloudError(f"{disk}: Azure gave no address to write to; run it again")
        return str(granted.access_sas)

    def revoke(self, disk: Key, *, progress: Progress) -> None:
        """Take every such address away; that also completes an upload.

        Raises:
            CloudError: the API refuses.
        """
        with explained(f"{disk}: end of the permission to write"):
            poller = self.compute.disks.begin_revoke_access(self.place.group, disk.name)
            self.finish(disk, poller, progress=progress)

    def run_commands(self, machine: str) -> tuple[Json, ...]:
        """Return the commands that somebody has asked Azure to run inside a machine.

        Raises:
            CloudError: the API refuses.
        """
        with explained(f"run commands of {machine}"):
            found = self.compute.virtual_machine_run_commands.list_by_virtual_machine(self.place.group, machine)
            return tuple(_of_pages(f"run commands of {machine}", found))

    def effective_rules(self, interface: str) -> tuple[Json, ...]:
        """Return the groups of security rules that are in effect on an interface of a running machine.

        Raises:
            CloudError: the API refuses, or the machine does not run.
        """
        operations = self.network.network_interfaces
        with explained(f"effective security rules of {interface}"):
            poller = operations.begin_list_effective_network_security_groups(self.place.group, interface)
            key = Key("networkInterface", interface)
            found = self.finish(key, poller, progress=self._progress, seconds=_READ_SECONDS)
            return tuple(dictionary(one) for one in found.value or ())

    def finish(
        self, key: Key, poller: LROPoller[Answer], *, progress: Progress, seconds: float | None = None
    ) -> Answer:
        """Wait for a long operation, for ``seconds`` or as long as its kind may take, and say that it goes on.

        Raises:
            CloudError: it takes longer than its kind may.
        """
        start, limit = time.monotonic(), seconds or BY_NAME[key.kind].seconds
        told = paced(progress, every=self.wire.say_seconds)
        while not poller.done():
            poller.wait(min(self.wire.say_seconds, limit))
            if (passed := time.monotonic() - start) > limit:
                raise CloudError(f"{key}: not done within {limit:.0f} s; run it again, it waits for it")
            told(f"{key}: Azure still works on it, {passed:.0f} s")
        return poller.result()

    def _operations(self, kind: str) -> Any:
        which = BY_NAME[kind]
        return getattr(self.compute if which.api == "compute" else self.network, which.operations)

    def _group(self, method: str, body: Json | None = None, *, below: str = "") -> Json | None:
        """Send one request about the resource group; None where there is none."""
        url = f"{self.wire.base_url}{self.place.id}{below}"
        request = HttpRequest(
            method, url, params={"api-version": _GROUPS_API}, json=None if body is None else dict(body)
        )
        with explained(f"{GROUP} {self.place.group}"):
            response = self.compute.send_request(request)
            try:
                response.raise_for_status()
            except HttpResponseError as error:
                if error.status_code != 404 or method == "PUT":
                    raise
                _refuse_other(error)
                return None
            return dict(response.json()) if response.content else {}

    def _delete_group(self, *, progress: Progress) -> None:
        """Delete the group once nothing is in it: what is not ours would go with it."""
        key, told = f"{GROUP} {self.place.group}", paced(progress, every=self.wire.say_seconds)
        for _ in looks(self.wire.empty_seconds, pause=self.wire.poll_seconds):
            if not (others := self._group_members()):  # the group's own list lags behind what was deleted
                break
        else:
            raise CloudError(f"{key}: holds what we did not make: {', '.join(others)}; move or delete that yourself")
        self._group("DELETE")
        for passed in looks(GROUP_SECONDS, pause=self.wire.poll_seconds):
            if self._group("GET") is None:
                return
            told(f"{key}: Azure still works on it, {passed:.0f} s")
        raise CloudError(f"{key}: not gone within {GROUP_SECONDS:.0f} s; run it again, it waits for it")

    def _group_members(self) -> tuple[str, ...]:
        found = self._group("GET", below="/resources") or {}
        return tuple(str(one["id"]) for one in found.get("value", ()))


def _refuse_other(error: HttpResponseError) -> None:
    """Take a 404 for what it mostly says: it is not there. A subscription that is not there is something else."""
    if code_of(error) in _NOT_AN_ABSENCE:
        raise error


def _of_pages(what: str, asked: Any) -> Iterator[Json]:
    pages = asked.by_page()
    read = (tuple(page) for page in pages)
    for page in bounded(what, read, lambda _: pages.continuation_token, _LIST_SECONDS):
        yield from map(dictionary, page)


def dictionary(model: Any) -> Json:
    """Return a model of the SDK as the JSON that the API sent."""
    return dict(model.as_dict())
