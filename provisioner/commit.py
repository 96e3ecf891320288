"""Which commit an image is made of, for its manifest. Only a commit that holds exactly these ingredients is named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image import process

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# The bake runs as root, the checkout may be somebody else's; only one command is run, and it only reads.
_GIT = ("git", "-c", "safe.directory=*", "--no-optional-locks")
_STATUS = (*_GIT, "status", "--porcelain=v2", "--branch", "--untracked-files=all", "--")
_HEAD = "# branch.oid "


def is_commit(text: str) -> bool:
    """Tell whether a text is spelled as a full commit id."""
    return _COMMIT.fullmatch(text) is not None


def source_commit(repository: Path, ingredients: Iterable[str]) -> str:
    """Return the checked-out commit, or nothing where the ingredients differ from it or there is no checkout.

    That the commit was ever published, or by whom it was made, is not said.

    Raises:
        BakeError: there is a checkout, and git cannot read it or is not installed.
    """
    if not any((folder / ".git").exists() for folder in (repository, *repository.parents)):
        return ""
    try:
        output = process.run([*_STATUS, *ingredients], what="asking git for the commit", cwd=repository)
    except BakeError as error:
        raise BakeError(f"{error}; put that right, or name the commit yourself (bake_source_commit)") from error
    lines = output.decode(errors="replace").splitlines()
    changed = [line for line in lines if not line.startswith("# ")]
    (head,) = [line.removeprefix(_HEAD) for line in lines if line.startswith(_HEAD)] or [""]
    return head if is_commit(head) and not changed else ""
