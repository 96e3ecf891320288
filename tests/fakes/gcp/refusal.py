"""Refusals in the form in which Google writes them."""

from __future__ import annotations

import json

from tests.fakes.cloud_api import Answer, RefusedError


def refusal(status, reason, message, headers=None):
    """https://cloud.google.com/apis/design/errors#http_mapping, and the older form that Compute Engine answers with."""
    error = {"message": message, "domain": "global", "reason": reason}
    body = {"error": {"code": status, "message": message, "errors": [error]}}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


def invalid(message):
    return RefusedError(400, "invalid", message)


def missing(url):
    return RefusedError(404, "notFound", f"The resource '{url}' was not found")
