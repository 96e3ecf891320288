"""A refusal in the form in which Google writes it."""

from __future__ import annotations

import json

from tests.fakes.cloud_api import Answer


class RefusedError(Exception):
    """https://cloud.google.com/apis/design/errors#http_mapping, and the older form that Compute Engine answers with."""

    def __init__(self, status, reason, message, headers=None):
        super().__init__(message)
        self.status, self.reason, self.message, self.headers = status, reason, message, headers or {}

    def answer(self):
        return refusal(self.status, self.reason, self.message, self.headers)


def refusal(status, reason, message, headers=None):
    error = {"message": message, "domain": "global", "reason": reason}
    body = {"error": {"code": status, "message": message, "errors": [error]}}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


def invalid(message):
    return RefusedError(400, "invalid", message)


def missing(url):
    return RefusedError(404, "notFound", f"The resource '{url}' was not found")
