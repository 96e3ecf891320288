"""The index of an archive: which files it has, how long and with which hash, and of which manifest it is.

It is for mirrors, and for whoever publishes or fetches an archive: an audit takes files by the hashes in the checkout's
locks and in the signed manifest, whatever the index says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client_sdk.encoding import from_hex, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, integer, mapping, version
from provisioner.errors import BakeError
from provisioner.image.files import sha256_of

INDEX = "archive.json"
MAX_INDEX = 64 << 20
_VERSION = 1
_KEYS = frozenset({"version", "manifest_sha256", "files"})
_MAX_FILES = 100_000
# Names of packages have '+', '~' and ':'; no name begins with a dot.
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~:-]*(/[A-Za-z0-9_][A-Za-z0-9_.+~:-]*){0,4}")


@dataclass(frozen=True, slots=True)
class Archived:
    """A file of an archive, as its index says it; the path is a plain one, inside the archive."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Index:
    """What an archive says that it has."""

    manifest_sha256: bytes
    files: tuple[Archived, ...]


def read_index(data: bytes) -> Index:
    """Read an archive's index.

    Raises:
        BakeError: it is malformed, or names files that would lie elsewhere.
    """
    try:
        top = exact_keys(strict_json(data, limit=MAX_INDEX), _KEYS, "$")
        version(top["version"], "$.version", _VERSION)
        manifest = from_hex(top["manifest_sha256"], "$.manifest_sha256", size=32)
        files = mapping(top["files"], "$.files", limit=_MAX_FILES)
        return Index(manifest, tuple(_archived(path, told) for path, told in files.items()))
    except EvidenceError as error:
        raise BakeError(f"{INDEX}: {error}") from error


def write_index(folder: Path, manifest_sha256: str, what: Mapping[str, str]) -> None:
    """Write the index of all that is in a folder; ``what`` says it of some paths, for people."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {
        path: {"sha256": sha256_of(folder / path), "size": (folder / path).stat().st_size}
        | ({"what": what[path]} if path in what else {})
        for path in paths
    }
    index = {"version": _VERSION, "manifest_sha256": manifest_sha256, "files": files}
    (folder / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def _archived(path: str, told: object) -> Archived:
    where = f"$.files.{path[:200]}"
    if not _PATH.fullmatch(path) or path == INDEX:
        raise EvidenceError(where, "is no path inside the archive")
    fields: Mapping[str, object] = mapping(told, where, limit=8)
    sha256 = from_hex(fields.get("sha256"), f"{where}.sha256", size=32)
    return Archived(path, integer(fields.get("size"), f"{where}.size"), sha256.hex())
