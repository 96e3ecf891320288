"""Answers that no API gives, and that a broken or hostile one may: each is put in place of each answer in turn."""

from __future__ import annotations

import json

from provisioner.errors import ProvisionError
from tests.fakes.cloud_api import Fault

JSON = {"Content-Type": "application/json"}
_NAMED = {"id": "x", "name": "toy", "tags": {"vitrine-deployment": "toy"}}
_RULE = {"priority": "x", "direction": "Inbound", "access": "Allow"}
BODIES = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "text": b'"x"',
    "a number": b"5",
    "half of it": b"{",
    "a page": b"<html>log in</html>",
    "no UTF-8": b"\xff\xfe\x00",
    "an empty object": b"{}",
    "no end": b"[" * 50_000,
    "a number of items": b'{"items": 7, "value": 7}',
    "empty items": b'{"items": [{}], "value": [{}]}',
    "numbers as items": b'{"items": [5], "value": [5]}',
    "no properties": json.dumps(_NAMED | {"properties": None}).encode(),
    "a list of properties": json.dumps(_NAMED | {"properties": []}).encode(),
    "a list of tags": json.dumps(_NAMED | {"tags": [], "properties": {}}).encode(),
    "an odd machine": json.dumps(
        _NAMED
        | {
            "value": [_NAMED | {"effectiveSecurityRules": [_RULE]}],
            "properties": {"networkProfile": {"networkInterfaces": [{}]}, "loadBalancingRules": [{"name": "service"}]},
        }
    ).encode(),
    "an empty machine": json.dumps(
        {
            "networkInterfaces": [{"accessConfigs": [{}]}],
            "metadata": {"items": [{"key": "created-by"}, {}]},
            "labels": {"vitrine-port": "x"},
            "firewalls": [{}],
            "firewallPolicys": [{"rules": [{}]}],
            "managedInstances": [{}],
        }
    ).encode(),
}
ERRORS = {
    "null": b'{"error": null}',
    "a list": b'[{"error": 1}]',
    "text": b'{"error": "x"}',
    "numbers": b'{"error": {"errors": [5], "code": 5, "message": 6, "details": [5]}}',
    "odd reasons": b'{"error": {"errors": [{"reason": 5}], "code": "x"}}',
    "no end": b"[" * 50_000,
}


def untyped(api, shape, ask, answer):
    """Give one answer to every call in turn, and return what was raised that is none of our errors."""
    api.calls.clear()
    ask()
    found = []
    for kind in sorted({shape(call) for call in api.calls}):
        api.faults[:] = [Fault(lambda call, kind=kind: shape(call) == kind, answer, times=1 << 30)]
        try:
            ask()
        except ProvisionError:
            pass
        except Exception as error:  # noqa: BLE001, this is what is looked for
            found.append(f"{kind}: {type(error).__name__}: {error}"[:200])
    api.faults.clear()
    return found
