"""Asking an engine directly, on its socket: what the gateway would never forward as well."""

from __future__ import annotations

import http.client
import json
import socket


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout=120):
        super().__init__("engine", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


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
