"""Asking an engine directly, on its socket: what the gateway would never forward as well."""

from __future__ import annotations

import json

from serving.engines.probe import Connection


def ask(path, method, route, body=None):
    """Return status and body of one request."""
    connection = Connection(path)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, route, data, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def post(path, route, body):
    return ask(path, "POST", route, body)
