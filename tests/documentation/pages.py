"""The pages of the documentation: which there are, what the navigation says, and where their links lead.

Pure Python, without the program that builds the site: the same Markdown is read in a checkout, on a forge and there.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "zensical.toml"
# Pages that people and programs look for beside README.md: the site has them under these names.
BESIDE = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
FRONT = {"README.md": "index.md"}  # a link to it leads to the site's own first page

_FENCE = re.compile(r"^(```+|~~~+).*?^\1$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+).+?\1", re.DOTALL)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z]+:")


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is written: what it is called, and a target that may lead anywhere."""

    text: str
    target: str
    is_picture: bool

    @property
    def leaves(self) -> bool:
        """Tell whether it leads out of the repository."""
        return bool(_ELSEWHERE.match(self.target))

    @property
    def path(self) -> str:
        return self.target.partition("#")[0]

    @property
    def anchor(self) -> str:
        return self.target.partition("#")[2]


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without its code: nothing in there is a heading or a link."""
        return _CODE.sub(lambda found: "·" * len(found[0]), _FENCE.sub("", self.text))

    @property
    def title(self) -> str:
        """The first heading, without its marks."""
        return plain(next(text for level, text in self.headings if level == 1))

    @cached_property
    def headings(self) -> tuple[tuple[int, str], ...]:
        """Level and text of each heading; code in them stays, for its words are in the anchor."""
        return tuple((len(marks), text) for marks, text in _HEADING.findall(_FENCE.sub("", self.text)))

    @property
    def links(self) -> tuple[Link, ...]:
        return tuple(Link(m["text"], m["target"], bool(m["picture"])) for m in _LINK.finditer(self.prose))

    @cached_property
    def anchors(self) -> Counter[str]:
        """How often each anchor is there: one that is there twice has another name in each program."""
        return Counter(slug(text) for _, text in self.headings)

    def leads_to(self, link: Link) -> Path:
        """Return the file that a link leads to, whether it is there or not."""
        return (self.path.parent / link.path).resolve() if link.path else self.path


def plain(text: str) -> str:
    """Return a heading's words: without code marks, emphasis and links."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[`*]", "", text)


def slug(heading: str) -> str:
    """Name the anchor of a heading, as forges do and as the site is told to."""
    return re.sub(r"[^\w\- ]", "", plain(heading).lower()).replace(" ", "-")


def sources() -> tuple[Path, ...]:
    """Return every page of the documentation."""
    return (*sorted((ROOT / "docs").rglob("*.md")), *(ROOT / name for name in sorted(BESIDE)))


def in_site(path: Path) -> str | None:
    """Return where the site has a page, or None for a file that is none."""
    relative = path.relative_to(ROOT).as_posix()
    if relative in BESIDE or relative in FRONT:
        return (BESIDE | FRONT)[relative]
    inside = relative.startswith("docs/") and path.is_file()
    return relative.removeprefix("docs/") if inside else None


def settings() -> dict:
    """Return the settings of the site, with the navigation written out."""
    project = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["project"]
    return project | {"nav": _written_out(project["nav"])}


def navigation(entries: list | None = None) -> tuple[str, ...]:
    """Return the pages of the navigation in order, by their names in the site."""
    found: list[str] = []
    for entry in settings()["nav"] if entries is None else entries:
        (value,) = entry.values() if isinstance(entry, dict) else (entry,)
        found += navigation(value) if isinstance(value, list) else [value]
    return tuple(found)


def _written_out(entries: list) -> list:
    """Put the pages of a folder in place of `folder/*.md`, but for its index, which stands beside it."""
    found: list = []
    for entry in entries:
        if isinstance(entry, dict):
            ((title, value),) = entry.items()
            found.append({title: _written_out(value) if isinstance(value, list) else value})
        elif "*" in entry:
            pages = sorted(path for path in (ROOT / "docs").glob(entry) if path.name != "index.md")
            found += [{Page(path).title: in_site(path)} for path in pages]
        else:
            found.append(entry)
    return found
