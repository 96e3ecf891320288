"""Azure Resource Manager on loopback: paths, versions, logins, long operations, pages of lists, errors in its words.

Written from the vendor's documents and its SDK's models; no more of a real cloud than that. Every call is noted with
the action that a role needs for it, and every body is held to the schema before a rule looks at it.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import secrets
from collections import Counter

from tests.fakes.azure import blobs, effects, rules, schema, seen
from tests.fakes.azure.counts import COUNTS
from tests.fakes.azure.machines import Listeners, Machines
from tests.fakes.azure.things import SUBSCRIPTION, Blob, Cloud, Thing, references
from tests.fakes.cloud_api import Answer, Call, RefusedError

COMPUTE, DISKS, GALLERIES, NETWORK, GROUPS = "2026-04-01", "2026-03-02", "2026-03-03", "2026-03-01", "2021-04-01"
VERSIONS = {kind: NETWORK if kind.startswith("microsoft.network") else COMPUTE for kind in schema.MODELS}
VERSIONS |= {kind: GALLERIES for kind in VERSIONS if "/galleries" in kind}
VERSIONS |= {kind: DISKS for kind in VERSIONS if "/disks" in kind}
VERSIONS |= {"microsoft.compute/virtualmachines/runcommands": COMPUTE}
GROUP = "microsoft.resources/resourcegroups"
TOKEN = "a-token"
PAGE = 2
_PATH = re.compile(r"(/subscriptions/([^/]+)/resource[gG]roups/([^/]+))(?:/providers/([^/]+)/(.+)|(/resources))?")
_OPERATION = re.compile(
    r"/subscriptions/([^/]+)/providers/(microsoft\.[a-z]+)/locations/([a-z0-9]+)/(\w*operations|operationresults)/(\w+)",
    re.IGNORECASE,
)
_POSTS = {
    ("microsoft.compute/disks", "begingetaccess"),
    ("microsoft.compute/disks", "endgetaccess"),
    ("microsoft.network/networkinterfaces", "effectivenetworksecuritygroups"),
}


class Arm:
    """One subscription. ``handle`` is what a CloudApi serves."""

    def __init__(self, machines: Machines | None = None) -> None:
        self.cloud, self.machines = Cloud(), machines if machines is not None else Listeners()
        self.actions: Counter[str] = Counter()
        self.allowed: frozenset[str] | None = None
        self.tokens = {TOKEN}
        self.url = ""
        self.validated = 0
        self.stalled = False
        self.retry_after = "0"  # seconds between two looks at a long operation; of 0 the SDK makes its own pace
        self._operations: dict[str, tuple[Thing | None, bytes, int]] = {}
        self._requests = itertools.count(1)

    def save(self) -> tuple[Cloud, dict]:
        """Return a copy of all that there is."""
        return copy.deepcopy(self.cloud), dict(self.machines.running)

    def restore(self, saved: tuple[Cloud, dict]) -> None:
        """Have again what there was; the operations of that time nobody waits for any more."""
        self.machines.close()
        self.cloud, self._operations = copy.deepcopy(saved[0]), {}
        for name, where in saved[1].items():
            self.machines.move(name, where)

    def handle(self, call: Call) -> Answer:
        COUNTS["API calls"] += 1
        request = {"x-ms-request-id": f"request-{next(self._requests)}"}
        try:
            if call.path.startswith(blobs.PREFIX):
                return blobs.answer(self.cloud, call)
            self._authenticate(call)
            where = _OPERATION.fullmatch(call.path)
            found = self._resource(call) if where is None else self._operation(call, where)
        except RefusedError as no:
            found = Answer(no.status, _json({"error": {"code": no.code, "message": no.message}}))
        return Answer(found.status, found.body, {"Content-Type": "application/json", **request, **found.headers})

    def _authenticate(self, call: Call) -> None:
        told = call.headers.get("Authorization", "")
        if told.removeprefix("Bearer ") not in self.tokens:
            raise RefusedError(
                401, "ExpiredAuthenticationToken", "The access token expiry is earlier than current time."
            )

    def _resource(self, call: Call) -> Answer:
        where = _PATH.fullmatch(call.path)
        if where is None:
            raise RefusedError(404, "InvalidResourceType", f"no such path: {call.path}")
        group, subscription, _, provider, rest, members = where.groups()
        if subscription != SUBSCRIPTION:
            raise RefusedError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        if provider is None:
            return self._members(group, call) if members else self._one(call, group, GROUP)
        if self.cloud.find(group) is None:
            raise RefusedError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        words = rest.split("/")
        kind = "/".join((provider, *words[::2])).lower()
        if call.method == "POST":
            owner = f"{group}/providers/{provider}/{'/'.join(words[:-1])}"
            return self._post(call, owner, "/".join((provider, *words[:-1:2])).lower(), words[-1])
        if len(words) % 2:
            return self._list(call, group, kind)
        return self._one(call, call.path, kind)

    def _one(self, call: Call, identity: str, kind: str) -> Answer:
        self._version(call, kind)
        thing = self.cloud.find(identity)
        if call.method == "GET":
            self._may(f"{kind}/read", identity)
            if thing is None:
                raise RefusedError(404, "ResourceGroupNotFound" if kind == GROUP else "ResourceNotFound", identity)
            return Answer(200, _json(self._shown(thing, call.query.get("$expand", ""))))
        if call.method == "DELETE":
            self._may(f"{kind}/delete", identity)
            return Answer(204) if thing is None else self._delete(thing)
        if call.method == "PUT":
            self._may(f"{kind}/write", identity)
            return self._put(call, identity, kind)
        raise RefusedError(405, "MethodNotAllowed", call.method)

    def _put(self, call: Call, identity: str, kind: str) -> Answer:
        body = self._body(call, kind)
        old = self.cloud.find(identity)
        if kind == GROUP:
            rules.check_unchanged(self.cloud, body, identity)
            rules.check_location(self.cloud, body, identity)
        else:
            for one in sorted(set(references(body))):
                if not one.lower().startswith(f"{identity.lower()}/"):
                    self._may(_linked(one), one)
            if "/" in kind.removeprefix("microsoft.").partition("/")[2]:
                self._require_parent(identity)
            for rule in (*rules.EVERY, rules.BY_KIND.get(kind)):
                if rule is not None:
                    rule(self.cloud, body, identity)
        if old is not None and old.state == "Deleting":
            raise RefusedError(
                409, "ResourceGroupBeingDeleted" if kind == GROUP else "Conflict", "It is being deleted."
            )
        return self._store(identity, kind, body, old)

    def _store(self, identity: str, kind: str, body: dict, old: Thing | None) -> Answer:
        thing = old or Thing(identity, kind, {})
        kept = (
            {key: old.properties[key] for key in ("ipAddress", "diskState", "virtualMachine") if key in old.properties}
            if old
            else {}
        )
        more = {"_seen": thing.body["_seen"]} if "_seen" in thing.body else {}
        thing.body = body | more
        thing.properties.update(kept)
        thing.properties["provisioningState"] = "Updating" if old else "Creating"
        self.cloud.things[identity.lower()] = thing
        thing.ticks, thing.then, thing.error = 1, "Succeeded", self._failure(thing)
        if thing.error:
            thing.then = "Failed"
        else:
            effects.made(self.cloud, thing, new=old is None, machines=self.machines)
        if kind == GROUP:
            self._tick(thing)
            return Answer(200 if old else 201, _json(self._shown(thing)))
        headers = {"Azure-AsyncOperation": self._begin(thing, thing), "Retry-After": self.retry_after}
        status = 202 if kind == "microsoft.compute/disks" else 200 if old else 201
        return Answer(status, _json(self._shown(thing)), headers)

    def _failure(self, thing: Thing) -> tuple[str, str] | None:
        size = thing.properties.get("hardwareProfile", {}).get("vmSize") or thing.body.get("sku", {}).get("name")
        if size in self.cloud.no_capacity:
            return (
                "AllocationFailed",
                f"Allocation failed. We do not have sufficient capacity for the requested VM size {size}.",
            )
        for number, (part, code, message) in enumerate(self.cloud.fail):
            if part in thing.id:
                del self.cloud.fail[number]
                return code, message
        return None

    def _delete(self, thing: Thing) -> Answer:
        rules.check_unused(self.cloud, thing)
        thing.properties["provisioningState"] = "Deleting"
        thing.ticks, thing.then, thing.error = 1, "gone", None
        return Answer(202, b"", {"Location": self._begin(thing, thing, end=True), "Retry-After": self.retry_after})

    def _post(self, call: Call, owner: str, kind: str, verb: str) -> Answer:
        if (kind, verb.lower()) not in _POSTS:
            raise RefusedError(404, "InvalidResourceType", f"{kind} has no {verb}")
        self._version(call, kind)
        self._may(f"{kind}/{verb}/action", owner)
        thing = self.cloud.find(owner)
        if thing is None:
            raise RefusedError(404, "ResourceNotFound", owner)
        if verb.lower() == "begingetaccess":
            said = self._grant(thing, self._body(call, f"{kind}/begingetaccess"))
        elif verb.lower() == "endgetaccess":
            said = self._revoke(thing)
        else:
            said = _json(seen.effective_rules(self.cloud, thing))
        where = self._begin(thing, None, said, end=True)
        return Answer(202, b"", {"Location": where, "Retry-After": self.retry_after})

    def _grant(self, disk: Thing, asked: dict) -> bytes:
        if disk.properties["diskState"] not in ("ReadyToUpload", "ActiveUpload") or asked["access"] != "Write":
            raise RefusedError(409, "OperationNotAllowed", f"Disk is in state {disk.properties['diskState']}.")
        disk.properties["diskState"] = "ActiveUpload"
        blob: Blob = self.cloud.blobs[disk.id.lower()]
        blob.key = secrets.token_hex(8)
        return _json({"accessSAS": f"{self.url}{blobs.PREFIX}{blob.key}?sv=2023-11-03&sig=sig-{blob.key}"})

    def _revoke(self, disk: Thing) -> bytes:
        if disk.properties["diskState"] == "ActiveUpload":
            disk.properties["diskState"] = "Unattached"
        self.cloud.blobs[disk.id.lower()].key = ""
        return b""

    def _list(self, call: Call, group: str, kind: str) -> Answer:
        self._version(call, kind)
        self._may(f"{kind}/read", group)
        parent = call.path.rpartition("/")[0]
        if kind == "microsoft.compute/virtualmachines/runcommands":
            vm = self.cloud.find(parent)
            if vm is None:
                raise RefusedError(404, "ResourceNotFound", parent)
            return Answer(200, _json({"value": vm.body.get("_seen", {}).get("runCommands", [])}))
        if kind.count("/") > 1 and self.cloud.find(parent) is None:
            raise RefusedError(404, "ParentResourceNotFound", parent)
        found = [self._shown(one) for one in self.cloud.of(kind, f"{parent}/")]
        start = int(call.query.get("$skiptoken", "0"))
        more = {}
        if start + PAGE < len(found):
            more["nextLink"] = (
                f"{self.url}{call.path}?api-version={call.query['api-version']}&$skiptoken={start + PAGE}"
            )
        return Answer(200, _json({"value": found[start : start + PAGE], **more}))

    def _members(self, group: str, call: Call) -> Answer:
        self._version(call, GROUP)
        self._may("microsoft.resources/subscriptions/resourcegroups/resources/read", group)
        if self.cloud.find(group) is None:
            raise RefusedError(404, "ResourceGroupNotFound", group)
        found = [{"id": one.id} for one in self.cloud.things.values() if one.id.lower().startswith(f"{group.lower()}/")]
        return Answer(200, _json({"value": found}))

    def _operation(self, call: Call, where: re.Match[str]) -> Answer:
        subscription, provider, _, which, key = where.groups()
        self._may(f"{provider}/locations/{which}/read", f"/subscriptions/{subscription}")
        if key not in self._operations:
            raise RefusedError(404, "OperationNotFound", key)
        thing, said, left = self._operations[key]
        if self.stalled or left > 0:
            self._operations[key] = (thing, said, left - 1)
            going = {"status": "InProgress"}
            return Answer(202 if thing is None or thing.then == "gone" else 200, _json(going), self._again(call))
        if thing is None or thing.then == "gone":
            if thing is not None:
                self._tick(thing)
            return Answer(200 if said else 204, said)
        error = thing.error
        self._tick(thing)
        if error:
            return Answer(200, _json({"status": "Failed", "error": {"code": error[0], "message": error[1]}}))
        return Answer(200, _json({"status": "Succeeded"}))

    def _again(self, call: Call) -> dict[str, str]:
        return {"Location": f"{self.url}{call.path}", "Retry-After": self.retry_after}

    def _begin(self, about: Thing, thing: Thing | None, said: bytes = b"", *, end: bool = False) -> str:
        """Return where an operation is asked for: in the subscription, below the location of what it is ``about``."""
        key = secrets.token_hex(8)
        self._operations[key] = (thing, said, 1)
        provider = about.kind.partition("/")[0]
        place = f"/subscriptions/{SUBSCRIPTION}/providers/{provider}/locations/{about.body.get('location', 'eastus2')}"
        return f"{self.url}{place}/{_operations(about.kind, end=end)}/{key}"

    def _tick(self, thing: Thing) -> None:
        if thing.then == "gone":
            if self.cloud.find(thing.id) is thing:
                effects.gone(self.cloud, thing, self.machines)
        else:
            thing.properties["provisioningState"] = thing.then

    def _shown(self, thing: Thing, expand: str = "") -> dict:
        """Show a thing as it is; each look brings what is done to it nearer to its end."""
        if thing.state not in ("Succeeded", "Failed") and not self.stalled:
            thing.ticks -= 1
            if thing.ticks < 0:
                self._tick(thing)
        body = copy.deepcopy({key: value for key, value in thing.body.items() if key != "_seen"})
        properties = body.setdefault("properties", {})
        if "instanceView" in expand:
            properties["instanceView"] = thing.body.get("_seen", {})
        if "userData" not in expand:
            properties.pop("userData", None)
        if thing.kind == effects.BALANCER:
            inside = effects.members(self.cloud, thing)
            for pool in properties.get("backendAddressPools", ()):
                identity = f"{thing.id}/backendAddressPools/{pool['name']}"
                shown = [{"id": f"{one.id}/ipConfigurations/primary"} for one in inside.get(identity.lower(), ())]
                pool["id"], pool["properties"] = identity, {"backendIPConfigurations": shown} if shown else {}
        return {"id": thing.id, "name": thing.name, "type": thing.kind, **body}

    def _body(self, call: Call, kind: str) -> dict:
        try:
            body = json.loads(call.body)
        except ValueError:
            raise RefusedError(400, "InvalidRequestContent", "The request content was invalid.") from None
        if found := schema.faults(kind, body) if kind != GROUP else _group_faults(body):
            raise RefusedError(400, "InvalidRequestContent", "; ".join(found))
        self.validated += 1
        COUNTS["bodies validated"] += 1
        return body

    def _require_parent(self, identity: str) -> None:
        parent = identity.rsplit("/", 2)[0]
        if (
            "/providers/" in parent
            and parent.rpartition("/providers/")[2].count("/") > 1
            and self.cloud.find(parent) is None
        ):
            raise RefusedError(404, "ParentResourceNotFound", f"{parent} not found")

    def _version(self, call: Call, kind: str) -> None:
        wanted = GROUPS if kind == GROUP else VERSIONS.get(kind)
        if wanted is None:
            raise RefusedError(404, "InvalidResourceType", f"no such kind: {kind}")
        if call.query.get("api-version") != wanted:
            raise RefusedError(400, "InvalidApiVersionParameter", f"{call.query.get('api-version')} for {kind}")

    def _may(self, action: str, scope: str) -> None:
        name = action.replace(GROUP, "microsoft.resources/subscriptions/resourcegroups")
        if self.allowed is not None and name.lower() not in self.allowed:
            raise RefusedError(
                403,
                "AuthorizationFailed",
                f"The client does not have authorization to perform action '{name}' over scope '{scope}'.",
            )
        self.actions[name.lower()] += 1


def _operations(kind: str, *, end: bool) -> str:
    """Name what a provider calls its operations: learn.microsoft.com/azure/role-based-access-control/permissions."""
    if kind.startswith("microsoft.network/"):
        return "operationResults" if end else "operations"
    return "DiskOperations" if "/disks" in kind else "capsOperations" if "/galleries" in kind else "operations"


def _linked(identity: str) -> str:
    """Name the action that naming a thing needs: learn.microsoft.com/azure/role-based-access-control/permissions."""
    provider, *words = identity.rpartition("/providers/")[2].split("/")
    kind = "/".join((provider, *words[::2])).lower()
    return f"{kind}/read" if provider.lower() == "microsoft.compute" else f"{kind}/join/action"


def _group_faults(body: object) -> list[str]:
    known = {"location": str, "tags": dict}
    if not isinstance(body, dict) or "location" not in body:
        return ["location: is required"]
    return [key for key, value in body.items() if key not in known or not isinstance(value, known[key])]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
