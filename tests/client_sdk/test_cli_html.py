"""`vitrine verify --html`: a page whatever the verdict is, and the exit code that there would be without it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from client_sdk.cli import main
from client_sdk.writing import READABLE, write
from tests.client_sdk.test_page import Page
from tests.fakes.reports import other_release
from tests.fakes.simulated_vm import TestCa, ec_key


@pytest.fixture
def run(capsys):
    """Run the command in this process; return its exit code and what it said."""

    def _run(*argv):
        try:
            code = main([str(word) for word in argv])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return _run


@pytest.fixture
def file(tmp_path):
    return tmp_path / "report.html"


def title(file):
    return Page(file.read_bytes()).all("h1")[0]["text"][1:]


def test_an_accepted_service(run, server, pins, file):
    said = run("verify", server.origin, *pins.words, "--html", file)
    assert (said.code, title(file)) == (0, "Accepted")
    assert "accepted: " in said.out
    page = Page(file.read_bytes())
    assert server.origin in page.all("header")[0]["text"]
    embedded = json.loads(page.by_id("json")["text"])
    assert (embedded["verdict"], embedded["origin"], embedded["saved"]) == ("accepted", server.origin, False)
    assert "" not in {check["source"] for check in embedded["checks"]}
    assert list(file.parent.glob("*.partial")) == []


def test_the_report_leads_to_the_pages_of_the_log(run, server, pins, file):
    said = run("verify", server.origin, *pins.words, "--html", file, "--log-page", "https://log.example/releases")
    assert said.code == 0
    outside = [e["attrs"]["href"] for e in Page(file.read_bytes()).all("a") if e["attrs"]["href"][0] != "#"]
    assert [href.split("#release-1-")[0] for href in outside] == ["https://log.example/releases/index.html"]


def test_a_service_is_held_against_a_release_in_a_log_and_its_report_leads_to_the_page_of_that(
    run, server, pins, file, tmp_path
):
    log, bundle = tmp_path / "log", tmp_path / "bundle.json"
    assert run("log", "init", log, "--origin", "log.example/x", "--publisher", pins.publisher).code == 0
    assert run("log", "append", log, pins.release).code == 0
    assert run("log", "page", log).code == 0
    assert run("log", "bundle", log, pins.release, "--output", bundle).code == 0
    pins.release.write_bytes(bundle.read_bytes())
    address = "https://log.example/x"
    said = run(
        *("verify", server.origin, *pins.words, "--log", log / "log.pub"),
        *("--html", file, "--log-page", address),
    )
    assert said.code == 0, said.out + said.err
    (link,) = [e for e in Page(file.read_bytes()).all("a") if e["text"] == "in its log"]
    page, _, place = link["attrs"]["href"].removeprefix(f"{address}/").partition("#")
    row = Page((log / "public" / page).read_bytes()).by_id(place)
    assert row["text"].startswith("Release 1")


@pytest.mark.parametrize("url", ["http://log.example", "javascript:alert(1)", "https://log.example/#x", "log.example"])
def test_pages_of_a_log_that_are_elsewhere_than_at_https_are_a_usage_error(run, server, pins, file, url):
    said = run("verify", server.origin, *pins.words, "--html", file, "--log-page", url)
    assert (said.code, file.exists()) == (2, False)
    assert "--log-page" in said.err


def test_the_pages_of_the_log_are_for_a_report(run, server, pins):
    said = run("verify", server.origin, *pins.words, "--log-page", "https://log.example")
    assert said.code == 2
    assert "--html" in said.err


def test_with_json_both_say_the_same(run, server, pins, file):
    said = run("verify", server.origin, *pins.words, "--json", "--html", file)
    assert said.code == 0
    assert json.loads(said.out) == json.loads(Page(file.read_bytes()).by_id("json")["text"])


def other_ca(server, pins):
    pins.tpm_ca.write_bytes(TestCa("other").pem)


def impostor(server, pins):
    server.vm.sign_with = ec_key("impostor")


def another_image(server, pins):
    pins.release.write_bytes(other_release())


def garbage(server, pins):
    server.answer_with["/.well-known/attestation"] = (200, {}, b"\xff<script>")


def redirected(server, pins):
    server.answer_with["/.well-known/attestation"] = (302, {"Location": "https://evil.example"}, b"")


def no_activation(server, pins):
    server.answer_with["/.well-known/attestation/activate"] = (400, {}, b"")


@pytest.mark.parametrize(
    ("attack", "rule", "received"),
    [
        (other_ca, "K1.1", {"releases", "evidence", "quote", "activation"}),
        (impostor, "Q6.2", {"releases", "evidence", "quote", "activation"}),
        (another_image, "L7.pcr9", {"releases", "evidence", "quote", "activation"}),
        (garbage, "", {"evidence", "connection_certificate", "nonce"}),
        (redirected, "C3", set()),
        (no_activation, "Q8.3", {"evidence", "quote", "nonce"}),
    ],
)
def test_a_refusal_has_a_page_that_says_why(run, server, pins, file, attack, rule, received):
    attack(server, pins)
    said = run("verify", server.origin, *pins.words, "--json", "--html", file)
    assert (said.code, title(file)) == (1, "Refused")
    page, refusal = Page(file.read_bytes()), json.loads(said.out)
    assert json.loads(page.by_id("json")["text"]) == refusal
    assert rule in page.by_id("failed")["text"]
    assert "What to do" in page.by_id("failed")["text"]
    assert received <= refusal["sources"].keys()


def test_a_file_that_is_no_release_is_a_usage_error_and_has_no_page(run, server, pins, file):
    pins.release.write_bytes(b"{}")
    said = run("verify", server.origin, *pins.words, "--html", file)
    assert (said.code, file.exists()) == (2, False)


def test_the_same_refusal_has_the_same_code_without_a_page(run, server, pins, file):
    impostor(server, pins)
    codes = {run("verify", server.origin, *pins.words, *more).code for more in ((), ("--html", file))}
    assert codes == {1}
    assert "FAILED  Q6.2" in run("verify", server.origin, *pins.words, "--html", file).out


def test_no_verdict_has_a_page(run, pins, file):
    said = run("verify", "https://127.0.0.1:1", *pins.words, "--html", file)
    assert (said.code, title(file)) == (3, "No verdict")


def test_saved_evidence_says_so(run, server, pins, file, tmp_path):
    saved = tmp_path / "saved.json"
    assert run("verify", server.origin, *pins.words, "--save", saved, "--html", file).code == 0
    assert "this says nothing about now" not in file.read_text()
    said = run("verify", server.origin, *pins.words, "--evidence", saved, "--html", file)
    assert said.code == 0
    assert "this says nothing about now" in file.read_text()


def test_saved_evidence_at_an_instant(run, server, pins, file, tmp_path):
    saved = tmp_path / "saved.json"
    run("verify", server.origin, *pins.words, "--save", saved)
    at = ("--at", "2020-01-01T00:00:00Z")
    assert run("verify", server.origin, *pins.words, "--evidence", saved, *at, "--html", file).code == 1
    assert "2020-01-01 00:00:00 UTC" in file.read_text()


def test_an_existing_page_is_replaced(run, server, pins, file):
    file.write_text("old" * 1_000_000)
    assert run("verify", server.origin, *pins.words, "--html", file).code == 0
    assert "old" * 10 not in file.read_text()


@pytest.mark.parametrize("where", ["no/such/folder/report.html", "folder", ""])
def test_a_page_that_cannot_be_written_is_a_usage_error(run, server, pins, tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    said = run("verify", server.origin, *pins.words, "--html", where)
    assert (said.code, "--html: cannot write" in said.err, said.out) == (2, True, "")
    assert list(tmp_path.glob("**/*.partial")) == []


def test_a_page_does_not_overwrite_the_evidence(run, server, pins, tmp_path):
    for option in ("--save", "--evidence"):
        said = run("verify", server.origin, *pins.words, option, tmp_path / "x", "--html", tmp_path / "x")
        assert (said.code, "a file of its own" in said.err) == (2, True)


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write(target, b"x", mode=READABLE)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_lies_in_the_way_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "page.html.partial").symlink_to(other)
    write(tmp_path / "page.html", b"page", mode=READABLE)
    assert (other.read_text(), (tmp_path / "page.html").read_text()) == ("mine", "page")
