"""A collateral folder on disk: ``index.json`` and the files that it names, none besides.

It is written beside its place and renamed, so that nobody ever sees half of one. The hashes in the index tell
accidents; they prove nothing.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from client_sdk.encoding import canonical_json, from_hex, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, format_instant, instant, items, text, version
from client_sdk.gather.contents import belongs
from client_sdk.gather.kept import Kept
from client_sdk.parse.crl import MAX_SIZE

VERSION = 1
INDEX = "index.json"
GIVEN = "given by the operator"
MAX_FILES = 1024
MAX_INDEX = 1024 * 1024
_PATH = re.compile(r"[a-z]+(?:/[A-Za-z0-9][A-Za-z0-9._=-]{0,199}){1,2}")
_ROW = frozenset({"path", "sha256", "source"})


@dataclass(frozen=True, slots=True)
class Row:
    """One file as the index names it."""

    path: str
    digest: bytes
    source: str


@dataclass(frozen=True, slots=True)
class Index:
    """What the index says. Nothing in the folder was fetched before ``gathered_at``."""

    gathered_at: datetime
    rows: tuple[Row, ...]


def index_of(kept: tuple[Kept, ...], now: datetime) -> tuple[bytes, dict[str, bytes]]:
    """Return the index and the files of a folder; ``gathered_at`` is the date of the oldest answer, if there is one."""
    found = {path: (data, one.url) for one in kept for path, data in one.files.items()}
    rows = [
        {"path": path, "sha256": sha256(data).hexdigest(), "source": url} for path, (data, url) in sorted(found.items())
    ]
    oldest = min((one.fetched_at for one in kept if one.url != GIVEN), default=now)
    index = {"version": VERSION, "gathered_at": format_instant(oldest), "files": rows}
    return canonical_json(index), {path: data for path, (data, _) in found.items()}


def read_index(folder: Path) -> Index:
    """Read the index of a folder.

    Raises:
        EvidenceError: it is not one.
        OSError: it cannot be read.
    """
    with (folder / INDEX).open("rb") as file:
        data = file.read(MAX_INDEX + 1)
    top = exact_keys(strict_json(data, limit=MAX_INDEX), frozenset({"version", "gathered_at", "files"}), INDEX)
    version(top["version"], f"{INDEX}.version", VERSION)
    rows: list[Row] = []
    for i, item in enumerate(items(top["files"], f"{INDEX}.files", limit=MAX_FILES)):
        where = f"{INDEX}.files[{i}]"
        row = exact_keys(item, _ROW, where)
        path = text(row["path"], f"{where}.path", limit=256)
        if not _PATH.fullmatch(path) or path <= (rows[-1].path if rows else ""):
            raise EvidenceError(f"{where}.path", "no path of a collateral folder, or out of order")
        digest = from_hex(row["sha256"], f"{where}.sha256", size=32)
        rows.append(Row(path, digest, text(row["source"], f"{where}.source")))
    return Index(instant(top["gathered_at"], f"{INDEX}.gathered_at"), tuple(rows))


def read_file(folder: Path, row: Row) -> bytes:
    """Read one file of a folder.

    Raises:
        EvidenceError: it is another file than the index names.
        OSError: it cannot be read.
    """
    with (folder / row.path).open("rb") as file:
        data = file.read(MAX_SIZE + 1)
    if sha256(data).digest() != row.digest:
        raise EvidenceError(row.path, "the file is not the one that the index names")
    return data


def strangers(folder: Path, index: Index) -> tuple[str, ...]:
    """Return what is in a folder and not in its index."""
    named = {INDEX, *(row.path for row in index.rows)}
    found = (
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    )
    return tuple(sorted(set(found) - named))


def check_replaceable(folder: Path) -> None:
    """Make sure that nothing else than collateral would be lost with this folder.

    Raises:
        OSError: it is no folder, cannot be read, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder))
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or name == INDEX or belongs(name)):
            raise FileExistsError(
                errno.EEXIST, f"it holds {name}, which is no collateral and would be lost", str(folder)
            )


def write(folder: Path, index: bytes, files: dict[str, bytes]) -> bool:
    """Make the folder exactly this; return whether anything changed.

    An old folder is moved aside for the moment between two renames; what an interrupted run left is put back first.

    Raises:
        OSError: it cannot be written, or holds something else; what was there before is still there.
    """
    check_replaceable(folder)
    old = folder.with_name(f".{folder.name}.old")
    if old.exists():
        recover(folder)
    if _is_already(folder, index, files):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for path, data in {**files, INDEX: index}.items():
            _write_file(made / path, data)
        made.chmod(0o755)
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
    except BaseException:
        recover(folder)
        shutil.rmtree(made, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return True


def recover(folder: Path) -> None:
    """Put back what an interrupted :func:`write` moved aside, or remove it where the new folder is in place."""
    old = folder.with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _is_already(folder: Path, index: bytes, files: dict[str, bytes]) -> bool:
    try:
        found = read_index(folder)
        if (folder / INDEX).read_bytes() != index or strangers(folder, found):
            return False
        return {row.path: read_file(folder, row) for row in found.rows} == files
    except (OSError, EvidenceError):
        return False
