"""The page of a report: whatever the report says, it is one well-formed file that loads and runs nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise

import pytest

from client_sdk.errors import (
    AttestationError,
    EvidenceError,
    Failure,
    FetchError,
    PolicyError,
    VerificationError,
    printable,
)
from client_sdk.page import Heading, render
from client_sdk.page.address import Address
from client_sdk.page.faults import State
from client_sdk.page.markup import MAX_SHOWN, tag, text
from client_sdk.report import Check, Report, refusal
from tests.fakes.reports import HOSTILE, ORIGIN, TDX, confidential, hostile, judged, refused_error

WHEN = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
LOCAL = Heading(ORIGIN, "simulated platform, proves nothing about the host", WHEN, simulated=True)
PRODUCTION = Heading(ORIGIN, "production", WHEN)
VOID = {"meta"}
ELEMENTS = """html head meta title style body header main footer section div p span strong a ul ol li dl dt dd code pre
time table thead tbody tr th td details summary h1 h2 h3 svg g path rect circle text desc"""
ATTRIBUTES = """lang charset http-equiv content name class id href role aria-label aria-labelledby tabindex datetime
scope open data-label viewbox x y width height rx cx cy r d transform"""


class Page(HTMLParser):
    """Reads a page and refuses what is not nested; keeps every element with its text."""

    def __init__(self, data: bytes):
        super().__init__(convert_charrefs=True)
        self.stack, self.elements, self.odd = [], [], []
        self.feed(data.decode())
        self.close()
        assert self.stack == []

    def handle_starttag(self, name, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of {name} is given twice"
        element = {"name": name, "attrs": dict(attrs), "text": "", "path": [e["name"] for e in self.stack]}
        self.elements.append(element)
        if name not in VOID:
            self.stack.append(element)

    def handle_endtag(self, name):
        assert self.stack.pop()["name"] == name

    def handle_data(self, data):
        for element in self.stack:
            element["text"] += data

    def handle_comment(self, data):
        self.odd.append(data)

    def handle_pi(self, data):
        self.odd.append(data)

    def unknown_decl(self, data):
        self.odd.append(data)

    def all(self, name, **attrs):
        wanted = {key.rstrip("_"): value for key, value in attrs.items()}
        return [e for e in self.elements if e["name"] == name and wanted.items() <= e["attrs"].items()]

    def by_id(self, name):
        (found,) = [e for e in self.elements if e["attrs"].get("id") == name]
        return found


def error(make, *arguments, **options):
    return lambda: (refusal(found := make(*arguments, **options)), LOCAL, found)


def attacked(attack):
    found = refused_error(attack)
    return refusal(found), LOCAL, found


PAGES = {
    "accepted": lambda: (judged().report, LOCAL, None),
    "verified": lambda: (judged().evidence.report, LOCAL, None),
    "confidential": lambda: (confidential(), PRODUCTION, None),
    "confidential-tdx-without-gpu": lambda: (confidential(TDX, gpu=()), PRODUCTION, None),
    "confidential-refused": lambda: (confidential(failed="T2.13"), PRODUCTION, None),
    "saved": lambda: (judged().report, replace(LOCAL, saved=True), None),
    "hostile": lambda: (hostile(), Heading(HOSTILE, HOSTILE, WHEN), EvidenceError(HOSTILE, HOSTILE)),
    "hostile-evidence": error(EvidenceError, HOSTILE, HOSTILE),
    "hostile-rule": error(VerificationError, HOSTILE, HOSTILE, expected=HOSTILE, got=HOSTILE),
    "hostile-failure": error(PolicyError, (Failure(f"L1: {HOSTILE}", HOSTILE, HOSTILE), Failure(HOSTILE, "", ""))),
    "unreachable": error(FetchError, "no answer"),
    "nothing": lambda: (Report("refused", ()), PRODUCTION, AttestationError("?")),
    "empty": lambda: (Report("accepted", ()), PRODUCTION, None),
    **{f"refused-{name}": (lambda name=name: attacked(name)) for name in ("sign", "certificate", "release")},
    **{f"refused-{name}": (lambda name=name: attacked(name)) for name in ("publisher", "evidence")},
}


@cache
def made(name):
    return PAGES[name]()


def rendered(name):
    report, heading, found = made(name)
    return render(report, heading, error=found)


def page_of(report, heading=PRODUCTION, **options):
    return Page(render(report, heading, **options))


@pytest.fixture(scope="module", params=PAGES)
def data(request):
    return rendered(request.param)


@pytest.fixture(scope="module")
def page(data):
    return Page(data)


def test_only_known_elements_and_attributes_are_there(page):
    assert {e["name"] for e in page.elements} <= set(ELEMENTS.split())
    assert {name for e in page.elements for name in e["attrs"]} <= set(ATTRIBUTES.split())
    assert page.odd == []


def test_the_page_is_a_standard_document(data, page):
    assert data.startswith(b'<!doctype html>\n<html lang="en">')
    assert [e["name"] for e in page.elements if len(e["path"]) == 1] == ["head", "body"]
    assert [e["name"] for e in page.elements if e["path"] == ["html", "body"]] == ["a", "header", "main", "footer"]
    assert page.all("title")[0]["text"].endswith(" (Vitrine)")


def test_ids_are_unique_and_every_link_leads_to_one(page):
    ids = [e["attrs"]["id"] for e in page.elements if "id" in e["attrs"]]
    assert len(set(ids)) == len(ids)
    targets = [e["attrs"]["href"] for e in page.all("a")]
    assert all(target.startswith("#") for target in targets)
    assert {target[1:] for target in targets} <= set(ids)
    labels = {name for e in page.elements for name in e["attrs"].get("aria-labelledby", "").split()}
    assert labels <= set(ids)


def test_headings_are_in_order(page):
    levels = [int(e["name"][1]) for e in page.elements if re.fullmatch(r"h\d", e["name"])]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_the_policy_lets_a_browser_use_the_style_and_nothing_else(page):
    (meta,) = [e for e in page.all("meta") if e["attrs"].get("http-equiv") == "Content-Security-Policy"]
    (style,) = page.all("style")
    digest = base64.b64encode(hashlib.sha256(style["text"].encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert meta["attrs"]["content"] == allowed
    before = page.elements[: page.elements.index(meta)]
    assert [e["name"] for e in before] == ["html", "head", "meta"], "nothing stands before the policy but the charset"
    assert not re.search(r"url\(|@import|expression|image-set|http", style["text"])
    assert style["path"] == ["html", "head"]


def test_nothing_invisible_is_in_the_page(data):
    characters = set(data.decode()) - {"\n"}
    assert [c for c in characters if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}] == []


def test_no_information_by_colour_alone(page):
    for mark in page.all("span"):
        if "mark" in mark["attrs"].get("class", ""):
            assert mark["attrs"]["role"] == "img"
            assert mark["text"] == {"holds": "✓", "does not hold": "✕"}.get(mark["attrs"]["aria-label"], mark["text"])
            assert mark["attrs"]["aria-label"] in {state.value for state in State}
            assert mark["text"] in "✓✕≠?-…"


def test_the_json_in_the_page_is_the_report(request, data, page):
    report, heading, found = made(request.node.callspec.params["data"])
    assert page.by_id("json")["path"][-2:] == ["details", "pre"]
    assert json.loads(page.by_id("json")["text"]).keys() == report.as_dict().keys()
    machine = {**report.as_dict(), "origin": heading.origin}
    again = Page(render(report, heading, machine=machine, error=found))
    assert json.loads(again.by_id("json")["text"]) == machine


def test_every_check_is_there_once_and_opens_to_everything(request, page):
    report, _, _ = made(request.node.callspec.params["data"])
    assert len(page.all("details")) == len(report.checks) + 1
    for number, check in enumerate(report.checks, start=1):
        details = page.by_id(f"check-{number}")
        shown = re.sub(r"\s+", " ", details["text"])
        for found in (check.id, check.what, *(check.as_dict()[name] for name in ("expected", "got"))):
            assert re.sub(r"\s+", " ", printable(found[:MAX_SHOWN])) in shown
        assert ("open" in details["attrs"]) is not check.passed
        digests = dict(report.sources).get(report.source(check), ())
        assert all(digest.hex() in shown for digest in digests[:4])


@pytest.mark.parametrize("name", ["hostile", "hostile-evidence", "hostile-rule", "hostile-failure"])
def test_hostile_text_stays_text(name):
    page = Page(rendered(name))
    harmless = Page(rendered("accepted"))
    assert {e["name"] for e in page.elements} <= {e["name"] for e in harmless.elements} | {"ol"}
    assert printable(HOSTILE)[:20] in "".join(e["text"] for e in page.elements if e["name"] == "body")
    for element in page.elements:
        assert not any(name.startswith("on") for name in element["attrs"])
        for attribute in element["attrs"].keys() - {"content", "aria-label"}:
            assert "evil" not in (element["attrs"][attribute] or "")


@pytest.mark.parametrize(
    "character", ["\0", "\x1b", "\x7f", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\u2028"]
)
def test_characters_that_deceive_are_spelled_out(character):
    spelled = character.encode("unicode_escape").decode()
    assert text(f"a{character}b") == f"a{spelled}b"
    assert tag("p", title=f"a{character}b") == f'<p title="a{spelled}b"></p>'


def test_other_writings_are_left_alone():
    assert text("Grüße, 日本語, עברית, 🙂") == "Grüße, 日本語, עברית, 🙂"
    assert text("\U000e0041") == "\\U000e0041"


@pytest.mark.parametrize("attack", ["<b>", '"', "'", "&lt;", "</style>", "</title>", "]]>", "<!--"])
def test_markup_is_escaped_in_text_and_attributes(attack):
    parser = Page(tag("p", text(attack), class_=attack).encode())
    assert [(e["name"], e["text"], e["attrs"]["class"]) for e in parser.elements] == [("p", attack, attack)]


def test_a_long_value_is_cut_and_the_json_has_all_of_it():
    long = "x" * 100_000
    report = Report("refused", (Check("Q6.2", "the signature", long, b"\xaa" * 50_000, passed=False),))
    page = page_of(report)
    assert json.loads(page.by_id("json")["text"])["checks"][0]["expected"] == long
    shown = page.by_id("check-1")["text"]
    assert len(shown) < 3 * MAX_SHOWN
    assert "(100000 characters; the JSON at the end has all of them)" in shown


@pytest.mark.parametrize(
    ("name", "title", "lead"),
    [
        ("accepted", "Accepted", "But its TPM is simulated"),
        ("confidential", "Accepted", "is what its publisher released"),
        ("verified", "Verified only", "compared with no release"),
        ("refused-sign", "Refused", "Send nothing"),
        ("unreachable", "No verdict", "Nothing was learned"),
        ("hostile", "Unknown verdict", ""),
    ],
)
def test_the_verdict_in_words(name, title, lead):
    page = Page(rendered(name))
    assert page.all("h1")[0]["text"][1:] == title
    assert page.all("title")[0]["text"].startswith(f"{title}: ")
    assert lead in page.all("header")[0]["text"]


def test_the_top_says_what_where_and_when():
    top = Page(rendered("accepted")).all("header")[0]["text"]
    for found in (ORIGIN, "2026-01-31 12:00:00 UTC", "simulated platform, proves nothing", "number 1", "vitrine"):
        assert found in top.replace("\n", "")


def test_a_simulated_platform_says_that_it_proves_nothing_about_the_host():
    says = "Simulated platform: this proves nothing about the host."
    for name in ("accepted", "refused-sign", "verified"):
        assert says in Page(rendered(name)).all("header")[0]["text"]
    assert says not in Page(rendered("confidential")).all("header")[0]["text"]
    report = judged().report
    assert says in page_of(report, PRODUCTION).all("header")[0]["text"], (
        "the report says so, whoever asked for the page"
    )


def test_the_release_leads_to_its_log_where_that_is_given():
    report, heading, _ = made("accepted")
    facts = dict(report.facts)
    address = f"https://log.example/x/index.html#release-{facts['release']}-{facts['manifest_sha256'].hex()[:16]}"
    page = page_of(report, replace(heading, log_page=Address("https://log.example/x/")))
    (link,) = [e for e in page.all("a") if not e["attrs"]["href"].startswith("#")]
    assert (link["attrs"]["href"], link["text"]) == (address, "in its log")
    assert "header" in link["path"]


@pytest.mark.parametrize("name", ["hostile", "verified", "unreachable", "nothing"])
def test_a_report_without_a_release_leads_nowhere(name):
    report, heading, found = made(name)
    page = page_of(report, replace(heading, log_page=Address("https://log.example")), error=found)
    assert [e for e in page.all("a") if not e["attrs"]["href"].startswith("#")] == []


def test_saved_evidence_says_nothing_about_now():
    assert "this says nothing about now" in Page(rendered("saved")).all("header")[0]["text"]
    assert "this says nothing about now" not in Page(rendered("accepted")).all("header")[0]["text"]


def test_what_is_shown_and_what_is_not():
    local, full = (Page(rendered(name)).all("header")[0]["text"] for name in ("accepted", "confidential"))
    assert "anything about the host" in local
    assert "as far as its software TPM is honest" in local
    assert "anything about a GPU: none was attested" in local
    assert "A genuine CPU says" in full
    assert "A genuine GPU" in full
    assert "none was attested" not in full
    assert "that there is no newer release" in full
    for said in ("the release pins no firmware", "the release pins no ACPI tables"):
        assert said in local
    assert "This shows" not in Page(rendered("refused-release")).all("header")[0]["text"]


@pytest.mark.parametrize("rule", ["Q6.2", "Q3", "K1.1", "Q8.3", "L1.15", "L7.pcr9"])
def test_nothing_is_shown_of_a_boot_when_a_link_below_it_is_missing(rule):
    report = made("accepted")[0]
    claims = ("booted exactly the image", "was made in that boot")
    assert all(claim in page_of(report).all("header")[0]["text"] for claim in claims)
    family = rule.rstrip("0123456789") if "pcr" in rule else rule
    left = tuple(check for check in report.checks if not check.id.startswith(family))
    top = page_of(replace(report, checks=left)).all("header")[0]["text"]
    assert not any(claim in top for claim in claims)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("refused-sign", ("Q6.2", "expected", "valid", "another key's", "Do not use the service")),
        ("refused-publisher", ("R1", "expected", "got", "Get the publisher's key from the publisher")),
        ("refused-certificate", ("C3.1", "expected", "Somebody stands between you and the machine")),
        ("refused-release", ("L1.pcr4", "L7.pcr9", "01" * 32, "During a rollout give both")),
        ("refused-evidence", ("not JSON", "update this client")),
        ("unreachable", ("no answer", "--wait")),
        ("nothing", ("?", "Do not use the service")),
    ],
)
def test_a_refusal_says_what_failed_and_what_to_do(name, says):
    failed = Page(rendered(name)).by_id("failed")["text"]
    assert [word for word in says if word not in failed] == []


def test_nothing_failed_where_nothing_did():
    assert [e for e in Page(rendered("accepted")).elements if e["attrs"].get("id") == "failed"] == []


def test_a_check_that_no_link_has_a_place_for_is_still_shown():
    report = judged().report
    odd = Check("X9.1", "of another time", 1, 2, passed=False)
    page = page_of(replace(report, checks=(*report.checks, odd)))
    assert "of another time" in page.by_id("elsewhere")["text"]
    assert "of another time" in page.by_id("failed")["text"]


def test_the_table_of_pcrs():
    page = Page(rendered("refused-release"))
    quoted = dict(made("refused-release")[0].facts)["pcrs"]
    rows = (re.match(r"(\S) (\d+)", row["text"]) for row in page.all("tr"))
    by_pcr = {int(row[2]): row.string for row in rows if row}
    assert by_pcr.keys() == quoted.keys()
    assert all(quoted[pcr].hex() in row for pcr, row in by_pcr.items())
    assert {pcr for pcr, row in by_pcr.items() if row.startswith("✕")} == {4, 9}
    assert "01" * 32 in by_pcr[4]
    assert "the image, a UKI, that the firmware started" in by_pcr[4]
    assert "the same value" in by_pcr[7]
    assert "the release pins no firmware" in by_pcr[0]
    assert "the release pins no ACPI tables" in by_pcr[1]
    assert {pcr for pcr, row in by_pcr.items() if row.startswith("…")} == {0, 1}


def test_pcrs_of_a_report_without_facts_come_from_its_checks():
    report = made("refused-release")[0]
    page = page_of(replace(report, facts=()))
    assert dict(report.facts)["pcrs"][4].hex() in page.by_id("pcrs")["text"]


def test_facts_what_was_not_run_and_sources():
    report = made("accepted")[0]
    page = Page(rendered("accepted"))
    assert "UEFI Misc Device" in page.by_id("facts")["text"]
    assert "there is no CPU TEE on this platform" in page.by_id("not-run")["text"]
    listed = page.by_id("sources")["text"]
    assert [name for name, _ in report.sources if name.replace("_", " ") not in listed] == []
    assert dict(report.sources)["event_log"][0].hex() in listed


def style_of(*sheets):
    return "".join(resources.files("client_sdk.page").joinpath(name).read_text() for name in sheets)


def colours(style, theme):
    """Return the custom properties of a theme, the light ones where the dark theme says nothing."""
    blocks = re.findall(r":root \{([^}]*)\}", style)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[0]))
    return found if theme == "light" else found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[1]))


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "backs"),
    [
        ("ink", ("page", "card", "idle-back", "glass")),
        ("soft", ("page", "card", "glass", "idle-back")),
        ("link", ("page", "card", "idle-back")),
        ("ok", ("card", "ok-back")),
        ("bad", ("card", "bad-back")),
        ("idle", ("card", "idle-back")),
        ("warn", ("warn-back",)),
    ],
)
def test_text_has_contrast(theme, ink, backs):
    found = colours(style_of("base.css"), theme)
    for back in backs:
        lighter, darker = sorted((luminance(found[ink]), luminance(found[back])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, back


def test_the_style_has_no_colour_that_the_themes_do_not_know():
    style = style_of("base.css", "style.css")
    rules = re.sub(r":root \{[^}]*\}", "", style)
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b(?!\w*[ ,{])", rules)) <= {"#fff"}, "white paper only"
