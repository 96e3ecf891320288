"""Fetching an archive from the web server that publishes it; what is here already is not fetched again.

Its index says which files there are, how long and with which hash. A server that lies about them gains nothing: what an
audit takes, it takes by the hashes in the checkout's locks and in the signed manifest.
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
from pathlib import Path
from urllib.parse import quote

from provisioner.audit.exchange import Exchange
from provisioner.audit.index import INDEX, MAX_INDEX, Archived, read_index
from provisioner.errors import BakeError
from provisioner.image.files import sha256_of
from provisioner.image.shelf import alone
from provisioner.image.space import require_space
from provisioner.progress import Progress, paced

_SECONDS = 60  # for the head of an answer, without a byte, and for a file besides its size at the slowest speed
_SLOWEST = 50_000  # bytes a second


def is_address(text: str) -> bool:
    """Tell whether an archive is named by its address, not by a folder."""
    return text.startswith(("https://", "http://"))


def fetch(address: str, shelf: Path, *, progress: Progress) -> Path:
    """Return a folder with the archive of an address; an interrupted fetch goes on where it was.

    Raises:
        BakeError: the server cannot be reached, or has other files than its index says; or the disk is full.
    """
    base = address.rstrip("/")
    folder = shelf / hashlib.sha256(base.encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            _fetch_all(base, folder, progress=progress)
    except OSError as error:
        raise BakeError(f"{error.filename or folder}: {error.strerror or error}") from error
    return folder


def _fetch_all(base: str, folder: Path, *, progress: Progress) -> None:
    _download(f"{base}/{INDEX}", folder / INDEX, limit=MAX_INDEX)
    files = read_index((folder / INDEX).read_bytes()).files
    left = [one for one in files if not _is_here(folder / one.path, one)]
    size = sum(one.size for one in left)
    if not left:
        return
    require_space(folder, size, "fetching the archive")
    progress(f"fetching {len(left)} of {len(files)} files of the archive ({size / 1e6:.0f} MB)")
    paced_progress, done = paced(progress), 0
    for one in left:
        target = folder / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(f"{base}/{quote(one.path)}", target, limit=one.size)
        if not _is_here(target, one):
            target.unlink()
            raise BakeError(f"{base}/{one.path} is not the file that the archive's index names; try again later")
        done += one.size
        paced_progress(f"fetched {done / 1e6:.0f} of {size / 1e6:.0f} MB")


def _is_here(path: Path, one: Archived) -> bool:
    return path.is_file() and path.stat().st_size == one.size and sha256_of(path) == one.sha256


def _why(error: Exception) -> str:
    """Return the reason in a library's error, without the library's own words around it."""
    reason = getattr(error, "reason", error)
    return str(reason.strerror if isinstance(reason, OSError) and reason.strerror else error)


def _download(url: str, target: Path, *, limit: int) -> None:
    part = target.with_name(f"{target.name}.part")
    deadline = time.monotonic() + _SECONDS + limit / _SLOWEST
    try:
        exchange = Exchange(_SECONDS)
        with exchange.open(url) as answer, part.open("wb") as file:
            got = 0
            for block in exchange.blocks(answer, deadline):  # what comes is judged by its hash
                got += len(block)
                if got > limit:
                    raise BakeError(f"{url}: longer than the {limit} bytes that it is to have")
                file.write(block)
    except (ValueError, urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
        raise BakeError(f"{url}: {_why(error)}; fetch the archive yourself and name its folder") from error
    else:
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
