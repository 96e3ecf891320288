"""`python -m tests.log_page_pictures`: draw docs/log-page.png and docs/log-release.png, of a log that is made up."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.fakes.browser import screenshot
from tests.fakes.public_logs import pages

DOCS = Path(__file__).resolve().parent.parent / "docs"
PICTURES = {"log-page.png": ("index.html", (1100, 1260)), "log-release.png": ("release/3.html", (1100, 1200))}
SCALE = 0.8


def main() -> None:
    """Render the pages, and take the upper part of two as pictures."""
    found = pages()
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, size) in PICTURES.items():
            page = Path(folder) / "page.html"
            page.write_bytes(found[path])
            screenshot(page, DOCS / name, Path(folder) / f"profile of {name}", size=size, scale=SCALE)
            print(f"{DOCS / name}: {(DOCS / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
