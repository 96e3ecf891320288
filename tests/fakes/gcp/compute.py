"""Compute Engine of the fake: calls, long-running operations, lists, and what becomes of resources."""

from __future__ import annotations

import base64
import json
import re
import uuid

from tests.fakes.cloud_api import Answer, RefusedError
from tests.fakes.gcp import discovery, group, instance, permissions, rules
from tests.fakes.gcp.project import MACHINE_TYPES, Operation
from tests.fakes.gcp.refusal import invalid, missing
from tests.fakes.gcp.storage import archive

_REFERENCE = re.compile(
    r"(?:https://[^/]+/compute/v1/)?projects/[^/]+/((?:global|regions/[^/]+|zones/[^/]+)/(\w+)/[^/]+)"
)
_CHECKS = {
    "networks": rules.network, "subnetworks": rules.subnetwork, "firewalls": rules.firewall,
    "backendServices": rules.backend, "forwardingRules": rules.rule,
}  # fmt: skip
_HELD = {
    "instances": ("RUNNING", "PROVISIONING"),
    "images": ("READY", "PENDING"),
    "addresses": ("RESERVED", "RESERVING"),
}
_REFERRED = {"images", "networks", "subnetworks", "instanceTemplates", "instanceGroups", "addresses"}
_REFERRED |= {"healthChecks", "backendServices"}
_COLLECTIONS = {"regionHealthChecks": "healthChecks", "regionBackendServices": "backendServices"}


class Compute:
    def __init__(self, project):
        self.project = project

    def __call__(self, call):
        try:
            return self._called(call)
        except RefusedError:
            self._tick(None)
            raise

    def _called(self, call):
        method, told = discovery.find(call.method, call.path.removeprefix(discovery.PREFIX), call.query)
        body = json.loads(call.body) if call.body else None
        if (method.request is None) != (body is None):
            raise invalid("Request is missing its body, or has one that is not expected.")
        if method.request:
            discovery.check(method.request, body, asked=True)
        self.project.validated += 1
        self._place(told)
        self._permit(method, told)
        _, resource, verb = method.id.split(".")
        found = self._answer(resource, verb, told, body, call)
        if method.response:
            discovery.check(method.response, found, asked=False)
        self._tick(found.get("name") if verb in ("insert", "delete", "patch") else None)
        return Answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _place(self, told):
        if told["project"] != self.project.name:
            raise missing(f"projects/{told['project']}")
        for kind, known in (("zone", self.project.zones), ("region", self.project.regions())):
            if kind in told and told[kind] not in known:
                raise invalid(f"Invalid value for field '{kind}': '{told[kind]}'. Unknown {kind}.")

    def _permit(self, method, told):
        for permission in permissions.of_compute(method.id):
            self.project.used.setdefault(permission, set()).add(method.id)
            if permission in self.project.denied:
                raise RefusedError(
                    403, "forbidden", f"Required '{permission}' permission for 'projects/{told['project']}'"
                )

    def _answer(self, resource, verb, told, body, call):
        collection = _COLLECTIONS.get(resource, resource)
        if resource.endswith("Operations"):
            return self._operation(told["operation"]) if "operation" in told else self._operations(call.query)
        if resource == "machineTypes":
            return self._machine_type(told)
        if verb in ("list", "aggregatedList"):
            return self._list(collection, call.query, aggregated=verb == "aggregatedList")
        where = (
            f"zones/{told['zone']}" if "zone" in told else f"regions/{told['region']}" if "region" in told else "global"
        )
        if verb == "insert":
            return self._insert(f"{where}/{collection}/{body['name']}", collection, body, call.query)
        names = [told[name] for name in told if name not in ("project", "zone", "region")]
        url = f"{where}/{collection}/{names[0]}"
        if url not in self.project.resources:
            raise missing(f"projects/{self.project.name}/{url}")
        return getattr(self, f"_{verb}")(url, body, call.query)

    # What there is

    def _get(self, url, _body, _query):
        found = self.project.resources[url]
        return instance.shown(self.project, found) if "/instances/" in url else _public(found)

    def _getEffectiveFirewalls(self, url, _body, _query):  # noqa: N802, Google's name
        network = instance.network(self.project, self.project.resources[url])
        rules_of = [one for name, one in self.project.resources.items() if "/firewalls/" in name]
        found = [_public(one) for one in rules_of if _REFERENCE.fullmatch(one["network"])[1] == network]
        return {"firewalls": found, "firewallPolicys": self.project.policies}

    def _getSerialPortOutput(self, url, _body, _query):  # noqa: N802
        said = (
            self.project.console(self.project.resources[url]["name"]) if self.project.console else self.project.serial
        )
        return {"contents": said, "start": "0", "next": str(len(said))}

    def _getShieldedInstanceIdentity(self, url, _body, _query):  # noqa: N802
        return instance.identity()

    def _listManagedInstances(self, url, _body, _query):  # noqa: N802
        return {"managedInstances": group.listed(self.project, url)}

    def _machine_type(self, told):
        known = self.project.machine_types.get(told["zone"], MACHINE_TYPES)
        if told["machineType"] not in known:
            url = f"projects/{told['project']}/zones/{told['zone']}/machineTypes/{told['machineType']}"
            raise missing(url)
        return {"name": told["machineType"], "zone": told["zone"]}

    def _list(self, collection, query, *, aggregated):
        _matches(query.get("filter", ""), {})  # a filter that is none is refused where nothing is, too
        wanted = [
            (url.partition(f"/{collection}/")[0], _public(one))
            for url, one in sorted(self.project.resources.items())
            if f"/{collection}/" in url and _matches(query.get("filter", ""), one)
        ]
        start = int(query.get("pageToken", 0))
        page = wanted[start : start + self.project.page]
        more = {"nextPageToken": str(start + self.project.page)} if start + self.project.page < len(wanted) else {}
        if not aggregated:
            return {"items": [one for _, one in page], **more}
        scopes = {}
        for where, one in page:
            scopes.setdefault(where, {}).setdefault(collection, []).append(one)
        return {"items": scopes, **more}

    # What changes

    def _insert(self, url, collection, body, query):
        if again := self._again(query):
            return again
        if url in self.project.resources or any(one.target == url and one.age < 2 for one in self._pending()):
            raise RefusedError(
                409, "alreadyExists", f"The resource 'projects/{self.project.name}/{url}' already exists"
            )
        self._references(body)
        rules.label(body.get("labels", {}))
        _CHECKS.get(collection, lambda _: None)(body)
        if collection == "images":
            self._import(body)
        if collection in ("instances", "instanceTemplates"):
            machine = body.get("properties", body)
            images = {one["initializeParams"]["sourceImage"] for one in machine["disks"]}
            rules.machine(machine, {image: self._find(image) for image in images})
        if collection == "instances":
            self._machine_type_there(url, body["machineType"])
        made = {
            **body,
            **self._version(collection),
            "id": str(self.project.next()),
            "selfLink": f"https://www.googleapis.com/compute/v1/projects/{self.project.name}/{url}",
        }
        return self._start(
            url, "insert", query, lambda: self._begin(url, collection, made), lambda: self._end(url, collection)
        )

    def _begin(self, url, collection, made):
        self.project.resources[url] = made
        if collection in _HELD:
            made["status"] = _HELD[collection][1]
        if collection == "addresses":
            made["address"] = self.project.address()
        if collection == "instances":
            instance.create(self.project, url)

    def _end(self, url, collection):
        found = self.project.resources[url]
        if collection in _HELD:
            found["status"] = _HELD[collection][0]
        if collection == "instances":
            instance.run(self.project, url)
        if collection == "instanceGroupManagers":
            group.create(self.project, url)
        if collection == "forwardingRules":
            group.serve(self.project, url)

    def _patch(self, url, body, query):
        if again := self._again(query):
            return again
        collection, found = url.split("/")[-2], self.project.resources[url]
        if body.get("fingerprint") != found.get("fingerprint"):  # .../compute/docs/api/best-practices (fingerprints)
            raise RefusedError(412, "conditionNotMet", "Supplied fingerprint does not match current fingerprint.")
        self._references(body)
        changed = {**found, **body, **self._version(collection)}
        _CHECKS[collection](changed)
        return self._start(url, "patch", query, lambda: None, lambda: self.project.resources.update({url: changed}))

    def _version(self, collection):
        """Name a version, of the kinds whose changes must name the one that they change."""
        number = self.project.next().to_bytes(4, "big") if collection == "backendServices" else b""
        return {"fingerprint": base64.b64encode(number).decode()} if number else {}

    def _delete(self, url, _body, query):
        if again := self._again(query):
            return again
        if any(one.target == url and one.age < 2 for one in self._pending()):
            raise RefusedError(
                400, "resourceNotReady", f"The resource 'projects/{self.project.name}/{url}' is not ready"
            )
        for user, one in self.project.resources.items():
            if user.split("/")[-2] in rules.HELD_BY.get(url.split("/")[-2], ()) and self._uses(one, url):
                raise rules.in_use(f"projects/{self.project.name}/{url}", f"projects/{self.project.name}/{user}")
        return self._start(url, "delete", query, lambda: self._going(url), lambda: self._gone(url))

    def _going(self, url):
        if "/instances/" in url:
            self.project.resources[url]["status"] = "STOPPING"
        if "/images/" in url:
            self.project.resources[url]["status"] = "DELETING"

    def _gone(self, url):
        if "/instances/" in url:
            instance.remove(self.project, url)
        if "/instanceGroupManagers/" in url:
            group.remove(self.project, url)
        if "/forwardingRules/" in url:
            group.silence(self.project, url)
        self.project.resources.pop(url, None)

    # Operations

    def _again(self, query):
        asked = query["requestId"]
        if asked != str(uuid.UUID(asked)):
            raise invalid("requestId must be a UUID")
        return self._operation(self.project.requests[asked]) if asked in self.project.requests else None

    def _start(self, url, kind, query, begin, finish):
        operation = Operation(
            f"operation-{self.project.next()}", url.rpartition("/")[0].rpartition("/")[0], url, kind, begin, finish
        )
        for number, (collection, error) in enumerate(self.project.failing):
            if kind == "insert" and f"/{collection}/" in url:
                operation.error = error
                del self.project.failing[number]
                break
        self.project.operations[operation.name] = operation
        self.project.requests[query["requestId"]] = operation.name
        return self._operation(operation.name)

    def _operation(self, name):
        if name not in self.project.operations:
            raise missing(f"projects/{self.project.name}/operations/{name}")
        one = self.project.operations[name]
        body = {"name": name, "status": one.status, "operationType": one.kind, "targetLink": one.target}
        if one.age >= 2 and one.error:
            body |= {
                "error": {"errors": [one.error]},
                "httpErrorStatusCode": 403 if "QUOTA" in one.error["code"] else 503,
            }
        return body

    def _operations(self, query):
        if query.get("filter") != 'status != "DONE"':
            raise invalid("Invalid list filter expression")
        scopes = {}
        for one in self._pending():
            scopes.setdefault(one.scope, {"operations": []})["operations"].append(self._operation(one.name))
        return {"items": scopes}

    def _pending(self):
        return [one for one in self.project.operations.values() if one.age < 2]

    def _tick(self, new):
        """Time passes with every call, but not for the operation that it started."""
        for one in self._pending():
            if one.name == new:
                continue
            one.age += 1
            if one.age == 1 and not one.error:
                one.begin()
            elif one.age == 2 and not one.error:
                one.finish()

    # References

    def _references(self, body):
        for url, collection in _named(body):
            if collection in _REFERRED:
                self._find(url)

    def _find(self, url):
        match = _REFERENCE.fullmatch(url)
        inner = match[1].replace("/instanceGroups/", "/instanceGroupManagers/")
        found = self.project.resources.get(inner)
        if found is None:
            raise missing(f"projects/{self.project.name}/{match[1]}")
        if found.get("status") in ("PENDING", "DELETING", "FAILED", "RESERVING"):
            raise RefusedError(
                400, "resourceNotReady", f"The resource 'projects/{self.project.name}/{match[1]}' is not ready"
            )
        return found

    def _uses(self, body, url):
        address = self.project.resources[url].get("address")
        named = {inner.replace("/instanceGroups/", "/instanceGroupManagers/") for inner, _ in
                 ((_REFERENCE.fullmatch(found)[1], kind) for found, kind in _named(body))}  # fmt: skip
        return url in named or (address is not None and address in json.dumps(body))

    def _import(self, body):
        source = body.get("rawDisk", {}).get("source", "")
        bucket, _, name = source.removeprefix("https://storage.googleapis.com/").partition("/")
        found = self.project.objects.get((bucket, name))
        if found is None:
            raise invalid(f"The resource '{source}' was not found, or is no object of Cloud Storage.")
        told = archive(found["bytes"])
        rules.image(body, told)
        self.project.imported[body["name"]] = found["bytes"]
        body["diskSizeGb"], body["archiveSizeBytes"] = str(told["size"] >> 30), str(len(found["bytes"]))

    def _machine_type_there(self, url, machine_type):
        zone = url.split("/")[1]
        if machine_type.rpartition("/")[2] not in self.project.machine_types.get(zone, MACHINE_TYPES):
            raise missing(f"projects/{self.project.name}/{machine_type}")


def _named(value):
    """Yield every URL of a resource in a body, with its collection."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
        yield value, match[2]


def _matches(expression, body):
    """https://cloud.google.com/compute/docs/reference/rest/v1/instances/list (filter), as far as it is used here."""
    if not expression:
        return True
    if match := re.fullmatch(r"labels\.([a-z-]+)(?:=([a-z0-9-]+)|:\*)", expression):
        found = body.get("labels", {}).get(match[1])
        return found is not None if match[2] is None else found == match[2]
    if match := re.fullmatch(r'description eq "(.*)"', expression):
        return re.fullmatch(match[1], body.get("description", "")) is not None
    raise invalid(f"Invalid list filter expression: {expression}")


def _public(body):
    return {name: value for name, value in body.items() if not name.startswith("_")}
