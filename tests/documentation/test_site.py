"""The site as it was built: whole, loading nothing from elsewhere, usable by keyboard, in the dark, on a telephone."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser

import pytest

from tests.documentation.pages import ROOT, Page, navigation
from tests.fakes.browser import CHROMIUM, internet, visit

SITE = ROOT / "build/site"
PYTHON = ROOT / "build/venvs/docs/bin/python"
LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "object": "data"}
LOOKED_AT = ("index", "concepts", "whom-you-trust", "threats", "protocol", "decisions/index")
HARNESS = """<!doctype html><meta charset="utf-8"><pre id="result"></pre><script>
const seen = {}, names = NAMES;
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
function contrast(win, element) {
  const own = rgb(win.getComputedStyle(element).color);
  let ground = element, back = [255, 255, 255];
  for (; ground; ground = ground.parentElement) {
    const found = rgb(win.getComputedStyle(ground).backgroundColor);
    if (found.length === 3 || found[3] > .99) { back = found; break; }
  }
  const alpha = own.length > 3 ? own[3] : 1, mixed = [0, 1, 2].map(i => own[i] * alpha + back[i] * (1 - alpha));
  const [a, b] = [light(mixed), light(back)].sort((x, y) => y - x);
  return (a + .05) / (b + .05);
}
async function look(name, width, scheme) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 900; frame.src = name + ".html";
  await new Promise(done => { frame.onload = done; document.body.append(frame); });
  await new Promise(done => setTimeout(done, 300));
  const win = frame.contentWindow, doc = frame.contentDocument, all = s => [...doc.querySelectorAll(s)];
  const still = doc.createElement("style");
  still.textContent = "* { transition: none !important; animation: none !important }";
  doc.head.append(still);
  doc.body.setAttribute("data-md-color-scheme", scheme);
  await new Promise(done => setTimeout(done, 400));
  const words = all("article p, article a:not(.headerlink), article td, article h2").slice(0, 80);
  const skip = doc.querySelector("a.md-skip");
  skip.focus();
  const result = {
    overflow: doc.documentElement.scrollWidth - doc.documentElement.clientWidth,
    contrast: Math.min(...words.map(e => contrast(win, e))), words: words.length,
    skips: doc.activeElement === skip && doc.querySelector(skip.hash) !== null,
    mains: all("main").length, navs: all("nav[aria-label]").length, titles: all("h1").length,
    unlabelled: all("button, input:not([type=hidden]):not(.md-toggle):not(.md-nav__toggle)")
      .filter(e => !(e.textContent.trim() || e.ariaLabel || e.title || e.placeholder || e.labels?.length)).length,
    trapped: all("[tabindex]").filter(e => e.tabIndex > 0).length,
    pictures: all("article img").filter(e => e.naturalWidth === 0).length,
  };
  frame.remove();
  return result;
}
(async () => {
  for (const name of names) for (const width of [360, 1280]) for (const scheme of ["default", "slate"])
    seen[[name, width, scheme].join(" ")] = await look(name, width, scheme);
  document.getElementById("result").textContent = JSON.stringify(seen);
})();
</script>"""

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not SITE.exists(), reason="there is no site: make docs builds it"),
]


class Loads(HTMLParser):
    """What a page loads, and what its pictures are called."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.pictures, self.language = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "html":
            self.language = found.get("lang")
        if tag == "link" and found.get("rel") in {"canonical", "prev", "next"}:
            return  # it is said, not loaded
        if LOADED.get(tag) in found:
            self.loads.append(found[LOADED[tag]])
        if tag == "img":
            self.pictures.append(found.get("alt", ""))


def pages():
    return {path: Loads(path.read_text()) for path in SITE.rglob("*.html")}


def test_every_page_was_built():
    missing = [name for name in navigation() if not (SITE / name).with_suffix(".html").exists()]
    assert missing == []


def test_no_page_loads_anything_from_elsewhere():
    found = pages()
    assert sum(len(page.loads) for page in found.values()) > 100
    foreign = re.compile(r"^([a-z]+:)?//|^[a-z]+:(?!//)")
    assert {url for page in found.values() for url in page.loads if foreign.match(url)} == set()


def test_what_pages_load_is_there():
    missing = {
        (str(path.relative_to(SITE)), url)
        for path, page in pages().items()
        if path.name != "404.html"
        for url in page.loads
        if not (path.parent / url.partition("#")[0].partition("?")[0]).exists()
    }
    assert missing == set()


def test_no_style_loads_anything_from_elsewhere():
    styles = list(SITE.rglob("*.css"))
    assert styles
    for path in styles:
        loads = re.findall(r"(?:@import\s*|url\()[\"']?([^\"')]+)", path.read_text())
        assert [url for url in loads if not url.startswith(("data:", "#"))] == []


def test_pages_say_their_language_and_what_pictures_show():
    for page in pages().values():
        assert page.language == "en"
        assert [alt for alt in page.pictures if len(alt) < 20] == []


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: the site is not looked at")
    harness = SITE / "looked-at.html"
    harness.write_text(HARNESS.replace("NAMES", json.dumps(LOOKED_AT)))
    try:
        with internet() as nothing:
            options = ("--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=60000")
            found = visit(harness.as_uri(), nothing, tmp_path_factory.mktemp("profile"), *options)
    finally:
        harness.unlink()
    shown = re.search(r'<pre id="result">(.+?)</pre>', found.document, re.DOTALL)
    assert shown, found.console
    return json.loads(shown[1]), nothing.asked


def test_the_browser_asks_nobody(looked):
    assert looked[1] == []


@pytest.mark.parametrize("name", LOOKED_AT)
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["default", "slate"])
def test_a_page_can_be_read(looked, name, width, scheme):
    seen = looked[0][f"{name} {width} {scheme}"]
    assert seen["overflow"] <= 0
    assert seen["words"] > 3
    assert seen["contrast"] >= 4.5, "WCAG 2.2, 1.4.3"
    assert seen["pictures"] == 0


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_page_can_be_used_without_a_mouse(looked, name):
    seen = looked[0][f"{name} 1280 default"]
    assert seen["skips"]
    assert (seen["mains"], seen["titles"], seen["trapped"], seen["unlabelled"]) == (1, 1, 0, 0)
    assert seen["navs"] >= 2


def whitepaper(file):
    argv = [PYTHON, "-m", "tests.documentation.whitepaper", file]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "SOURCE_DATE_EPOCH": "1770000000"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return file.read_bytes()


def test_the_whitepaper_is_the_same_twice_and_has_the_sources_date(tmp_path):
    first, second = (whitepaper(tmp_path / name) for name in ("1.pdf", "2.pdf"))
    assert first.startswith(b"%PDF-")
    assert first == second
    assert set(re.findall(rb"/(?:Creation|Mod)Date \((.{16})", first)) == {b"D:20260202024000"}


def test_links_in_the_whitepaper_lead_to_places_in_it(tmp_path):
    text = whitepaper(tmp_path / "paper.html").decode()
    places = set(re.findall(r'\bid="([^"]+)"', text))
    targets = re.findall(r'<a href="([^"]*)"', text)
    assert len(targets) > 30
    assert [one for one in targets if not one.startswith("https://") and one.removeprefix("#") not in places] == []
    assert re.findall(r'src="file://([^"]+)"', text) != []
    listed = re.findall(r"^\d+\. \[", Page(ROOT / "docs/whitepaper.md").text, re.MULTILINE)
    assert text.count("<section id=") == len(listed) + 1
