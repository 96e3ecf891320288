"""``python -m tests.documentation.whitepaper FILE`` (.pdf or .html): docs/whitepaper.md and the pages that it lists.

The pages are those of the site, read by the same Markdown library, printed by Chromium. Where the source is the same,
and Chromium and fonts, so is the file: dates in it are those of the source (``SOURCE_DATE_EPOCH``, else the commit's).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from markdown import Markdown

from tests.documentation.pages import ROOT, Page, slug
from tests.fakes.browser import internet, visit

FRONT = ROOT / "docs/whitepaper.md"
STYLE = Path(__file__).with_name("whitepaper.css")
_REFERENCE = re.compile(r'<a href="([^"]*)">(.*?)</a>', re.DOTALL)
_PICTURE = re.compile(r'(<img [^>]*)src="([^"]*)"')
_HEADING = re.compile(r"<(/?)h([1-5])\b")
_DATE = re.compile(rb"/(CreationDate|ModDate) \(D:\d{14}[^)]*\)")


def chapters() -> tuple[Path, ...]:
    """Return the pages in order: the front page, and what its numbered list leads to."""
    page = Page(FRONT)
    listed = re.findall(r"^\d+\. \[.*?\]\((\S+)\)$", page.text, re.MULTILINE)
    return (FRONT, *((FRONT.parent / name).resolve() for name in listed))


def html(pages: tuple[Path, ...], *, version: str, day: str) -> str:
    """Return the whole paper as one HTML text, which names pictures by their files and loads nothing else."""
    front, *rest = pages
    title = f"Vitrine {version}"
    contents = "".join(f'<li><a href="#{path.stem}">{escape(Page(path).title)}</a></li>' for path in rest)
    parts = [
        f'<!doctype html><html lang="en-GB"><meta charset="utf-8"><title>{title}: whitepaper</title>',
        f"<style>{STYLE.read_text(encoding='utf-8')}</style>",
        f'<header><p class="title">Vitrine</p><p>Whitepaper, version {version}, source of {day}</p></header>',
        re.sub(r"<ol>.*?</ol>", f"<ol>{contents}</ol>", chapter(front, pages), count=1, flags=re.DOTALL),
        *(chapter(path, pages) for path in rest),
    ]
    return "\n".join(parts)


def chapter(path: Path, pages: tuple[Path, ...]) -> str:
    """Return one page, whose anchors begin with its name; links to what is not in the paper become words."""
    page = Page(path)
    options = {"toc": {"slugify": lambda text, _: f"{path.stem}--{slug(text)}"}}
    reader = Markdown(
        extensions=["tables", "attr_list", "sane_lists", "toc", "pymdownx.superfences"], extension_configs=options
    )
    text = reader.convert(page.text)
    text = _REFERENCE.sub(lambda found: _led(page, found, pages), text)
    text = _PICTURE.sub(lambda found: f'{found[1]}src="{(path.parent / found[2]).resolve().as_uri()}"', text)
    return f'<section id="{path.stem}">{text}</section>'


def _led(page: Page, found: re.Match[str], pages: tuple[Path, ...]) -> str:
    target, _, anchor = found[1].partition("#")
    if target.startswith("https:"):
        return found[0]
    file = (page.path.parent / target).resolve() if target else page.path
    if file not in pages:
        return found[2]
    return f'<a href="#{file.stem}{"--" + anchor if anchor else ""}">{found[2]}</a>'


def printed(text: str, moment: datetime) -> bytes:
    """Print HTML, and put the moment in place of the clock's time, which is as long."""
    with tempfile.TemporaryDirectory() as name, internet() as nothing:
        folder = Path(name)
        (folder / "paper.html").write_text(text, encoding="utf-8")
        options = (
            "--no-pdf-header-footer",
            "--generate-pdf-document-outline",
            f"--print-to-pdf={folder / 'paper.pdf'}",
        )
        visit((folder / "paper.html").as_uri(), nothing, folder / "profile", *options)
        assert nothing.asked == [], f"the paper asked for {nothing.asked}"
        pdf = (folder / "paper.pdf").read_bytes()
    stamp = moment.strftime("D:%Y%m%d%H%M%S+00'00'").encode()
    return _DATE.sub(lambda found: b"/%s (%s)" % (found[1], stamp), pdf)


def moment_of_source() -> datetime:
    """Return when the source was written, as reproducible builds tell it."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if told is None:
        argv = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
        told = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        if not told:
            sys.exit("error: there is no commit here; set SOURCE_DATE_EPOCH to when the source was written")
    return datetime.fromtimestamp(int(told), UTC)


def main() -> None:
    """Write the file."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    moment = moment_of_source()
    pages = chapters()
    text = html(pages, version=version, day=f"{moment:%d %B %Y}")
    file = Path(sys.argv[1])
    file.write_bytes(text.encode() if file.suffix == ".html" else printed(text, moment))
    print(f"{file}: {len(pages)} pages of the documentation")


if __name__ == "__main__":
    main()
