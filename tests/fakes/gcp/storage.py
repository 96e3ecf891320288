"""Cloud Storage of the fake: buckets, objects, resumable uploads.

https://cloud.google.com/storage/docs/json_api/v1, /storage/docs/performing-resumable-uploads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.fakes.cloud_api import Answer, RefusedError
from tests.fakes.gcp import permissions, rules
from tests.fakes.gcp.refusal import invalid

_BUCKET = {"name", "location", "storageClass", "iamConfiguration", "softDeletePolicy", "labels"}
_OBJECT = {"name", "contentType", "metadata"}
_PATH = re.compile(r"/(?P<upload>upload/)?storage/v1/b(/(?P<bucket>[^/]+)(?P<objects>/o(/(?P<name>[^/]+))?)?)?")


@dataclass
class Upload:
    bucket: str
    body: dict
    size: int
    data: bytearray = field(default_factory=bytearray)


class Storage:
    def __init__(self, project):
        self.project = project

    def __call__(self, call):
        match = _PATH.fullmatch(call.path)
        if match is None:
            raise RefusedError(404, "notFound", "Not Found")
        bucket, name = (unquote(match[part] or "") for part in ("bucket", "name"))
        if call.method == "PUT" and match["upload"]:
            return self._piece(call)
        self._permit(call, match, bucket)
        if match["upload"]:
            return self._begin(call, bucket)
        if match["objects"]:
            return self._objects(call, bucket, name)
        return self._buckets(call, bucket)

    def _permit(self, call, match, bucket):
        listing = call.method == "GET" and (not bucket or (match["objects"] and not match["name"]))
        what = permissions.of_storage(call.method, is_object=bool(match["objects"]), is_list=listing)
        self.project.used.setdefault(what, set()).add(f"storage {call.method}")
        if what in self.project.denied or bucket in self.project.foreign_buckets:
            raise RefusedError(
                403, "forbidden", f"me@example.com does not have {what} access to the Google Cloud project."
            )

    def _buckets(self, call, bucket):
        buckets = self.project.buckets
        if call.method == "POST":
            body = json.loads(call.body)
            if unknown := set(body) - _BUCKET:
                raise invalid(f"Unknown field {sorted(unknown)}")
            rules.label(body.get("labels", {}))
            if body["name"] in buckets or body["name"] in self.project.foreign_buckets:
                raise RefusedError(409, "conflict", "The requested bucket name is not available.")
            buckets[body["name"]] = body
            return _json(body)
        if call.method == "GET" and not bucket:
            return self._page(call, [buckets[name] for name in sorted(buckets)])
        if bucket not in buckets:
            raise RefusedError(404, "notFound", "The specified bucket does not exist.")
        if call.method == "GET":
            return _json(buckets[bucket])
        if any(where == bucket for where, _ in self.project.objects):
            raise RefusedError(409, "conflict", "The bucket you tried to delete is not empty.")
        del buckets[bucket]
        return Answer(204)

    def _objects(self, call, bucket, name):
        objects = self.project.objects
        if call.method == "GET" and not name:
            return self._page(call, [_shown(objects[key]) for key in sorted(objects) if key[0] == bucket])
        if (bucket, name) not in objects:
            raise RefusedError(404, "notFound", f"No such object: {bucket}/{name}")
        if call.method == "GET":
            return _json(_shown(objects[bucket, name]))
        del objects[bucket, name]
        return Answer(204)

    def _begin(self, call, bucket):
        body = json.loads(call.body)
        if unknown := set(body) - _OBJECT:
            raise invalid(f"Unknown field {sorted(unknown)}")
        if call.query != {"uploadType": "resumable", "name": body["name"], "ifGenerationMatch": "0"}:
            raise invalid(f"not a resumable upload: {call.query}")
        if bucket not in self.project.buckets:
            raise RefusedError(404, "notFound", "The specified bucket does not exist.")
        if (bucket, body["name"]) in self.project.objects:
            raise RefusedError(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        token = f"upload-{self.project.next()}"
        self.project.uploads[token] = Upload(bucket, body, int(call.headers["X-Upload-Content-Length"]))
        where = f"https://{call.headers['Host']}{call.path}?uploadType=resumable&upload_id={token}"
        return Answer(200, b"", {"Location": where, "X-GUploader-UploadID": token})

    def _piece(self, call):
        upload = self.project.uploads.get(call.query.get("upload_id", ""))
        if upload is None:
            return Answer(410)
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)", call.headers["Content-Range"])
        if match is None or int(match[3]) != upload.size:
            raise invalid(f"bad Content-Range {call.headers['Content-Range']}")
        if match[1] is not None:
            start, end = int(match[1]), int(match[2])
            if start != len(upload.data) or end - start + 1 != len(call.body):
                return Answer(503)  # what a client would have to ask about
            if end + 1 != upload.size and len(call.body) % (256 << 10):
                raise invalid("pieces are multiples of 256 KiB")
            upload.data += call.body
        if len(upload.data) < upload.size:
            sent = {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {}
            return Answer(308, b"", sent)
        return _json(_shown(self._complete(upload)))

    def _complete(self, upload):
        digest = hashlib.md5(upload.data, usedforsecurity=False).digest()
        body = upload.body | {"md5Hash": base64.b64encode(digest).decode(), "size": str(upload.size)}
        body["bytes"] = bytes(upload.data)
        return self.project.objects.setdefault((upload.bucket, upload.body["name"]), body)

    def _page(self, call, items):
        start = int(call.query.get("pageToken", 0))
        end = start + self.project.page
        more = {"nextPageToken": str(end)} if end < len(items) else {}
        return _json({"items": items[start:end], **more})


def archive(data):
    """Read the first header of a tar.gz: name, size and format of its member; None when it is none."""
    try:
        header = zlib.decompressobj(wbits=31).decompress(data, 512)
        size = header[124:136]
        number = int.from_bytes(size[1:], "big") if size[0] & 0x80 else int(size.rstrip(b"\0 "), 8)
        return {"name": header[:100].rstrip(b"\0").decode(), "size": number, "format": header[257:265]}
    except (zlib.error, ValueError, IndexError):
        return None


def _shown(item):
    return {name: value for name, value in item.items() if name != "bytes"}


def _json(body):
    return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
