"""The key of a bake: one hash over everything that decides about the image, known before anything is made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from client_sdk.encoding import canonical_json
from provisioner.errors import BakeError

_IGNORED = ("__pycache__",)


def bake_key(paths: Mapping[str, Path], values: Mapping[str, str]) -> str:
    """Hash the given files, folders and values, under the names that they have in the checkout.

    Raises:
        BakeError: a path does not exist.
    """
    files: dict[str, str] = {}
    for name, path in paths.items():
        files |= {f"{name}/{inner}".rstrip("/"): digest for inner, digest in file_digests(path).items()}
    return hashlib.sha256(canonical_json({"files": files, "values": dict(values)})).hexdigest()


def file_digests(path: Path) -> dict[str, str]:
    """Hash every file below a folder, by relative path; of a file, itself under the empty name.

    A file's permissions count only in so far as git keeps them: executable or not.

    Raises:
        BakeError: the path does not exist.
    """
    if path.is_file():
        return {"": _digest(path)}
    if not path.is_dir():
        raise BakeError(f"{path} does not exist, but the image is made of it")
    files = sorted(p for p in path.rglob("*") if (p.is_file() or p.is_symlink()) and not _ignored(p.relative_to(path)))
    return {str(file.relative_to(path)): _digest(file) for file in files}


def _ignored(path: Path) -> bool:
    return any(part in _IGNORED for part in path.parts) or path.suffix == ".pyc"


def _digest(path: Path) -> str:
    if path.is_symlink():
        return hashlib.sha256(b"link\0" + str(path.readlink()).encode()).hexdigest()
    kind = b"executable\0" if path.stat().st_mode & 0o100 else b"file\0"
    return hashlib.sha256(kind + path.read_bytes()).hexdigest()
