"""The pages of a log are written beside it: of what is proven to be in it, each whole or not at all, the first last."""

from __future__ import annotations

import json
import re
import shlex
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.cli import main
from client_sdk.errors import LogBusyError, LogDamagedError, LogStorageError, VerificationError
from client_sdk.transparency.formats.note import ED25519, UnverifiedNote
from client_sdk.transparency.log.config import Config, Cosigner
from client_sdk.transparency.log.remote import Folder
from client_sdk.transparency.log.site import Site, write_site
from client_sdk.transparency.log.store import Store
from client_sdk.transparency.log.writer import LogWriter, create
from tests.client_sdk.test_page import Page
from tests.fakes.public_logs import (
    ADDRESS,
    IMAGES,
    LOG,
    OLD_KEYS,
    SEEN,
    WITNESSES,
    checkpoint,
    manifest,
    note_signer,
    pages,
    publisher,
    signing_key,
    story,
)

SITE = Site(LOG.verifier, (publisher(),), tuple(witness.verifier for witness in WITNESSES), ADDRESS)
MANIFESTS = tuple(image.to_json() for image in IMAGES)


def cosign(checkpoint, _tiles):
    text, at = UnverifiedNote.from_bytes(checkpoint).text, int(SEEN.timestamp())
    return tuple(witness.sign(text, at=at + 60 * place) for place, witness in enumerate(WITNESSES))


def keep(home, entries=None):
    """Make a log with these entries, witnessed as the one that is made in memory."""
    witnesses = tuple(Cosigner(witness.verifier) for witness in WITNESSES)
    create(home, lambda key: Config(key.verifier, publisher().publisher, witnesses, len(witnesses)), LOG)
    log = LogWriter(home)
    log.append(story() if entries is None else entries, cosign)
    return log


def served(home):
    public = home / "public"
    own = ("index.html", "release/", "service/")
    names = (path.relative_to(public).as_posix() for path in public.rglob("*") if path.is_file())
    return {name: (public / name).read_bytes() for name in names if name.startswith(own)}


def written(home, *, manifests=MANIFESTS, site=SITE):
    return write_site(Folder(home), home, site, manifests=manifests)


@pytest.fixture
def home(tmp_path):
    keep(tmp_path / "log")
    return tmp_path / "log"


def test_what_is_written_is_what_was_rendered(home):
    done = written(home)
    assert served(home) == pages()
    assert (done.entries, done.written, done.removed, done.strange) == (7, len(pages()), 0, ())
    assert list((home / "public").rglob("*partial*")) == []
    assert {path.stat().st_mode & 0o777 for path in (home / "public").rglob("*.html")} == {0o644}


def test_the_second_run_writes_nothing(home):
    written(home)
    before = {path: path.stat().st_mtime_ns for path in (home / "public").rglob("*")}
    assert (written(home).written, written(home, manifests=()).written) == (0, 0)
    assert {path: path.stat().st_mtime_ns for path in (home / "public").rglob("*")} == before


def test_manifests_are_kept_by_digest_and_found_again(home):
    written(home)
    kept = sorted(path.read_bytes() for path in (home / "public/manifest").iterdir())
    assert kept == sorted(MANIFESTS)
    assert written(home, manifests=()).strange == ()
    assert served(home) == pages()


def test_a_manifest_that_no_release_names_is_not_published(home):
    secret = manifest("of another customer").to_json()
    done = written(home, manifests=(*MANIFESTS, secret))
    assert len(done.strange) == 1
    assert b"of another customer" not in b"".join(served(home).values())
    assert len(list((home / "public/manifest").iterdir())) == len(MANIFESTS)


def test_a_manifest_that_was_replaced_beside_the_log_is_not_shown(home):
    written(home)
    (first, *_) = sorted((home / "public/manifest").iterdir())
    first.write_bytes(manifest("forged").to_json())
    written(home, manifests=())
    assert served(home) != pages()
    assert b"was not published here" in b"".join(served(home).values())


def test_a_manifest_that_was_replaced_is_not_written_over_silently(home):
    written(home)
    (first, *_) = sorted((home / "public/manifest").iterdir())
    first.write_bytes(first.read_bytes() + b"\n")
    with pytest.raises(LogDamagedError):
        written(home)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "attack",
    [
        lambda public: flip(public / "tile/entries/000.p/7"),
        lambda public: flip(public / "tile/0/000.p/7"),
        lambda public: (public / "checkpoint").write_bytes(checkpoint(story(), log=note_signer(LOG.name, ED25519))),
    ],
    ids=["an entry that changed", "a tile that changed", "a checkpoint of somebody else"],
)
def test_a_log_that_is_not_right_gets_no_pages_and_keeps_those_that_it_has(home, attack):
    written(home)
    attack(home / "public")
    with pytest.raises(VerificationError, match="R2"):
        written(home)
    assert served(home) == pages()


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("operation", range(0, 18, 3))
def test_whatever_interrupts_it_nothing_leads_to_what_is_not_there(home, monkeypatch, operation):
    """The old first page stays until all that the new one leads to is there."""
    keep_first = story()[:4]
    old = home.parent / "old"
    keep(old, keep_first)
    written(old)
    before = served(old)["index.html"]
    LogWriter(old).append(story()[4:], cosign)
    put, count = Store.put, iter(range(100))

    def stopping(store, name, data, **options):
        if next(count) == operation:
            raise StoppedError
        put(store, name, data, **options)

    with monkeypatch.context() as patching:
        patching.setattr(Store, "put", stopping)
        try:
            written(old)
        except StoppedError:
            assert served(old)["index.html"] == before
    files = served(old)
    for link in Page(files["index.html"]).all("a"):
        target = link["attrs"]["href"].partition("#")[0]
        assert not target or target in files
    for path, data in files.items():
        assert not path.endswith(".html") or data.rstrip().endswith(b"</html>")
    written(old)
    assert served(old) == pages()


def test_a_full_disk_leaves_the_old_pages(home, monkeypatch):
    written(home, manifests=())
    before = served(home)

    def full(store, name, data, **options):
        raise LogStorageError(f"cannot write {name}: No space left on device")

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(LogStorageError):
        written(home)
    assert served(home) == before


def test_a_report_that_was_put_beside_the_log_is_linked(home):
    public = home / "public"
    (public / "report").mkdir()
    for name in ("5.html", "05.html", "5.html.bak", "99.html"):
        (public / "report" / name).write_text("a report")
    written(home)
    links = {path: Page(data).all("a") for path, data in served(home).items() if path.endswith(".html")}
    leading = {path for path, found in links.items() for e in found if "report/" in e["attrs"]["href"]}
    assert leading == {"release/5.html"}
    assert [e["attrs"]["href"] for e in links["release/5.html"] if "report/" in e["attrs"]["href"]] == [
        "../report/5.html"
    ]
    assert (public / "report/05.html").exists()


def test_while_the_log_is_written_no_page_is(home):
    with Store(home).sole(), pytest.raises(LogBusyError):
        written(home)


def test_pages_to_which_nothing_leads_any_more_are_removed_and_nothing_else(home):
    written(home)
    public = home / "public"
    stale = [public / "release/99.html", public / "release/99.json", public / "service/3.html"]
    others = [public / "release/notes.html", public / "release/1.html.bak", public / "about.html"]
    (public / "service").mkdir()
    for path in (*stale, *others):
        path.write_text("of yesterday")
    assert written(home).removed == len(stale)
    assert [path for path in stale if path.exists()] == []
    assert all(path.exists() for path in others)
    assert (public / "checkpoint").exists()


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command in a folder with the publisher's keys; return its exit code and what it said."""
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(OLD_KEYS, start=1):
        key = signing_key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"publisher-{place}.pub").write_bytes(key)
    (tmp_path / "manifests").mkdir()
    for place, data in enumerate(MANIFESTS):
        (tmp_path / f"manifests/{place}.json").write_bytes(data)

    def _run(*argv):
        try:
            code = main([str(word) for word in argv])
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return _run


PUBLISHER = ("--publisher", "publisher-1.pub", "publisher-2.pub", "publisher-3.pub", "--threshold", "2")


def test_the_command_on_a_log_of_ones_own(run, home):
    said = run("log", "page", home, "--name", "Example Care", "--manifest", "manifests")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{home}/public/index.html: 7 entries; {len(pages())} files written, 0 removed\n"
    assert served(home) == pages(), "the log's own name is its address here"


def test_the_command_on_the_log_of_another(run, home, tmp_path):
    mirror = tmp_path / "mirror"
    (home / "public").rename(mirror)
    words = ("log", "page", mirror, "--log", LOG.verifier, *PUBLISHER, "--name", "Example Care")
    witnesses = [word for witness in WITNESSES for word in ("--witness", witness.verifier)]
    said = run(*words, *witnesses, "--manifest", "manifests", "--output", "out")
    assert said.code == 0, said.err
    assert served(tmp_path / "out") == pages()
    assert not (mirror / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--url", "http://x.example"), "--url"),
        (("--url", "javascript:alert(1)"), "--url"),
        (("--log", str(LOG.verifier)), "leave out both"),
        (PUBLISHER, "leave out both"),
        (("--manifest", "missing.json"), "cannot read missing.json"),
        (("--witness", "nonsense"), "--witness"),
        (("--witness", str(LOG.verifier)), "expected a witness's key"),
    ],
)
def test_a_command_that_cannot_be_is_a_usage_error_and_writes_nothing(run, home, words, says):
    said = run("log", "page", home, *words)
    assert said.code == 2
    assert says in said.err
    assert served(home) == {}


@pytest.mark.parametrize("left_out", ["--log", "--publisher", "--output"])
def test_the_log_of_another_needs_its_key_the_publisher_and_a_place(run, home, left_out):
    given = {"--log": (LOG.verifier,), "--publisher": ("publisher-1.pub",), "--output": ("out",)}
    words = [word for option, values in given.items() if option != left_out for word in (option, *values)]
    said = run("log", "page", home / "public", *words)
    assert said.code == 2
    assert "give --log, --publisher and --output" in said.err


def test_a_tampered_log_is_refused_by_the_command(run, home):
    flip(home / "public/tile/entries/000.p/7")
    said = run("log", "page", home)
    assert said.code == 1
    assert "R2.tile" in said.err


def test_a_name_that_is_no_address_wants_one(run, tmp_path):
    run("log", "init", "mine", "--origin", "not<an>address", "--publisher", "publisher-1.pub")
    said = run("log", "page", "mine")
    assert said.code == 2
    assert "give --url" in said.err


def commands(page):
    for pre in page.all("pre"):
        if pre["attrs"]["aria-label"].startswith("shell"):
            yield from (shlex.split(line) for line in pre["text"].replace("\\\n", " ").splitlines())


@pytest.mark.parametrize("path", ["index.html", "release/5.html"])
def test_the_commands_on_a_page_do_what_it_says(run, home, tmp_path, path):
    """They are run as they stand, but for where the log is; a service to hold against is another test's."""
    written(home)
    ran = []
    for words in commands(Page(served(home)[path])):
        if words[:2] == ["vitrine", "verify"]:
            continue
        if words[0] == "curl":
            (tmp_path / words[3]).write_bytes((home / "public" / words[4].removeprefix(f"{ADDRESS.url}/")).read_bytes())
            continue
        here = [str(home / "public") if word == ADDRESS.url else word for word in words[1:]]
        said = run(*here)
        assert said.code == 0, said.err
        ran.append(words[2])
    assert ran == {"index.html": ["verify", "monitor"], "release/5.html": ["bundle"]}[path]
    if path != "index.html":
        assert json.loads((tmp_path / "bundle.json").read_bytes())["version"] == 1


def test_the_command_to_verify_is_one_that_verify_takes(run, home):
    """It gets as far as the service, which is not there."""
    written(home)
    page = Page(served(home)["release/6.html"])
    (words,) = [words for words in commands(page) if words[:2] == ["vitrine", "verify"]]
    release = home / "public/release/6.json"
    bundle = run("log", "bundle", home, release, "--output", "bundle.json")
    assert bundle.code == 0, bundle.err
    said = run(*[re.sub(r"^https://llm\.example$", "https://127.0.0.1:1", word) for word in words[1:]])
    assert said.code in {1, 3}, said.err
    assert "usage" not in said.err
