"""The bytes of a disk into Azure: pages of a blob, what is zero left out, interrupted anywhere and taken up again.

The address that lets us write (a SAS) is a secret for as long as it is valid: it is neither shown nor kept.

Sources: learn.microsoft.com/azure/virtual-machines/linux/disks-upload-vhd-to-managed-disk-cli,
learn.microsoft.com/rest/api/storageservices/{put-page,get-page-ranges,versioning-for-the-azure-storage-services}.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest, HttpResponse

from provisioner.clouds.azure.api import Wire
from provisioner.clouds.azure.errors import explained
from provisioner.clouds.azure.vhd import FOOTER_SIZE, footer
from provisioner.errors import CloudError
from provisioner.progress import Progress, paced

_Client = PipelineClient[HttpRequest, HttpResponse]
_API = "2023-11-03"
CHUNK = 4 << 20  # the most that one Put Page takes
_RANGE = re.compile(rb"<PageRange>\s*<Start>(\d+)</Start>\s*<End>(\d+)</End>\s*</PageRange>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One disk: which file, how large the disk is without its footer, where to, and what it is called to people."""

    source: Path
    size: int
    address: str
    name: str


def upload(wanted: Upload, wire: Wire, *, progress: Progress) -> None:
    """Write what of the disk is not there yet.

    Raises:
        CloudError: the file is missing or too large, or the API refuses.
    """
    try:
        length = wanted.source.stat().st_size
    except OSError as error:
        raise CloudError(f"{wanted.source}: {error.strerror}; bake the image again") from error
    if length > wanted.size:
        raise CloudError(f"{wanted.source}: larger than the disk; raise boot_disk_gib or model_disk_gib")
    options = {key: value for key, value in wire.options().items() if key not in ("base_url", "polling_interval")}
    policies = [options.pop("retry_policy")]
    with PipelineClient(_origin(wanted.address), policies=policies, **options) as client, explained(wanted.name):
        there = _ranges(client, wanted.address)
        sent, told = 0, paced(progress, every=wire.say_seconds)
        for offset, block in _blocks(wanted, length):
            if any(start <= offset and offset + len(block) <= end for start, end in there):
                continue
            _put(client, wanted, offset, block)
            sent += len(block)
            told(f"{wanted.name}: {100 * offset // wanted.size} % of the disk, {sent >> 20} MiB sent")
    progress(f"{wanted.name}: all there, {sent >> 20} MiB sent")


def _origin(address: str) -> str:
    where = urlsplit(address)
    return f"{where.scheme}://{where.netloc}"


def _blocks(wanted: Upload, length: int) -> Iterator[tuple[int, bytes]]:
    """Yield what is not zero of the disk, page-aligned, and the footer last: it is there when all is there."""
    with wanted.source.open("rb") as source:
        for offset in range(0, length, CHUNK):
            block = source.read(CHUNK)
            if block.count(0) != len(block):
                yield offset, block + bytes(-len(block) % FOOTER_SIZE)
    yield wanted.size, footer(wanted.size, name=wanted.name)


def _ranges(client: _Client, address: str) -> tuple[tuple[int, int], ...]:
    """Return what an earlier run wrote, ends excluded, touching ranges joined; nothing where the API will not say."""
    response = client.send_request(HttpRequest("GET", f"{address}&comp=pagelist", headers={"x-ms-version": _API}))
    try:
        response.raise_for_status()
    except HttpResponseError as error:
        if error.status_code in (403, 404, 405, 409):  # a write-only address; then everything is sent again
            return ()
        raise
    joined: list[tuple[int, int]] = []
    for first, last in ((int(start), int(end) + 1) for start, end in _RANGE.findall(response.content)):
        if joined and joined[-1][1] == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return tuple(joined)


def _put(client: _Client, wanted: Upload, offset: int, block: bytes) -> None:
    headers = {
        "x-ms-version": _API,
        "x-ms-page-write": "update",
        "x-ms-range": f"bytes={offset}-{offset + len(block) - 1}",
        "Content-MD5": base64.b64encode(hashlib.md5(block, usedforsecurity=False).digest()).decode(),
        "Content-Type": "application/octet-stream",
    }
    response = client.send_request(HttpRequest("PUT", f"{wanted.address}&comp=page", headers=headers, content=block))
    if response.status_code == 403:
        raise CloudError(
            f"{wanted.name}: the permission to write has ended; run it again, it goes on where it was",
            request_id=response.headers.get("x-ms-request-id"),
        )
    response.raise_for_status()
