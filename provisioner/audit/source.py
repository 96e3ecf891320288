"""The checkout beside the manifest: every file of it that reaches the image, the lock, and the commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from client_sdk.manifest import Manifest
from provisioner.audit.finding import Finding
from provisioner.audit.needed import Materials
from provisioner.bake import INGREDIENTS
from provisioner.commit import is_commit
from provisioner.errors import BakeError
from provisioner.image import process
from provisioner.image.key import file_digests
from provisioner.image.sbom import SBOM

_LINES = 40
_RECIPE_OF_KEYS = "provisioner/bake.py"
_GIT = ("git", "-c", "safe.directory=*", "--no-optional-locks")


def compare_source(source: Path, manifest: Manifest, told: Materials) -> Iterator[Finding]:
    """Yield what of the checkout is not what the manifest names.

    Raises:
        BakeError: the checkout cannot be read.
    """
    named = {path: digest.hex() for path, digest in manifest.files if path != SBOM}
    here = {path: found for path in named if (found := _digest(source / path))}
    if here.get(_RECIPE_OF_KEYS) == _digest(Path(__file__).resolve().parents[2] / _RECIPE_OF_KEYS):
        here |= _ingredients(source)  # which files count is then known to be the same
    for path in sorted(named.keys() | here.keys()):
        if named.get(path) != here.get(path):
            how = _lines(source, manifest.source_commit, path)
            yield Finding(f"source {path}", named.get(path, "no such file"), here.get(path, "no such file"), how)
    for line in told.differing:
        yield Finding("package lock", "the packages of the manifest", line)
    for line in told.drift:
        yield Finding("package lock", f"{line}, by {told.followed} of the archive", "the checkout's lock names others")


def commit_note(source: Path, manifest: Manifest) -> str:
    """Say how the commit that the manifest names and the one that is checked out go together."""
    named = manifest.source_commit
    try:
        found = process.run([*_GIT, "rev-parse", "HEAD"], what="asking git", cwd=source).decode().strip()
    except BakeError:
        return f"the manifest names commit {named or 'none'}; {source} is no checkout, so that is not compared"
    if not named:
        return f"the manifest names no commit (it was baked from changed files); checked out is {found}"
    if found == named:
        return f"commit {named} is checked out, as the manifest says"
    return f"the manifest names commit {named}, checked out is {found}: what reaches the image is compared file by file"


def _ingredients(source: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in INGREDIENTS:
        if (source / name).exists():
            found |= {f"{name}/{inner}".rstrip("/"): digest for inner, digest in file_digests(source / name).items()}
    return found


def _digest(path: Path) -> str:
    if path.is_file():
        return file_digests(path)[""]
    if path.is_symlink():
        return file_digests(path.parent).get(path.name, "")
    return ""


def _lines(source: Path, commit: str, path: str) -> tuple[str, ...]:
    """Show what changed in a file since the commit that the manifest names, where the checkout knows that one."""
    if not is_commit(commit):
        return ()
    try:
        words = [*_GIT, "diff", "--no-ext-diff", "--no-textconv", "--unified=1", commit, "--", path]
        text = process.run(words, what="asking git", cwd=source).decode("utf-8", "replace")
    except BakeError:
        return ()
    return tuple(text.splitlines()[:_LINES])
