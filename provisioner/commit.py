"""Which commit an image is made of, for its manifest. Only a commit that holds exactly these ingredients is named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from provisioner.errors import BakeError
from provisioner.image import process

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# The bake runs as root, the checkout may be somebody else's; only these two commands are run, and they read.
_GIT = ("git", "-c", "safe.directory=*")


def is_commit(text: str) -> bool:
    """Tell whether a text is spelled as a full commit id."""
    return _COMMIT.fullmatch(text) is not None


def source_commit(repository: Path, ingredients: Iterable[str]) -> str:
    """Return the checked-out commit, or nothing where the ingredients differ from it or there is no checkout.

    That the commit was ever published, or by whom it was made, is not said.
    """
    try:
        head = process.run([*_GIT, "rev-parse", "HEAD"], what="asking git for the commit", cwd=repository)
        status = [*_GIT, "status", "--porcelain", "--untracked-files=all", "--", *ingredients]
        changed = process.run(status, what="asking git for changes", cwd=repository)
    except BakeError:
        return ""
    found = head.decode().strip()
    return found if is_commit(found) and not changed.strip() else ""
