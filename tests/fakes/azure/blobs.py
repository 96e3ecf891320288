"""The blobs that disks are written through: pages, ranges, and the address that allows it, checked as the service does.

learn.microsoft.com/rest/api/storageservices/{put-page,get-page-ranges}
"""

from __future__ import annotations

import base64
import hashlib
import re

from tests.fakes.azure.things import Blob, Cloud
from tests.fakes.cloud_api import Answer, Call

PREFIX = "/blob/"
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_MAX = 4 << 20


def answer(cloud: Cloud, call: Call) -> Answer:
    found = next((blob for blob in cloud.blobs.values() if blob.key and call.path == f"{PREFIX}{blob.key}"), None)
    if found is None or call.query.get("sig") != f"sig-{found.key}":
        return _no(403, "AuthenticationFailed", "Server failed to authenticate the request.")
    if not call.headers.get("x-ms-version"):
        return _no(400, "MissingRequiredHeader", "x-ms-version")
    if call.method == "GET" and call.query.get("comp") == "pagelist":
        ranges = "".join(f"<PageRange><Start>{a}</Start><End>{b}</End></PageRange>" for a, b in found.ranges())
        return Answer(200, f'<?xml version="1.0"?><PageList>{ranges}</PageList>'.encode())
    if call.method == "PUT" and call.query.get("comp") == "page":
        return _put(found, call)
    return _no(405, "UnsupportedHttpVerb", call.method)


def _put(blob: Blob, call: Call) -> Answer:
    wanted = _RANGE.fullmatch(call.headers.get("x-ms-range", ""))
    if wanted is None or call.headers.get("x-ms-page-write") != "update":
        return _no(400, "MissingRequiredHeader", "x-ms-range, x-ms-page-write")
    first, end = int(wanted[1]), int(wanted[2]) + 1
    if first % 512 or end % 512 or end > blob.size or end - first != len(call.body) or len(call.body) > _MAX:
        return _no(416, "InvalidPageRange", "The page range specified is invalid.")
    digest = base64.b64encode(hashlib.md5(call.body, usedforsecurity=False).digest()).decode()
    if call.headers.get("Content-MD5") not in (None, digest):
        return _no(400, "Md5Mismatch", "The MD5 value specified did not match.")
    blob.pages[first] = call.body
    return Answer(201)


def _no(status: int, code: str, message: str) -> Answer:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(status, body.encode(), {"x-ms-error-code": code, "x-ms-request-id": "blob-request"})
