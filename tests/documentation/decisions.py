"""``python -m tests.documentation.decisions``: write the table of docs/decisions/index.md from the records' titles."""

from __future__ import annotations

from tests.documentation.pages import ROOT, Page

INDEX = ROOT / "docs/decisions/index.md"
HEAD = "| | decision |\n|---|---|\n"


def records() -> tuple[Page, ...]:
    """Return the records in order."""
    return tuple(Page(path) for path in sorted(INDEX.parent.glob("*.md")) if path != INDEX)


def index(text: str) -> str:
    """Return the page with the table that it should have."""
    lines = []
    for page in records():
        number, _, title = page.title.partition(". ")
        lines.append(f"| {number} | [{title}]({page.path.name}) |\n")
    return text.partition(HEAD)[0] + HEAD + "".join(lines)


if __name__ == "__main__":
    INDEX.write_text(index(INDEX.read_text()))
