"""``python -m tests.documentation.source FOLDER``: lay out what the site is built from.

FOLDER gets ``docs`` with every page, and the settings. Pages are as in the checkout but for links that leave ``docs/``:
the pages beside README.md are in the site, and another file of the repository is copied to ``files/``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

from tests.documentation.pages import BESIDE, ROOT, Link, Page, in_site, settings, sources

FILES = "files"
_FENCES = re.compile(r"(^(```+|~~~+).*?^\2$)", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"(?<=\]\()[^)\s]+(?=\))")


def lay_out(folder: Path) -> None:
    """Write pages, pictures and settings into a folder of their own."""
    docs = folder / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", docs)
    for path in sources():
        name = in_site(path)
        text, needed = led(Page(path), name)
        (docs / name).write_text(text, encoding="utf-8")
        for file in needed:
            copy = docs / FILES / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    # JSON is YAML, and nothing of the standard library writes TOML.
    (folder / "mkdocs.yml").write_text(json.dumps(settings(), indent=1), encoding="utf-8")


def led(page: Page, name: str) -> tuple[str, set[Path]]:
    """Return the text with links that work in the site, and the files that have to be there for it."""
    needed: set[Path] = set()

    def target(found: re.Match[str]) -> str:
        link = Link("", found[0], is_picture=False)
        if link.leaves or not link.path:
            return found[0]
        file = page.leads_to(link)
        place = in_site(file)
        if place is None:
            needed.add(file)
            place = f"{FILES}/{file.relative_to(ROOT).as_posix()}"
        relative = os.path.relpath(place, Path(name).parent)
        return f"{relative}#{link.anchor}" if link.anchor else relative

    pieces = _FENCES.split(page.text)
    # The pattern has two groups, so every third piece is text, the next the fence, the third its mark.
    text = "".join(_TARGET.sub(target, piece) if i % 3 == 0 else piece for i, piece in enumerate(pieces) if i % 3 != 2)
    return text, needed


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
    assert all((Path(sys.argv[1]) / "docs" / name).exists() for name in BESIDE.values())
