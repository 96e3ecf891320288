"""The page in a browser: it renders, opens and closes, fits narrow screens, and asks the network for nothing."""

from __future__ import annotations

import json
import re
import struct

import pytest

from tests.client_sdk.test_page import PAGES, Page, made, rendered
from tests.fakes.browser import CHROMIUM, internet, screenshot, visit

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the page is not looked at")

HARNESS = b"""<!doctype html><meta charset="utf-8"><pre id="result"></pre><script>
const seen = {};
async function look(name, width) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 900; frame.src = "/" + name;
  await new Promise(done => { frame.onload = done; document.body.append(frame); });
  const doc = frame.contentDocument, style = e => frame.contentWindow.getComputedStyle(e);
  const all = s => [...doc.querySelectorAll(s)], closed = doc.querySelector("details:not([open]) summary");
  const open = all("details[open]").length;
  if (closed) closed.click();
  const opened = closed ? closed.parentElement.open : null;
  const drawn = all("svg").filter(e => style(e).display !== "none");
  const link = drawn[0].querySelector("a[href='#link-quote']");
  link.focus();
  const focused = doc.activeElement === link;
  link.dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true}));
  await new Promise(done => setTimeout(done, 50));
  return {
    elements: all("*").length, scripts: all("script").length, open, opened, focused,
    target: (doc.querySelector(":target") || {}).id || "",
    overflow: doc.documentElement.scrollWidth - width,
    pictures: drawn.map(e => e.getAttribute("class")),
    styled: style(doc.querySelector("header")).borderTopWidth,
    labelled: drawn[0].getBoundingClientRect().width > 0.5 * width,
  };
}
(async () => {
  for (const name of NAMES) for (const width of [360, 1200]) seen[name + " " + width] = await look(name, width);
  document.getElementById("result").textContent = JSON.stringify(seen);
  document.title = "done";
})();
</script>"""
NAMES = (
    "accepted",
    "refused-release",
    "refused-sign",
    "confidential",
    "confidential-refused",
    "hostile",
    "unreachable",
)
LOUD = b"""<!doctype html><meta http-equiv="Content-Security-Policy" content="script-src 'none'">
<script>1</script><img src="http://elsewhere.test/pixel.png"><details open><summary>x</summary>y</details>"""


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """Look at pages in frames of two widths, all in one visit."""
    pages = {name: rendered(name) for name in NAMES}
    pages["harness"] = HARNESS.replace(b"NAMES", json.dumps(NAMES).encode())
    with internet(**pages) as server:
        profile = tmp_path_factory.mktemp("profile")
        found = visit("http://page.test/harness", server, profile, "--dump-dom", "--virtual-time-budget=60000")
    shown = re.search(r'<pre id="result">(.*?)</pre>', found.document, re.DOTALL)
    assert shown, found.document[:2000]
    return json.loads(shown[1].replace("&amp;", "&")), found.console, server.asked


def test_nothing_is_requested_and_the_console_is_silent(looked):
    _, console, asked = looked
    assert console == []
    wanted = {f"http://page.test/{name}" for name in (*NAMES, "harness")}
    assert set(asked) == wanted


def test_a_page_that_asks_and_complains_would_be_noticed(tmp_path):
    with internet(loud=LOUD) as server:
        found = visit("http://page.test/loud", server, tmp_path, "--dump-dom")
    assert "http://elsewhere.test/pixel.png" in server.asked
    assert any("Content Security Policy" in line for line in found.console)


@pytest.mark.parametrize("name", NAMES)
def test_the_browser_reads_the_page_as_it_was_written(looked, name):
    seen = looked[0][f"{name} 1200"]
    assert (seen["elements"], seen["scripts"]) == (len(Page(rendered(name)).elements), 0)
    assert seen["styled"] == "8px", "the policy lets the style in"


@pytest.mark.parametrize("name", NAMES)
def test_failed_checks_are_open_and_the_others_open_at_a_click(looked, name):
    seen, report = looked[0][f"{name} 1200"], made(name)[0]
    assert seen["open"] == sum(not check.passed for check in report.checks)
    assert seen["opened"] is True


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", NAMES)
def test_the_page_fits_and_its_picture_leads_to_the_checks(looked, name, width):
    seen = looked[0][f"{name} {width}"]
    assert seen["overflow"] <= 0, "nothing sticks out to the right"
    assert seen["pictures"] == ["picture narrow" if width == 360 else "picture wide"]
    assert seen["labelled"], "it is as wide as the page"
    assert (seen["focused"], seen["target"]) == (True, "link-quote")


def test_the_document_of_the_browser_has_what_was_written(tmp_path):
    file = tmp_path / "report.html"
    file.write_bytes(rendered("refused-sign"))
    with internet() as nothing:
        found = visit(file.as_uri(), nothing, tmp_path / "profile", "--dump-dom")
    assert (nothing.asked, found.console) == ([], [])
    page = Page(found.document.encode())
    (failed,) = [e for e in page.all("details") if "open" in e["attrs"]]
    assert "Q6.2" in failed["text"]
    assert "Q6.2" in page.by_id("failed")["text"]


def test_a_picture_of_it_is_not_blank(tmp_path):
    file, picture = tmp_path / "report.html", tmp_path / "report.png"
    file.write_bytes(rendered("accepted"))
    screenshot(file, picture, tmp_path / "profile", size=(800, 600))
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (800, 600)
    assert len(data) > 20_000, "an empty page compresses to next to nothing"
    assert set(NAMES) <= PAGES.keys()
