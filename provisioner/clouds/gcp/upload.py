"""A file's way into Cloud Storage, in pieces: interrupted anywhere, it goes on where it was.

(1) The archive is made, unless an earlier run made it. (2) The address of an upload that an earlier run began is read;
without one, or when Google has forgotten it, a new one begins. (3) Google says how much it has. (4) The rest is sent.
(5) What arrived has the MD5 of what was sent, and the archive goes.
Source: https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from provisioner.atomic import replace_file
from provisioner.clouds.answers import misread, understood
from provisioner.clouds.gcp.api import Api
from provisioner.clouds.gcp.archive import Archive, pack
from provisioner.clouds.gcp.errors import GcpError
from provisioner.errors import CloudError
from provisioner.progress import Progress, paced

PIECE = 16 << 20  # a multiple of 256 KiB, as Google wants it
_STALLS = 5  # times in a row that Google may say that nothing more has arrived
_GOES_ON, _DONE, _FORGOTTEN = 308, (200, 201), (404, 410)


@dataclass(frozen=True, slots=True)
class Upload:
    """One object to be: its bucket, its body with our mark, the disk, and the folder for what is kept meanwhile."""

    api: Api
    bucket: str
    body: Mapping[str, Any]
    disk: Path
    folder: Path
    piece: int = PIECE

    def run(self, *, progress: Progress) -> None:
        """Bring the disk there.

        Raises:
            CloudError: it cannot be packed, or Google refuses; another run goes on where this one was.
        """
        name = str(self.body["name"])
        archive = pack(self.disk, self.folder / name, progress=progress)  # (1)
        record = self.folder / f"{name}.upload"
        url = self._begun(record, archive)  # (2)
        at = None if url is None else self._progress_of(url, archive)  # (3)
        if url is None or at is None:
            url, at = self._begin(record, archive), 0
        arrived = self._send(url, archive, at, progress=progress)  # (4)
        if arrived.get("md5Hash") != archive.md5:  # (5)
            record.unlink(missing_ok=True)
            raise CloudError(f"{name}: arrived damaged in Cloud Storage: destroy the deployment, then run it again")
        record.unlink(missing_ok=True)
        archive.path.unlink(missing_ok=True)

    def _begun(self, record: Path, archive: Archive) -> str | None:
        """Return the address of an upload of exactly these bytes, where one was begun."""
        try:
            kept = json.loads(record.read_bytes())
            url, same = str(kept["url"]), kept["md5"] == archive.md5 and kept["body"] == dict(self.body)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return url if same and self._is_ours(url) else None

    def _is_ours(self, url: str) -> bool:
        """Say whether an address is Cloud Storage's: what is sent there carries our credentials."""
        return urlsplit(url)[:2] == urlsplit(self.api.storage)[:2]

    def _begin(self, record: Path, archive: Archive) -> str:
        url = f"{self.api.storage}/upload/storage/v1/b/{quote(self.bucket, safe='')}/o"
        response = self.api.http(
            f"beginning the upload of {self.body['name']}",
            "POST",
            url,
            # Never over something that is there.
            params={"uploadType": "resumable", "name": self.body["name"], "ifGenerationMatch": "0"},
            json=dict(self.body),
            headers={
                "X-Upload-Content-Type": str(self.body["contentType"]),
                "X-Upload-Content-Length": str(archive.size),
            },
        )
        found = str(response.headers.get("Location", ""))
        if not self._is_ours(found):
            raise misread(f"beginning the upload of {self.body['name']}", "no address at Cloud Storage to send it to")
        kept = {"url": found, "md5": archive.md5, "body": dict(self.body)}
        replace_file(record, json.dumps(kept).encode(), mode=0o600)
        return found

    def _progress_of(self, url: str, archive: Archive) -> int | None:
        """Ask how many bytes have arrived; None when Google does not know the upload any more."""
        response = self._put(
            url, headers={"Content-Range": f"bytes */{archive.size}"}, good=(*_DONE, _GOES_ON, *_FORGOTTEN)
        )
        if response.status_code in _FORGOTTEN:
            return None
        return archive.size if response.status_code in _DONE else self._arrived(response, archive)

    def _send(self, url: str, archive: Archive, at: int, *, progress: Progress) -> Mapping[str, Any]:
        name, told, stalls = self.body["name"], paced(progress), 0
        with archive.path.open("rb") as file:
            while True:
                told(f"{name}: {100 * at // archive.size} % of {archive.size >> 20} MiB are there")
                file.seek(at)
                piece = file.read(self.piece)
                response = self._one(url, archive, at, piece)
                if response.status_code in _DONE:
                    progress(f"{name}: all {archive.size >> 20} MiB are there")
                    return self._arrival(response)
                reached = self._arrived(response, archive)
                stalls = 0 if reached > at else stalls + 1
                if stalls > _STALLS:
                    raise CloudError(f"{name}: Google takes no more of it; run it again later")
                at = max(at, reached)

    def _arrival(self, response: Any) -> Mapping[str, Any]:
        what = f"uploading {self.body['name']}"
        with understood(what):
            found = response.json()
        if not isinstance(found, Mapping):
            raise misread(what, f"{type(found).__name__} instead of an object")
        return found

    def _arrived(self, response: Any, archive: Archive) -> int:
        """Read how many bytes have arrived; none where Google names no range.

        Raises:
            CloudError: it is more than there is.
        """
        match = re.fullmatch(r"bytes=0-([0-9]{1,18})", response.headers.get("Range", ""))
        found = int(match[1]) + 1 if match else 0
        if found > archive.size:
            raise misread(f"uploading {self.body['name']}", f"{found} bytes of {archive.size} have arrived")
        return found

    def _one(self, url: str, archive: Archive, at: int, piece: bytes) -> Any:
        """Send one piece; after a fault on the way Google is asked what it has, not told again blindly."""
        where = f"bytes {at}-{at + len(piece) - 1}/{archive.size}" if piece else f"bytes */{archive.size}"
        try:
            return self._put(url, data=piece, headers={"Content-Range": where}, good=(*_DONE, _GOES_ON), once=True)
        except GcpError as error:
            if not error.refusal.is_transient:
                raise
        headers = {"Content-Range": f"bytes */{archive.size}"}
        return self._put(url, headers=headers, good=(*_DONE, _GOES_ON))

    def _put(self, url: str, *, once: bool = False, **more: Any) -> Any:
        ask = self.api.http_once if once else self.api.http
        return ask(f"uploading {self.body['name']}", "PUT", url, **more)
