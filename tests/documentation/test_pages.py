"""Every page is in the navigation, and every link and anchor leads somewhere: in a checkout and in the site."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from xml.etree import ElementTree as ET

import pytest

from tests.documentation import decisions
from tests.documentation.pages import BESIDE, ROOT, Page, in_site, navigation, plain, slug, sources
from tests.documentation.source import FILES, lay_out, led

PAGES = [Page(path) for path in (*sources(), ROOT / "README.md")]
PICTURES = sorted((ROOT / "docs").rglob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(ROOT)))


def page_of(tmp_path, text):
    (tmp_path / "page.md").write_text(text)
    return Page(tmp_path / "page.md")


def test_every_page_is_in_the_navigation_once():
    named = Counter(navigation())
    assert {name for name, times in named.items() if times > 1} == set()
    assert set(named) == {in_site(path) for path in sources()}


@every_page
def test_a_page_has_one_title_and_its_headings_go_down_step_by_step(page):
    levels = [level for level, _ in page.headings]
    assert levels[:1] == [1]
    assert levels.count(1) == 1
    assert [b for a, b in itertools.pairwise(levels) if b > a + 1] == []


@every_page
def test_links_lead_somewhere(page):
    assert [link.target for link in page.links if not link.leaves and not page.leads_to(link).exists()] == []


@every_page
def test_anchors_are_there_once(page):
    """One that is there twice has another name on a forge than in the site."""
    wrong = []
    for link in page.links:
        if link.anchor and not link.leaves:
            found = Page(page.leads_to(link)).anchors[link.anchor] if link.path.endswith((".md", "")) else 0
            wrong += [link.target] if found != 1 else []
    assert wrong == []


@every_page
def test_links_out_of_the_repository_are_https(page):
    assert [link.target for link in page.links if link.leaves and not link.target.startswith("https://")] == []


@every_page
def test_pictures_are_told_in_words(page):
    assert [link.target for link in page.links if link.is_picture and len(link.text) < 20] == []


@every_page
def test_links_say_where_they_lead(page):
    vague = {"", "here", "click here", "this", "link"}
    assert [link.target for link in page.links if plain(link.text).lower() in vague] == []


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_drawings_load_nothing_and_are_told_in_words(path):
    root = ET.fromstring(path.read_text())  # noqa: S314 - it is ours
    assert {element.tag for element in root.iter()} & {f"{SVG}script", f"{SVG}image", f"{SVG}foreignObject"} == set()
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    if path.parent.name == "pictures":
        assert root.get("role") == "img"
        assert len(root.find(f"{SVG}title").text) > 5
        assert len(root.find(f"{SVG}desc").text) > 100


def test_every_decision_is_in_the_list_under_its_title():
    assert decisions.INDEX.read_text() == decisions.index(decisions.INDEX.read_text()), (
        "run: python -m tests.documentation.decisions"
    )


def test_every_decision_has_a_number_of_its_own():
    numbers = [(page.path.name.partition("-")[0], page.title.partition(".")[0]) for page in decisions.records()]
    assert [file for file, title in numbers if not file.isdigit() or int(file) != int(title)] == []
    assert len({file for file, _ in numbers}) == len(numbers)


def test_what_the_site_is_made_of_has_every_page_and_no_link_that_leaves_it(tmp_path):
    lay_out(tmp_path / "site")
    docs = tmp_path / "site/docs"
    for name in navigation():
        page = Page(docs / name)
        inside = [link for link in page.links if not link.leaves]
        assert [link.target for link in inside if docs not in page.leads_to(link).parents] == []
        assert [link.target for link in inside if not page.leads_to(link).exists()] == []
    settings = json.loads((tmp_path / "site/mkdocs.yml").read_text())
    assert navigation(settings["nav"]) == navigation()
    assert not any("*" in name for name in navigation())
    assert {(docs / name).exists() for name in BESIDE.values()} == {True}
    assert (docs / FILES / "examples/service.py").read_bytes() == (ROOT / "examples/service.py").read_bytes()


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("What is trusted, what is checked, what is tried", "what-is-trusted-what-is-checked-what-is-tried"),
        ("`vitrine proxy`: for programs", "vitrine-proxy-for-programs"),
        ("1. Bake, boot", "1-bake-boot"),
        ("Who may ask & why", "who-may-ask--why"),
        ("A [link](x.md) in *it*", "a-link-in-it"),
        ("under_scores stay", "under_scores-stay"),
    ],
)
def test_anchors_are_named_as_forges_name_them(heading, anchor):
    assert slug(heading) == anchor


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# a\n[x](nowhere.md)\n", ["nowhere.md"]),
        ("# a\n`[x](code.md)`\n```sh\n[x](fence.md)\n```\n", []),
        ("# a\n[`x`](y.md#z) and ![p](q.svg)\n", ["y.md#z", "q.svg"]),
    ],
)
def test_links_are_found_outside_of_code_alone(tmp_path, text, told):
    assert [link.target for link in page_of(tmp_path, text).links] == told


def test_a_missing_anchor_would_be_noticed(tmp_path):
    page = page_of(tmp_path, "# a\n## b\n## c\n## c\n```\n## d\n```\n")
    assert [page.anchors[name] for name in ("a", "b", "c", "d")] == [1, 1, 2, 0]


def test_links_that_leave_the_pages_lead_to_a_copy():
    text, needed = led(Page(ROOT / "docs/conformance.md"), "conformance.md")
    assert "](files/client_sdk/conformance/schemas/snp.schema.json)" in text
    assert ROOT / "client_sdk/conformance/schemas/snp.schema.json" in needed
    assert "](conformance/snp.md)" in text


def test_code_is_not_rewritten():
    text, _ = led(Page(ROOT / "SECURITY.md"), "security.md")
    assert "](roadmap.md#what-must-not-be-trusted-yet)" in text
    assert "](changelog.md)" in text
    page = Page(ROOT / "docs/client.md")
    assert led(page, "client.md")[0].count("```") == page.text.count("```")
