"""The pages of a log: whatever is in the log, well-formed files that load and run nothing, and say what is there."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import unicodedata
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import pairwise
from posixpath import join, normpath

import pytest

from client_sdk import Publisher
from client_sdk.errors import EvidenceError
from client_sdk.page.address import Address
from client_sdk.page.markup import MAX_SHOWN
from client_sdk.transparency.log.page import Named, render
from client_sdk.transparency.log.page.overview import State
from tests.client_sdk.test_page import ATTRIBUTES, ELEMENTS, Page, colours, luminance, style_of
from tests.fakes.public_logs import (
    ADDRESS,
    BEGUN,
    IMAGES,
    LOG,
    NEW_KEYS,
    SCRIPT,
    SEEN,
    WITNESSES,
    bytes_of,
    hostile,
    key_set,
    manifest,
    measurement,
    note_signer,
    overview,
    pages,
    publisher,
    released,
    rotation,
    signed,
    signing_key,
    story,
)

ONE = IMAGES[0]


def one(number, **changed):
    return released(number, ONE, measurement("one"), **changed)


def by_first(value):
    """Sign as the first holders."""
    return signed(value, "anna", "bram")


def debug():
    return by_first(released(1, ONE, measurement("one", debug=True), supersedes=None))


def long_log():
    return [by_first(one(number)) for number in range(1, 31)]


LOGS = {
    "story": overview,
    "empty": lambda: overview(()),
    "hostile": hostile,
    "nobody watched": lambda: overview(by=(), asked=()),
    "not witnessed": lambda: overview(by=()),
    "nothing published": lambda: overview(manifests=()),
    "debug": lambda: overview([debug()]),
    "strangers": lambda: overview([b"x", rotation(), signed(one(1), "elsa"), by_first(one(2))], publishers=[]),
    "many": lambda: overview(long_log()),
    "two publishers": lambda: overview(publishers=[publisher(), named("Another", "elsa")]),
    "no measurement": lambda: overview([by_first(released(1, ONE))]),
}


def named(name, *names, threshold=1):
    return Named(name, Publisher(keys=key_set(names, threshold).keys, threshold=threshold))


@cache
def rendered(name):
    return render(LOGS[name](), ADDRESS)


@cache
def html(name):
    return {path: Page(data) for path, data in rendered(name).items() if path.endswith(".html")}


EVERY = [(name, path) for name in LOGS for path in rendered(name) if path.endswith(".html")]


@pytest.fixture(params=EVERY, ids=" ".join)
def data(request):
    name, path = request.param
    return rendered(name)[path]


@pytest.fixture
def page(data):
    return Page(data)


def text_of(name, path="index.html"):
    return re.sub(r"\s+", " ", html(name)[path].all("body")[0]["text"])


def test_only_known_elements_and_attributes_are_there(page):
    assert {e["name"] for e in page.elements} <= {*ELEMENTS.split(), "nav", "caption"} - {"svg", "path"}
    assert {name for e in page.elements for name in e["attrs"]} <= set(ATTRIBUTES.split())
    assert page.odd == []


def test_the_policy_lets_a_browser_use_the_style_and_nothing_else(page):
    (meta,) = [e for e in page.all("meta") if e["attrs"].get("http-equiv") == "Content-Security-Policy"]
    (style,) = page.all("style")
    digest = base64.b64encode(hashlib.sha256(style["text"].encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert meta["attrs"]["content"] == allowed
    assert not re.search(r"url\(|@import|expression|image-set|http", style["text"])


def test_a_page_has_landmarks_in_order(page):
    outer = [e["name"] for e in page.elements if e["path"] == ["html", "body"]]
    assert [name for name in outer if name != "a"] == ["header", "main", "footer"]
    assert all(e["attrs"]["aria-label"] for e in page.all("nav"))
    assert page.all("html")[0]["attrs"]["lang"] == "en"
    assert page.all("title")[0]["text"].endswith("(Vitrine)")


def test_headings_are_in_order(page):
    levels = [int(e["name"][1]) for e in page.elements if re.fullmatch(r"h\d", e["name"])]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_every_table_has_a_caption_and_headings_for_rows_and_columns(page):
    for table in page.all("table"):
        inside = page.elements[page.elements.index(table) + 1 :]
        assert inside[0]["name"] == "caption"
        assert inside[0]["text"]
    assert {e["attrs"]["scope"] for e in page.all("th")} <= {"col", "row"}
    rows = [e for e in page.all("tr") if "tbody" in e["path"]]
    assert len([e for e in page.all("th") if e["attrs"]["scope"] == "row"]) == len(rows)


def test_ids_are_unique_and_labels_are_there(page):
    ids = [e["attrs"]["id"] for e in page.elements if "id" in e["attrs"]]
    assert len(set(ids)) == len(ids)
    assert {n for e in page.elements for n in e["attrs"].get("aria-labelledby", "").split()} <= set(ids)


def test_nothing_invisible_is_in_the_page(data):
    characters = set(data.decode()) - {"\n"}
    assert [c for c in characters if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}] == []


@pytest.mark.parametrize("name", LOGS)
def test_every_link_leads_to_a_file_of_the_site_and_a_place_in_it(name):
    files, manifests = rendered(name), {f"manifest/{entry}.json" for entry in manifest_names(name)}
    for path, page in html(name).items():
        for link in page.all("a"):
            target, _, place = link["attrs"]["href"].partition("#")
            found = normpath(join(path.rpartition("/")[0], target)) if target else path
            assert found in files or found in manifests, f"{path}: {link['attrs']['href']}"
            if place:
                assert html(name)[found].by_id(place)


def manifest_names(name):
    shelves = LOGS[name]().shelves
    fates = [fate for shelf in shelves for service in shelf.services for fate in service.releases]
    return {fate.entry.release.manifest_sha256.hex() for fate in fates if fate.entry.manifest}


@pytest.mark.parametrize("name", LOGS)
def test_the_same_log_has_the_same_bytes(name):
    assert render(LOGS[name](), ADDRESS) == rendered(name)


def test_the_order_of_the_manifests_changes_nothing():
    assert pages(manifests=IMAGES[::-1]) == rendered("story")


@pytest.mark.parametrize("path", [path for name, path in EVERY if name == "hostile"])
def test_hostile_names_stay_text(path):
    page = html("hostile")[path]
    harmless = {e["name"] for one in html("story").values() for e in one.elements}
    assert {e["name"] for e in page.elements} <= harmless
    assert SCRIPT[:40] in page.all("body")[0]["text"]
    for element in page.elements:
        assert not any(name.startswith("on") for name in element["attrs"])
        for attribute in element["attrs"].keys() - {"content", "aria-label"}:
            assert "evil" not in (element["attrs"][attribute] or "")


def shell(page):
    return [pre["text"] for pre in page.all("pre") if pre["attrs"]["aria-label"].startswith("shell")]


@pytest.mark.parametrize("path", [path for name, path in EVERY if name == "hostile"])
def test_hostile_names_run_nothing_in_a_shell(path):
    joined = "\n".join(shell(html("hostile")[path])).replace("\\\n", " ")
    for line in joined.splitlines():
        words = shlex.split(line)
        assert words[0] in {"vitrine", "curl"}
        assert shlex.join(words).split() == shlex.join(shlex.split(line)).split()
        assert not re.search(r"[;`$<>]", re.sub(r"'[^']*'|\"[^\"]*\"", "", line)), "outside quotes nothing is special"


@pytest.mark.parametrize("name", ["hostile", "story", "nobody watched", "two publishers"])
def test_the_lines_of_python_pin_what_the_page_says(name, tmp_path, monkeypatch):
    found = LOGS[name]()
    for place, key in enumerate(("anna", "bram", "chen"), start=1):
        (tmp_path / f"publisher-{place}.pub").write_bytes(pem(key))
    (tmp_path / "publisher.pub").write_bytes(pem("elsa"))
    monkeypatch.chdir(tmp_path)
    scripts = [e["text"] for e in html(name)["index.html"].all("pre") if e["attrs"]["aria-label"].startswith("Python")]
    assert len(scripts) == len(found.shelves)
    for script, shelf in zip(scripts, found.shelves, strict=True):
        values = {}
        exec(script, values)  # noqa: S102 - what the page tells people to run
        pinned = values["publisher"]
        assert (pinned.log_key, pinned.threshold) == (found.log, shelf.first.threshold)
        assert pinned.witness_keys == tuple(witness.key for witness in found.witnesses)
        assert len(pinned.public_keys) == len(shelf.first.public_keys)


def pem(name):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return signing_key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_first_page_is_last_since_it_leads_to_the_others():
    assert all(list(rendered(name))[-1] == "index.html" for name in LOGS)


def test_every_release_is_there_as_it_was_signed():
    files, entries = rendered("story"), story()
    signed_files = {path: data for path, data in files.items() if path.endswith(".json")}
    assert signed_files == {f"release/{place}.json": entries[place] for place in (0, 1, 2, 3, 5, 6)}


def states(entries, **options):
    (shelf,) = overview(entries, **options).shelves
    (service,) = shelf.services
    return {fate.entry.release.number: fate.state for fate in service.releases}


def test_what_became_of_each_release():
    (shelf,) = overview().shelves
    assistant, embeddings = shelf.services
    assert [(f.entry.release.number, f.state) for f in assistant.releases] == [
        (5, State.NEWEST),
        (4, State.SUPERSEDED),
        (3, State.REVOKED),
        (2, State.SUPERSEDED),
        (1, State.SUPERSEDED),
    ]
    assert [f.state for f in embeddings.releases] == [State.NEWEST], "what one service revokes is not the other's"


def test_a_revoked_release_names_who_revoked_it_and_what_to_use():
    assert "Revoked by its publisher in release 4: clients refuse it. Use release 5." in text_of("story")
    revoked = html("story")["release/3.html"].all("header")[0]["text"]
    assert "Revoked: do not use it." in revoked
    assert "Use release 5." in revoked


def test_a_release_that_revokes_the_newest_leaves_no_successor():
    found = overview([by_first(one(1)), by_first(one(2, revokes=(1, 2)))])
    assert "None follows it." in Page(render(found, ADDRESS)["index.html"]).all("main")[0]["text"]


@pytest.mark.parametrize(
    ("changed", "at", "state"),
    [
        ({"not_after": SEEN}, SEEN, State.ENDED),
        ({"not_after": SEEN + timedelta(minutes=2)}, SEEN, State.NEWEST),
        ({"not_before": SEEN + timedelta(days=1)}, SEEN, State.EARLY),
        ({"not_before": BEGUN, "revokes": (1,)}, SEEN, State.REVOKED),
    ],
)
def test_dates_are_judged_when_the_log_was_witnessed(changed, at, state):
    assert states([by_first(one(1, **changed))], at=at) == {1: state}


def test_without_a_witness_dates_are_compared_with_no_clock():
    assert states([by_first(one(1, not_after=BEGUN + timedelta(days=1)))], by=()) == {1: State.NEWEST}
    assert "dates were compared with no clock" in text_of("not witnessed")


def test_an_older_release_that_none_supersedes_is_older():
    entries = [by_first(one(1, supersedes=None)), by_first(one(2, supersedes=None))]
    assert states(entries) == {1: State.OLDER, 2: State.NEWEST}


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([one(1), one(1, manifest_sha256=bytes_of("x"))], "Release 1 is in the log 2 times, with different contents."),
        ([one(1), one(1, not_after=SEEN)], "Release 1 is in the log 2 times, for the same image."),
        ([one(2), one(1)], "Release 1 (entry 1) was logged after release 2."),
    ],
)
def test_what_an_honest_publisher_does_not_do_is_said(entries, says):
    found = overview([by_first(value) for value in entries])
    assert says in Page(render(found, ADDRESS)["index.html"]).all("header")[0]["text"]


def test_a_release_by_keys_that_were_replaced_is_said():
    files = render(overview([rotation(), signed(one(1), "bram", "chen")]), ADDRESS)
    assert "is signed by keys that had been replaced" in Page(files["index.html"]).all("header")[0]["text"]
    assert "Signed by keys that had been replaced before." in Page(files["release/1.html"]).all("header")[0]["text"]


def test_a_debug_image_says_so_on_both_pages():
    assert "debug image" in text_of("debug")
    assert "Debug image: who runs it can see what is said to it." in text_of("debug", "release/0.html")
    assert "debug image" not in text_of("story")


def test_what_a_reader_must_not_miss_stands_before_the_changes():
    found = overview([by_first(one(1)), by_first(released(2, ONE, measurement("one", debug=True)))])
    changes = Page(render(found, ADDRESS)["release/1.html"]).by_id("changes")["text"]
    assert "Look twice:" in changes
    assert changes.index("has a console (DEBUG)") < changes.index("The release's own words")
    assert not any("Look twice" in text_of("story", path) for path in html("story"))


def test_what_changed_is_said_in_words():
    first, fourth = text_of("story"), text_of("story", "release/5.html")
    assert "linux-image-amd64: 6.12.41-1 → 6.12.48-1; nftables: new, 1.1.3-1" in first
    assert "Nothing in the image: only numbers and dates." in first
    assert "Packages of the image: python3: 3.13.5-1 → 3.13.5-2" in fourth
    assert "Role egress_firewall: roles/egress_firewall/files/tree/etc/nftables.conf:" in fourth
    assert "The release names this platform and boot mode for the first time." in fourth
    assert "revokes release 3" in fourth
    assert "It is the same image" in text_of("story", "release/6.html")
    assert "there is nothing to compare with" in text_of("story", "release/0.html")


def test_what_was_not_published_is_not_compared_and_that_is_said():
    found = text_of("nothing published", "release/2.html")
    missing = (
        "What is in release 1 and in release 2 was not published here: packages, roles and files were not compared."
    )
    assert missing in found
    assert "was not published here. Whoever has it can tell by its SHA-256, above." in found
    assert "PCR 4" in found, "measurements are the release's own"


def test_every_measurement_is_there_whole():
    found = text_of("story", "release/5.html")
    (shelf,) = overview().shelves
    (entry,) = [f.entry for s in shelf.services for f in s.releases if f.entry.index == 5]
    for item in entry.release.measurements:
        assert f"{item.platform}, {item.boot_mode}" in found
        digests = [value.hex() for _, value in (*item.pcrs, *item.rtmrs)] + [item.image_authenticode.hex()]
        digests += [value.hex() for value in (*item.pcr0_allowed, *item.launch_measurements)]
        assert [value for value in digests if value not in found] == []


def test_who_witnessed_and_when():
    found = text_of("story")
    assert "2026-05-20 08:30:00 UTC" in found
    assert "2026-05-20 08:31:00 UTC" in found
    assert all(str(witness.verifier) in found for witness in WITNESSES)
    assert "2 of 2 signed" in found
    assert "not signed" in text_of("not witnessed")
    assert "nobody but the log itself vouches for it" in text_of("nobody watched")


def test_a_witness_whose_key_was_not_given_vouches_for_nothing():
    strange = overview(by=(note_signer("strange.example"),), asked=WITNESSES)
    found = Page(render(strange, ADDRESS)["index.html"]).all("body")[0]["text"]
    assert strange.as_at is None
    assert "so not checked: strange.example." in found


def test_a_time_that_no_calendar_has_is_none():
    far = replace(overview(), witnesses=())
    assert far.as_at is None
    text = "cosigned in another age"
    signature = WITNESSES[0].sign(f"{text}\n", at=2**62)
    assert int.from_bytes(signature.data[:8], "big") == 2**62
    from client_sdk.transparency.log.page.survey import _instant

    assert _instant(2**62) is None
    assert _instant(0) is not None


def test_key_rotations_are_shown():
    found = text_of("story")
    following = key_set(NEW_KEYS)
    assert "Set 2" in found
    assert following.digest.hex() in found
    assert all(name in found for name in following.names)
    assert "The keys were never replaced in this log." in text_of("two publishers")


def test_a_rotation_that_does_not_follow_is_no_publishers():
    (other,) = overview([rotation()], publishers=[named("Another", "elsa")]).others
    assert other.what == "a key rotation that does not follow the keys of a publisher of this page"


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (b"x", "not an envelope of a release or a key rotation"),
        (b"{}", "not an envelope of a release or a key rotation"),
        (signed(one(1), "elsa", "finn"), "signed by none of the publishers of this page, or not a release"),
        (signed(one(1), "anna"), "signed by none of the publishers of this page, or not a release"),
        (b"[" * 60_000, "not an envelope of a release or a key rotation"),
    ],
)
def test_what_is_no_publishers_is_listed_and_not_shown_as_a_release(entry, what):
    found = overview([entry])
    assert [(other.index, other.what) for other in found.others] == [(0, what)]
    assert [path for path in render(found, ADDRESS) if path.startswith("release/")] == []


def test_of_very_many_entries_of_others_the_newest_are_listed_and_all_are_counted():
    found = overview([b"%d" % number for number in range(300)])
    page = Page(render(found, ADDRESS)["index.html"]).by_id("others")["text"]
    assert (len(found.others), found.others_count) == (100, 300)
    assert "And 200 before these." in page
    assert hashlib.sha256(b"299").hexdigest() in page


def test_a_manifest_that_is_not_what_its_digest_says_is_left_aside():
    forged = overview()
    from client_sdk.transparency.log.page import survey

    liar = survey(
        forged.seen,
        story(),
        [publisher()],
        log=LOG.verifier,
        manifest_of=lambda _: manifest("forged").to_json(),
    )
    fates = [fate for shelf in liar.shelves for service in shelf.services for fate in service.releases]
    assert [fate.entry.manifest for fate in fates] == [None] * 6


def test_a_service_with_many_releases_has_a_page_with_all_of_them():
    files, index = html("many"), text_of("many")
    assert "All 30 releases of assistant" in index
    rows = [e for e in files["service/0.html"].all("tr") if "tbody" in e["path"]]
    assert len(rows) == 30
    assert len([e for e in files["index.html"].all("tr") if e["attrs"].get("id", "").startswith("release-")]) == 20


def test_a_long_value_is_cut_and_the_page_says_where_it_is_whole():
    long = manifest("long", boot=replace(ONE.boot, cmdline="x" * 4000))
    found = overview([by_first(released(1, long))], manifests=(long,))
    page = Page(render(found, ADDRESS)["release/0.html"])
    assert f"{'x' * MAX_SHOWN} … (4000 characters; its file has all of them)" in page.all("main")[0]["text"]


def test_thousands_of_changes_are_counted_and_not_all_listed():
    before, after = (
        manifest(name, files=tuple((f"roles/a/{i}", bytes_of(f"{name} {i}")) for i in range(3000)))
        for name in ("one", "two")
    )
    entries = [by_first(released(number, image)) for number, image in ((1, before), (2, after))]
    data = render(overview(entries, manifests=(before, after)), ADDRESS)["release/1.html"]
    assert b"And 2600 more, which the files of both releases have." in data
    assert len(data) < 400_000


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "back"),
    [("ok", "ok-back"), ("bad", "bad-back"), ("idle", "idle-back"), ("soft", "card"), ("link", "card")],
)
def test_text_has_contrast(theme, ink, back):
    found = colours(style_of("base.css"), theme)
    lighter, darker = sorted((luminance(found[ink]), luminance(found[back])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_the_style_of_the_log_has_no_colour_of_its_own():
    style = html("story")["index.html"].all("style")[0]["text"]
    own = style.partition("nav ul {")[2]
    assert own
    assert not re.findall(r"#[0-9a-f]{3,8}\b(?=\s*[;}])|rgb|hsl", own)


def test_no_information_by_colour_alone():
    for page in html("story").values():
        pills = [e for e in page.all("span") if "pill" in e["attrs"].get("class", "")]
        assert all(e["text"] for e in pills)


@pytest.mark.parametrize(
    "url",
    [
        "http://x.example",
        "javascript:alert(1)",
        "https://x.example/ y",
        'https://x.example/"',
        "https://x.example/#a",
        "https://x.example/?a",
        "https://x.example/\u202e",
        "https://" + "x" * 2000,
        "",
    ],
)
def test_an_address_that_is_no_plain_one_of_https_is_refused(url):
    with pytest.raises(EvidenceError, match="log page"):
        Address(url)
