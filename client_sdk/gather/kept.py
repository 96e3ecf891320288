"""Answers that are kept on this machine, by address, with the date on which they came.

A cache is worth nothing to an attacker: what is in it is checked as a fresh answer is, and its signature by whoever
verifies evidence. An entry that cannot be read is none.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from client_sdk.encoding import canonical_json, from_base64, strict_json, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, format_instant, instant, mapping, text, version
from client_sdk.gather.wanted import Wanted
from client_sdk.parse.crl import MAX_SIZE

VERSION = 1
MAX_ENTRY = 4 * MAX_SIZE
MAX_FILES = 4
_KEYS = frozenset({"version", "url", "fetched_at", "files"})


@dataclass(frozen=True, slots=True)
class Kept:
    """The files of one answer, by path in the folder: from where and when."""

    url: str
    fetched_at: datetime
    files: dict[str, bytes]


class Cache:
    """A folder with one file an address; only its owner can look, because chip ids tell machines apart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, wanted: Wanted, url: str) -> Kept | None:
        """Return what was kept for an address, however old."""
        try:
            with self._path(wanted, url).open("rb") as file:
                kept = _from_json(file.read(MAX_ENTRY + 1))
        except (OSError, EvidenceError):
            return None
        return kept if kept.url == url else None

    def put(self, wanted: Wanted, kept: Kept) -> None:
        """Keep an answer, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(wanted, kept.url)
        descriptor, partial = tempfile.mkstemp(dir=self._folder, prefix=".partial-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_to_json(kept))
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    def _path(self, wanted: Wanted, url: str) -> Path:
        key = b"\0".join((url.encode(), wanted.path.encode(), wanted.request))
        return self._folder / f"{sha256(key).hexdigest()}.json"


def _to_json(kept: Kept) -> bytes:
    return canonical_json(
        {
            "version": VERSION,
            "url": kept.url,
            "fetched_at": format_instant(kept.fetched_at),
            "files": {path: to_base64(data) for path, data in kept.files.items()},
        }
    )


def _from_json(data: bytes) -> Kept:
    top = exact_keys(strict_json(data, limit=MAX_ENTRY), _KEYS, "$")
    version(top["version"], "$.version", VERSION)
    files: dict[str, Any] = mapping(top["files"], "$.files", limit=MAX_FILES)
    return Kept(
        text(top["url"], "$.url"),
        instant(top["fetched_at"], "$.fetched_at"),
        {path: from_base64(data, f"$.files.{path}", limit=MAX_SIZE) for path, data in files.items()},
    )
