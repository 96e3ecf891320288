"""The pages of a log in a browser: they render, fit, open, are walked by keyboard, and ask the network for nothing."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from client_sdk.transparency.log.page import render
from tests.client_sdk.test_page import Page
from tests.fakes.browser import CHROMIUM, QUIET, internet, screenshot, visit
from tests.fakes.public_logs import ADDRESS, hostile, overview, pages

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the pages are not looked at")

SITES = {"story": pages(), "hostile": render(hostile(), ADDRESS), "empty": render(overview(()), ADDRESS)}
NAMES = [f"{site}/{path}" for site, files in SITES.items() for path in files if path.endswith(".html")]
WIDTHS = (320, 360, 1200)
HARNESS = """<!doctype html><meta charset="utf-8"><pre id="result"></pre><script>
const seen = {};
async function load(name, width) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 900; frame.src = "/" + name;
  await new Promise(done => { frame.onload = done; document.body.append(frame); });
  return frame;
}
async function look(name, width) {
  const frame = await load(name, width);
  const doc = frame.contentDocument, style = e => frame.contentWindow.getComputedStyle(e);
  const all = s => [...doc.querySelectorAll(s)];
  const closed = doc.querySelector("details:not([open]) summary");
  if (closed) closed.click();
  const stops = all("a[href], summary, pre[tabindex='0']");
  const reached = stops.filter(e => { e.focus(); return doc.activeElement === e; });
  const outlined = stops.filter(e => { e.focus({focusVisible: true}); return style(e).outlineStyle !== "none"; });
  const copy = doc.querySelector(".copy");
  const found = {
    elements: all("*").length, scripts: all("script").length,
    opened: closed ? closed.parentElement.open : null,
    overflow: doc.documentElement.scrollWidth - width,
    wide: all("body *").filter(e => e.getBoundingClientRect().right > width + 1).length,
    styled: style(doc.querySelector("header")).borderTopWidth,
    stops: stops.length, reached: reached.length, outlined: outlined.length,
    heads: all("thead").map(e => style(e).display),
    marked: copy ? style(copy).userSelect : "all",
  };
  frame.remove();
  return found;
}
async function walk() {
  const frame = await load("story/index.html", 1200);
  const click = async selector => {
    const link = frame.contentDocument.querySelector(selector);
    const loaded = new Promise(done => { frame.onload = done; });
    link.dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true}));
    await loaded;
    return frame.contentWindow.location.pathname;
  };
  const release = await click("tbody th a");
  const older = await click("header nav a[href^='5']");
  return [release, older, await click("header nav a[href$='index.html']")];
}
(async () => {
  for (const name of NAMES) for (const width of WIDTHS) seen[name + " " + width] = await look(name, width);
  seen.walk = await walk();
  document.getElementById("result").textContent = JSON.stringify(seen);
  document.title = "done";
})();
</script>"""


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """Look at pages in frames of three widths, all in one visit."""
    files = {f"{site}/{path}": data for site, files in SITES.items() for path, data in files.items()}
    harness = HARNESS.replace("NAMES", json.dumps(NAMES)).replace("WIDTHS", json.dumps(WIDTHS))
    with internet(**files, harness=harness.encode()) as server:
        profile = tmp_path_factory.mktemp("profile")
        found = visit("http://page.test/harness", server, profile, "--dump-dom", "--virtual-time-budget=60000")
    shown = re.search(r'<pre id="result">(.*?)</pre>', found.document, re.DOTALL)
    assert shown, found.document[:2000]
    return json.loads(shown[1].replace("&amp;", "&")), found.console, server.asked


def test_nothing_is_requested_but_the_pages_and_the_console_is_silent(looked):
    _, console, asked = looked
    assert console == []
    assert set(asked) == {f"http://page.test/{name}" for name in (*NAMES, "harness")}


@pytest.mark.parametrize("name", NAMES)
def test_the_browser_reads_a_page_as_it_was_written(looked, name):
    seen = looked[0][f"{name} 1200"]
    site, _, path = name.partition("/")
    assert (seen["elements"], seen["scripts"]) == (len(Page(SITES[site][path]).elements), 0)
    assert seen["styled"] == "8px", "the policy lets the style in"
    assert seen["opened"] in {True, None}
    assert seen["marked"] == "all", "one click marks a digest whole"


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_can_be_used_can_be_reached_by_keyboard_and_is_seen_then(looked, name):
    seen = looked[0][f"{name} 1200"]
    assert seen["stops"] > 3
    assert seen["reached"] == seen["stops"]
    assert seen["outlined"] == seen["stops"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits(looked, name, width):
    seen = looked[0][f"{name} {width}"]
    assert seen["overflow"] <= 0, "nothing sticks out to the right"
    assert seen["wide"] == 0
    assert set(seen["heads"]) <= {"none" if width < 700 else "table-header-group"}


def test_one_can_walk_from_the_log_to_a_release_to_the_one_before_and_back(looked):
    assert looked[0]["walk"] == ["/story/release/6.html", "/story/release/5.html", "/story/index.html"]


def test_paper_has_everything_that_can_be_opened(tmp_path):
    """What is closed on a screen is printed: paper cannot be clicked on."""
    file, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    file.write_bytes(SITES["story"]["release/5.html"])
    with internet() as nothing:
        visit(file.as_uri(), nothing, tmp_path / "profile", f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    assert paper.read_bytes()[:5] == b"%PDF-"
    shown = paper_of(file, tmp_path, "closed") / max(1, paper_of(file, tmp_path, "opened"))
    assert 0.98 < shown < 1.02, "as many pages as with everything open"


def paper_of(file, folder, how):
    """Count pages of paper, with all details open or as they are written."""
    data = file.read_bytes()
    if how == "opened":
        data = re.sub(rb"<details(?! open)([^>]*?)(?: open=\"\")?>", rb'<details\1 open="">', data)
    copy, paper = folder / f"{how}.html", folder / f"{how}.pdf"
    copy.write_bytes(data)
    with internet() as nothing:
        visit(copy.as_uri(), nothing, folder / how, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    return len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_follows_the_readers_light_or_dark(tmp_path, dark):
    file, picture = tmp_path / "page.html", tmp_path / "page.png"
    file.write_bytes(SITES["story"]["index.html"])
    options = ["--blink-settings=preferredColorScheme=0"] if dark else []
    argv = [CHROMIUM, *QUIET, *options, f"--user-data-dir={tmp_path / 'p'}", f"--screenshot={picture}"]
    subprocess.run([*argv, "--window-size=400,300", file.as_uri()], check=True, capture_output=True, timeout=120)
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    screenshot(file, tmp_path / "light.png", tmp_path / "q", size=(400, 300))
    assert ((tmp_path / "light.png").read_bytes() != picture.read_bytes()) is dark
