"""``vitrine release`` from its words to its exit code, by holders who have one key each."""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from client_sdk.cli import command as edge
from client_sdk.dsse import sign
from client_sdk.manifest import digest
from client_sdk.publisher import Publisher
from client_sdk.release import open_release, read_release
from client_sdk.rotation import KeySet, rotate, verify_rotations
from provisioner.errors import SpecError
from provisioner.keys import load, public_pem
from provisioner.releases.command import register
from provisioner.releases.folder import read_published
from tests.provisioner.releases.conftest import STRANGER, A, Said, accepted, days, manifest_of, resigned

PROJECT = Path(__file__).resolve().parents[3] / "distributions/provisioner/pyproject.toml"
DONE, REFUSED, USAGE, NOT_NOW = 0, 1, 2, 3


def pin(site, names="abc", threshold=2):
    return Publisher(keys=tuple(site.work / f"{name}.pub" for name in names), threshold=threshold)


def test_the_command_is_registered():
    entries = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]["vitrine.commands"]
    module, _, name = entries["release"].partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("action", ["keygen", "create", "sign", "publish", "revoke", "show", "diff", "rotate"])
def test_every_action_explains_itself(command, action):
    said = command(action, "--help")
    assert (said.code, said.err) == (DONE, "")
    assert all(word in said.out for word in ("--json", "exit codes:"))
    (example,) = (line.strip() for line in said.out.splitlines() if line.startswith("  vitrine release "))
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    assert parser.parse_args(example.split()[1:]).action == action


@pytest.fixture
def whole(monkeypatch, capfd):
    """The whole command as it is installed, of which releases are one part."""
    entry = EntryPoint("release", "provisioner.releases.command:register", "vitrine.commands")
    monkeypatch.setattr(edge, "entry_points", lambda **_: (entry,))

    def call(*words):
        try:
            code = edge.main(["release", *map(str, words)])
        except SystemExit as error:
            code = error.code
        return Said(code, *capfd.readouterr())

    return call


@pytest.mark.parametrize(
    ("words", "took", "missed"),
    [
        ("sign --key a.key --publisher a.pub b.pub next.json", "--publisher took a.pub b.pub next.json", "FILE"),
        ("revoke --output o --published s --publisher a.pub --source build/x 7", "--source took build/x 7", "N"),
        ("diff --manifest m.json old.json new.json", "--manifest took m.json old.json new.json", "OLD NEW"),
    ],
)
def test_words_that_an_option_took_are_named_with_what_to_type(whole, words, took, missed):
    said = whole(*words.split())
    assert said.code == USAGE
    assert f"; {took}, and an option of several values takes every word up to the next option" in said.err
    assert said.err.endswith(f": write {missed} before the options\n")


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_output_that_is_full_has_nothing_to_do_with_the_release(site, whole, deployment, monkeypatch, form):
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patching:
        patching.setattr("sys.stdout", full)
        said = whole("show", deployment, *form)
    assert (said.code, said.err.startswith("vitrine: no verdict: cannot write to standard output: No space")) == (
        3,
        True,
    )


def test_keys_are_named_all_at_once_or_one_by_one(site, whole, deployment):
    site.create(deployment)
    once = ("--publisher", *(site.work / f"{name}.pub" for name in "abc"))
    each = [word for name in "abc" for word in ("--publisher", site.work / f"{name}.pub")]
    for words in (once, each):
        said = whole("show", site.work / "next.json", *words, "--threshold", 2)
        assert (said.code, "missing" in said.out) == (DONE, True), said.err


def test_manifests_are_named_all_at_once_or_one_by_one(whole, deployment, another):
    names = [folder / "manifest.json" for folder in (deployment, another)]
    moved = [name.rename(name.with_name("m")) for name in names]
    words = [word for name in moved for word in ("--manifest", name)]
    said = whole("diff", deployment / "release.json", another / "release.json", *words)
    assert (said.code, "openssl" in said.out) == (DONE, True), said.err


# ---- two of three


def test_what_two_of_three_holders_sign_is_published(site, deployment, archive):
    assert site.create(deployment).code == DONE
    first, second = site.sign("a"), site.sign("b")
    assert "pass it on to the next holder" in first.err
    assert "all signatures are there: publish it" in second.err
    assert site.publish("--source", deployment, "--archive", archive).code == DONE
    release = open_release((site.folder / "release.json").read_bytes(), pin(site))
    own = read_release((deployment / "release.json").read_bytes())
    assert (release.measurements, release.service, release.supersedes) == (own.measurements, own.service, None)
    assert digest((site.folder / "manifest.json").read_bytes()) == release.manifest_sha256
    files = site.files()
    assert files["releases/1.json"] == files["release.json"]
    assert files["manifests/1.json"] == files["manifest.json"]
    assert {name for name in files if name.startswith("archives/")} == {
        "archives/1/archive.json",
        "archives/1/image/uki.efi",
    }


def test_json_tells_the_same(site, deployment):
    told = site("create", deployment, "--output", site.work / "n", "--json").told
    assert (told["kind"], told["number"], told["service"]) == ("release", 1, "vitrine-test")
    told = site.sign("a", "n", "--json").told
    assert (len(told["signed_by"]), [one["of"] for one in told["missing"]]) == (1, ["the publisher's keys"])


def test_the_bill_of_materials_is_published_where_the_image_has_one(site, deployment, image):
    site.create(deployment)
    site.sign("a")
    site.sign("b")
    assert site.publish("--source", image).code == DONE
    assert site.files()["sboms/1.json"] == (image / "sbom.json").read_bytes()


def test_publishing_again_goes_on_where_it_was_interrupted(site, deployment, archive):
    site.released(deployment)
    whole = site.files()
    (site.folder / "release.json").unlink()
    (site.folder / "manifest.json").unlink()
    assert site.publish("--source", deployment).code == DONE
    assert site.files() == whole
    assert site.publish("--source", deployment, "--archive", archive).code == DONE


def test_the_archive_of_another_image(site, deployment, archive, another):
    site.create(another)
    site.sign("a")
    site.sign("b")
    said = site.publish("--source", another, "--archive", archive)
    assert (said.code, "the archive of the manifest" in said.err) == (REFUSED, True)
    assert "release.json" not in site.files()


def test_several_platforms_of_one_image_become_one_release(site, deployment, tmp_path, image):
    twin = accepted(tmp_path / "twin", image)
    assert site.create(twin, deployment).code == DONE
    assert len(read_release((site.work / "next.json").read_bytes()).measurements) == 1


def test_an_image_alone_gives_the_local_platform(site, image):
    said = site.create(image)
    assert (said.code, "--service" in said.err) == (USAGE, True)
    assert site.create(image, service="vitrine-test").code == DONE


# ---- signing


def test_a_wrong_signer(site, deployment):
    site.create(deployment)
    before = (site.work / "next.json").read_bytes()
    said = site.sign("d")
    assert said.code == REFUSED
    assert "next: sign with a key that --publisher names" in said.err
    assert (site.work / "next.json").read_bytes() == before


def test_too_few_signers(site, deployment):
    site.create(deployment)
    site.sign("a")
    said = site.publish("--source", deployment)
    assert said.code == REFUSED
    assert "signatures of 2 of" in said.err
    assert "next: have it signed by more holders" in said.err
    assert site.files() == {}


def test_one_holder_who_signs_twice_is_one(site, deployment):
    site.create(deployment)
    site.sign("a")
    site.sign("a")
    assert site.publish("--source", deployment).code == REFUSED


def test_copies_signed_by_two_holders_are_published_together(site, deployment):
    site.create(deployment)
    for name in "ab":
        assert site.sign(name, "next.json", "--output", site.work / f"signed-{name}.json").code == DONE
    said = site("publish", site.work / "signed-a.json", site.work / "signed-b.json", "--source", deployment)
    assert said.code == DONE, said.err


def test_two_holders_who_signed_different_bytes(site, deployment):
    for name, days_ in (("a", 30), ("b", 31)):
        site.create(deployment, output=f"{name}.json", days=days_)
        site.sign(name, f"{name}.json")
    said = site("publish", site.work / "a.json", site.work / "b.json", "--source", deployment)
    assert said.code == REFUSED
    assert "they differ in" in said.err
    assert "not_after" in said.err
    assert "next: agree on one of the files" in said.err


def test_what_a_stranger_signed_is_not_signed_by_others(site, deployment):
    site.create(deployment)
    release = read_release((site.work / "next.json").read_bytes())
    (site.work / "next.json").write_bytes(resigned(release, STRANGER))
    said = site.sign("a")
    assert (said.code, "do not sign it" in said.err) == (REFUSED, True)


@pytest.mark.parametrize(
    ("fault", "values", "told"),
    [
        ("dates inverted", lambda r: {"not_after": r.not_before - days(1)}, "not_after"),
        ("run out", lambda r: {"not_before": r.not_before - days(9), "not_after": r.not_before}, "not_after"),
        ("a number that goes back", lambda _: {"number": 1}, "number"),
        ("it forgets a release", lambda _: {"supersedes": None}, "supersedes"),
    ],
)
def test_a_holder_does_not_sign_what_cannot_be_published(site, deployment, another, fault, values, told):
    site.released(deployment)
    site.create(another)
    release = read_release((site.work / "next.json").read_bytes())
    (site.work / "next.json").write_bytes(resigned(release, **values(release)))
    said = site.sign("a")
    assert (said.code, f"{told}: expected" in said.err) == (REFUSED, True), said.err


@pytest.mark.parametrize("action", ["sign", "publish", "show"])
def test_a_file_that_is_none(site, action):
    site.work.joinpath("next.json").write_text('{"payload": "x"}')
    words = ("--key", site.work / "a.key") if action == "sign" else ()
    trust = site.trust if action == "show" else (*site.trust, "--published", site.folder)
    said = site.command(action, site.work / "next.json", *words, *trust)
    assert (said.code, "expected a release or a rotation" in said.err) == (USAGE, True)


GONE = "got nothing: no such file\n"
WRONG_FILES = [
    ("sign {none} --key {work}/a.key {trust}", "{none}: expected a release or a rotation, as `vitrine release create`"),
    ("sign {work} --key {work}/a.key {trust}", "`revoke` or `rotate` writes it, got a folder\n"),
    ("sign {next} --key {work}/a.key {trust} --output {none}/x", "expected a file in a folder that is there: make it"),
    (
        "sign {next} --key {work}/a.key {trust} --output {work}",
        "{work}: expected a file of its own, or a name th",
    ),
    ("publish {none} {trust} --published {site}", GONE),
    ("publish {next} {trust} --published {next}", "--published: expected the folder that the publisher publishes, or"),
    ("create {source} {trust} --published {next} --output {work}/n", "--published: expected the folder that the publ"),
    ("create {source} {trust} --published {site} --output {none}/n", "{none}/n: expected a file in a folder that is t"),
    ("create {none} {trust} --published {site} --output {work}/n", "{none}: expected the folder of a deployment"),
    ("rotate --new {none} --new-threshold 1 {trust} --published {site} --output {work}/n", "--new, --new-threshold: e"),
    ("rotate --new {work}/a.pub --new-threshold 2 {trust} --published {site} --output {work}/n", "expected 1 to 1"),
    ("show {none}", "{none}: expected a release or a rotation, signed or not yet, or the folder with one, " + GONE),
    ("show {next} --manifest {none}", "{none}: expected the manifest of a release, " + GONE),
    ("diff {none} {next}", GONE),
    ("keygen {next}/x.key", "{next}/x.key: expected a place where a key can be written, got a file where a folder ha"),
    ("keygen {dangling}/x.key", "got a file where a folder has to be, or a link that leads to nothing\n"),
    (
        "keygen {work}/x.key --passphrase-file {none}",
        "{none}: expected a file with the passphrase, of mode 0600, " + GONE,
    ),
]


@pytest.mark.parametrize(("words", "told"), WRONG_FILES)
def test_a_file_that_the_system_refuses_is_told_with_what_was_expected(site, deployment, words, told):
    site.create(deployment)
    (site.work / "dangling").symlink_to("nothing")
    before = sorted(site.work.iterdir())
    places = {"work": site.work, "site": site.folder, "next": site.work / "next.json", "none": site.work / "none"}
    places |= {"source": deployment, "trust": " ".join(map(str, site.trust)), "dangling": site.work / "dangling"}
    said = site.command(*words.format(**places).split())
    assert (said.code, said.out) == (USAGE, "")
    assert told.format(**places) in said.err
    assert "Errno" not in said.err
    assert sorted(site.work.iterdir()) == before


def test_what_is_no_plain_file_is_not_replaced(site, deployment):
    """Renamed to ``/dev/stdout``, what root writes would take that away from everybody."""
    site.create(deployment)
    pipe, link = site.work / "pipe", site.work / "link"
    os.mkfifo(pipe)
    link.symlink_to(site.work / "next.json")
    for path in (pipe, link):
        said = site.sign("a", "next.json", "--output", path)
        assert (said.code, f"{path}: expected a file of its own" in said.err) == (USAGE, True), said.err
    assert (pipe.is_fifo(), link.is_symlink()) == (True, True)


@pytest.mark.parametrize("name", ["x.key", "x.pub"])
def test_a_link_in_the_place_of_either_half_is_left_and_no_key_is_made(site, name):
    (site.work / name).symlink_to("nowhere")
    said = site.command("keygen", site.work / "x.key")
    assert (said.code, f"{site.work / name}: expected no file" in said.err) == (USAGE, True), said.err
    assert [path.name for path in site.work.glob("x.*")] == [name]
    assert (site.work / name).is_symlink()


def test_a_key_whose_public_half_cannot_be_written_is_not_left_behind(site):
    name = "k" * 245  # with .pub it is too long for where it is written first
    said = site.command("keygen", site.work / name)
    assert (said.code, f"{name}: expected a place where a key can be written" in said.err) == (USAGE, True), said.err
    assert [*site.work.glob("k*")] == []


def test_a_folder_that_keygen_makes_is_named(site):
    said = site.command("keygen", site.work / "others/x.key")
    assert (said.code, f"{site.work / 'others'}: there was no such folder, so it is made\n" in said.err) == (DONE, True)
    assert "no such folder" not in site.command("keygen", site.work / "others/y.key").err


def test_where_nothing_is_published_yet_it_is_said(site, deployment):
    assert f"{site.folder}: there is no such folder, so nothing is published yet\n" in site.create(deployment).err
    site.released(deployment)
    assert "no such folder" not in site.create(deployment).err


def test_more_holders_are_wanted_than_there_are(site, deployment):
    words = ("--published", site.folder, "--output", site.work / "n", *site.trust, "--threshold", 4)
    said = site.command("create", deployment, *words)
    assert (said.code, "--publisher, --threshold" in said.err) == (USAGE, True)


# ---- keys


def test_an_encrypted_key_signs_with_its_passphrase_and_shows_neither(site, deployment, command):
    secret = site.work / "secret"
    secret.write_bytes(b"correct horse battery staple\n")
    secret.chmod(0o600)
    (site.work / "a.key").unlink()
    (site.work / "a.pub").unlink()
    assert command("keygen", site.work / "a.key", "--passphrase-file", secret).code == DONE
    pem = (site.work / "a.key").read_text()
    assert "ENCRYPTED" in pem
    assert (site.work / "a.key").stat().st_mode & 0o777 == 0o600
    site.create(deployment)
    said = site.sign("a", "next.json", "--passphrase-file", secret)
    assert said.code == DONE, said.err
    assert not any(word in said.err + said.out for word in ("horse", pem.splitlines()[1]))


@pytest.mark.parametrize(
    ("fault", "passphrase", "mode", "told"),
    [
        ("another passphrase", b"correct horse battery stable", 0o600, "the passphrase of this key, got another one"),
        ("no passphrase at all", b"", 0o600, "the passphrase of this key, got another one"),
        ("others may read it", b"correct horse battery staple", 0o640, "mode 0600"),
    ],
)
def test_an_encrypted_key_without_its_passphrase(site, deployment, command, fault, passphrase, mode, told):
    right, wrong = site.work / "right", site.work / "wrong"
    right.write_bytes(b"correct horse battery staple")
    right.chmod(0o600)
    wrong.write_bytes(passphrase)
    wrong.chmod(mode)
    command("keygen", site.work / "x.key", "--passphrase-file", right)
    site.create(deployment)
    said = site("sign", site.work / "next.json", "--key", site.work / "x.key", "--passphrase-file", wrong)
    assert (said.code, told in said.err) == (USAGE, True), said.err
    assert "horse" not in said.err


def test_nobody_can_type_a_passphrase_where_there_is_no_terminal(site, deployment, command, monkeypatch):
    secret = site.work / "secret"
    secret.write_bytes(b"correct horse battery staple")
    secret.chmod(0o600)
    command("keygen", site.work / "x.key", "--passphrase-file", secret)
    site.create(deployment)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    said = site.sign("x")
    assert (said.code, "--passphrase-file FILE" in said.err) == (USAGE, True), said.err


def test_a_short_passphrase_is_none(site, command):
    secret = site.work / "secret"
    secret.write_bytes(b"sesame")
    secret.chmod(0o600)
    said = command("keygen", site.work / "x.key", "--passphrase-file", secret)
    assert (said.code, "at least 12" in said.err, "sesame" in said.err) == (USAGE, True, False)
    assert not (site.work / "x.key").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_may_read_does_not_sign(site, deployment, mode):
    site.create(deployment)
    (site.work / "a.key").chmod(mode)
    said = site.sign("a")
    assert (said.code, "chmod 600" in said.err) == (USAGE, True)


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nSECRETSECRET\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_not_shown(site, deployment, content):
    site.create(deployment)
    (site.work / "a.key").write_text(content)
    said = site.sign("a")
    assert (said.code, "expected a PEM private key" in said.err) == (USAGE, True)
    assert "SECRET" not in said.err


def test_no_key_is_ever_replaced(site):
    before = (site.work / "a.key").read_bytes()
    said = site.command("keygen", site.work / "a.key")
    assert (said.code, (site.work / "a.key").read_bytes()) == (USAGE, before)


def test_a_public_key_in_the_place_of_the_private_one(site, deployment):
    site.create(deployment)
    (site.work / "a.pub").chmod(0o600)
    said = site("sign", site.work / "next.json", "--key", site.work / "a.pub")
    assert (said.code, "expected a PEM private key" in said.err) == (USAGE, True)


# ---- publishing


@pytest.mark.parametrize("values", [{"number": 1}, {"supersedes": None}, {"service": "vitrine-other"}])
def test_what_does_not_follow_is_not_published_whoever_signed_it(site, deployment, another, values):
    site.released(deployment)
    site.create(another)
    release = read_release((site.work / "next.json").read_bytes())
    keys = [load(site.work / f"{name}.key") for name in "ab"]
    (site.work / "next.json").write_bytes(resigned(release, *keys, **values))
    before = site.files()
    said = site.publish("--source", another)
    assert said.code == REFUSED, said.err
    assert site.files() == before


def test_a_tampered_manifest(site, deployment):
    site.create(deployment)
    site.sign("a")
    site.sign("b")
    manifest = deployment / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"6.12.1", b"6.12.9"))
    said = site.publish("--source", deployment)
    assert (said.code, "manifest: expected the SHA-256" in said.err, site.files()) == (REFUSED, True, {})


def test_a_tampered_bill_of_materials(site, deployment, image):
    site.create(deployment)
    site.sign("a")
    site.sign("b")
    (image / "sbom.json").write_bytes(b"{}")
    said = site.publish("--source", image)
    assert (said.code, "sbom.json: expected the SHA-256" in said.err, site.files()) == (REFUSED, True, {})


def test_a_first_release_without_its_manifest(site, deployment):
    site.create(deployment)
    site.sign("a")
    site.sign("b")
    said = site.publish()
    assert (said.code, "--source: expected" in said.err) == (USAGE, True)


def test_more_signatures_under_a_published_number_are_another_file(site, deployment):
    site.released(deployment)
    words = ("sign", site.work / "next.json", "--key", site.work / "c.key", *site.trust)
    assert site.command(*words).code == DONE
    said = site.publish("--source", deployment)
    assert (said.code, "the same with other signatures" in said.err) == (REFUSED, True), said.err


def test_two_texts_under_one_number(site, deployment, another):
    for source, output in ((deployment, "one.json"), (another, "two.json")):
        site.create(source, output=output)
        for name in "ab":
            site.sign(name, output)
    assert site.publish("--source", deployment, file="one.json").code == DONE
    said = site.publish("--source", another, file="two.json")
    assert (said.code, "1 is published, got another text" in said.err) == (REFUSED, True), said.err


@pytest.mark.parametrize(
    ("fault", "change", "told"),
    [
        ("a release of somebody else", lambda f, r: f.write_bytes(resigned(r, STRANGER)), "signed by the keys in"),
        ("of too few", lambda f, r: f.write_bytes(resigned(r, A)), "signed by the keys in"),
        ("under another number", lambda f, _: f.rename(f.with_name("7.json")), "number 7, as it is called"),
        ("half of it", lambda f, _: f.write_bytes(f.read_bytes()[:100]), "what was published under this number"),
    ],
)
def test_a_folder_that_somebody_wrote_into(site, deployment, another, fault, change, told):
    release = site.released(deployment)
    change(site.folder / "releases/1.json", release)
    said = site.create(another)
    assert (said.code, told in said.err) == (USAGE, True), said.err


def test_a_folder_of_another_publisher(site, deployment, another):
    site.released(deployment)
    trust = ("--publisher", site.work / "d.pub", "--published", site.folder, "--output", site.work / "n")
    said = site.command("create", another, *trust)
    assert (said.code, "signed by the keys in --publisher" in said.err) == (USAGE, True)


def test_nothing_is_published_while_somebody_else_publishes(site, deployment):
    from provisioner.publish import sole

    site.create(deployment)
    site.sign("a")
    site.sign("b")
    with sole(site.folder):
        said = site.publish("--source", deployment)
    assert (said.code, "another run" in said.err) == (NOT_NOW, True)


# ---- creating


def test_sources_of_two_images(site, deployment, another):
    said = site.create(deployment, another)
    assert (said.code, "deployments of one image" in said.err) == (USAGE, True)


def test_a_folder_that_is_no_source(site, tmp_path):
    said = site.create(tmp_path)
    assert (said.code, "no manifest.json" in said.err) == (USAGE, True)


def test_a_deployment_whose_release_somebody_else_signed(site, deployment):
    release = read_release((deployment / "release.json").read_bytes())
    (deployment / "release.json").write_bytes(resigned(release, STRANGER))
    said = site.create(deployment)
    assert (said.code, "a release of this deployment" in said.err) == (USAGE, True)


def test_a_deployment_with_the_manifest_of_another_image(site, deployment, another):
    (deployment / "manifest.json").write_bytes((another / "manifest.json").read_bytes())
    said = site.create(deployment)
    assert (said.code, "the manifest that the release names" in said.err) == (USAGE, True)


@pytest.mark.parametrize("words", [("--days", 0), ("--days", 401), ("--number", "-1"), ("--not-before", "tomorrow")])
def test_terms_that_cannot_be(site, deployment, words):
    said = site("create", deployment, "--output", site.work / "n", *words)
    assert said.code == USAGE
    assert not (site.work / "n").exists()


def test_a_number_that_goes_back_is_not_created(site, deployment, another):
    site.released(deployment, number=5)
    said = site.create(another, number=5)
    assert (said.code, "number: expected a number above 5" in said.err) == (REFUSED, True)


# ---- revoking


def test_a_revoked_release_is_named_by_its_successor(site, deployment, another):
    site.released(deployment)
    site.released(another)
    assert site("revoke", 1, "--output", site.work / "next.json").code == DONE
    site.sign("a")
    site.sign("b")
    assert site.publish().code == DONE  # its manifest is the newest one's, which is there
    release = open_release((site.folder / "release.json").read_bytes(), pin(site))
    assert (release.number, release.revokes, release.supersedes) == (3, (1,), 2)


def test_the_newest_release_is_revoked_by_what_takes_its_place(site, deployment, another):
    site.released(deployment)
    said = site("revoke", 1, "--output", site.work / "n")
    assert (said.code, "source: expected what takes the place of release 1" in said.err) == (REFUSED, True)
    assert "next: deploy a corrected image" in said.err
    said = site("revoke", 1, "--source", deployment, "--output", site.work / "n")
    assert (said.code, "the successor of release 1 is missing" in said.err) == (REFUSED, True)
    said = site("revoke", 1, "--source", another, "--output", site.work / "n", "--json")
    assert (said.code, said.told["revokes"], said.told["number"]) == (DONE, [1], 2)


@pytest.mark.parametrize("number", [2, 99])
def test_what_was_never_published_is_not_revoked(site, deployment, another, number):
    site.released(deployment)
    said = site("revoke", number, "--source", another, "--output", site.work / "n")
    assert (said.code, "numbers of published releases: 1" in said.err) == (REFUSED, True)


def test_nothing_is_revoked_where_nothing_is_published(site):
    said = site("revoke", 1, "--output", site.work / "n")
    assert (said.code, "name the right folder" in said.err) == (REFUSED, True)


def test_a_revocation_is_not_forgotten(site, deployment, another, tmp_path, image):
    site.released(deployment)
    site.released(another, revokes=1)
    assert site.released(another).revokes == (1,)


# ---- rotating


def rotated(site, names="bcd", threshold=2, signers="bc"):
    new = [site.work / f"{name}.pub" for name in names]
    said = site("rotate", "--new", *new, "--new-threshold", threshold, "--output", site.work / "rotation.json")
    assert said.code == DONE, said.err
    for name in signers:
        assert site.sign(name, "rotation.json").code == DONE
    return said


def test_keys_are_rotated_by_the_old_and_the_new_holders(site, deployment, another):
    site.released(deployment)
    said = rotated(site)
    assert "the keys that are replaced: 2 of" in said.err
    assert "the new keys: 2 of" in said.err
    assert site.publish(file="rotation.json").code == DONE
    chain = [(site.folder / "rotations/2.json").read_bytes()]
    assert KeySet.of(verify_rotations(chain, pin(site))).digest == KeySet.of(pin(site, "bcd")).digest
    # Whoever pinned the first keys goes on with the same words; who left does not sign any more.
    assert site.create(another).code == DONE
    assert site.sign("a", "next.json").code == REFUSED
    assert site.sign("d", "next.json").code == DONE
    assert site.sign("b", "next.json").code == DONE
    assert site.publish("--source", another).code == DONE
    open_release((site.folder / "release.json").read_bytes(), pin(site, "bcd"))


@pytest.mark.parametrize(("names", "signers", "told"), [("bcd", "b", "replaced"), ("de", "ab", "the new keys")])
def test_a_rotation_that_too_few_signed(site, deployment, names, signers, told):
    site.released(deployment)
    rotated(site, names, 2, signers)
    said = site.publish(file="rotation.json")
    assert (said.code, told in said.err) == (REFUSED, True), said.err
    assert not (site.folder / "rotations").exists()


def test_a_rotation_is_published_once(site, deployment):
    site.released(deployment)
    rotated(site)
    site.publish(file="rotation.json")
    before = site.files()
    said = site.publish(file="rotation.json")
    assert (said.code, "is published already" in said.err, site.files()) == (DONE, True, before)


def test_a_rotation_of_keys_that_are_no_longer_in_force(site, deployment):
    site.released(deployment)
    rotated(site, "cd", 1, "abd")
    (site.work / "rotation.json").rename(site.work / "first.json")
    rotated(site, "de", 1, "ab" + "d")
    assert site.publish(file="first.json").code == DONE
    said = site.publish(file="rotation.json")
    assert said.code == REFUSED, said.err


def test_a_rotation_to_the_same_keys(site):
    keys = [site.work / f"{name}.pub" for name in "cba"]
    said = site("rotate", "--new", *keys, "--new-threshold", 2, "--output", site.work / "r")
    assert (said.code, "the new keys are the previous ones" in said.err) == (USAGE, True)


def test_a_rotation_with_a_private_key_among_the_new_ones(site):
    said = site("rotate", "--new", site.work / "d.key", "--new-threshold", 1, "--output", site.work / "r")
    assert (said.code, "a private key" in said.err) == (USAGE, True)


def test_a_folder_whose_rotation_is_cut_out(site, deployment, another):
    site.released(deployment)
    rotated(site)
    site.publish(file="rotation.json")
    site.create(another)
    for name in "bd":
        site.sign(name)
    site.publish("--source", another)
    (site.folder / "rotations/2.json").unlink()
    said = site.create(another, output="n")
    assert (said.code, "signed by the keys in --publisher" in said.err) == (USAGE, True)


def test_a_pin_of_the_newest_keys_needs_a_release_that_they_signed(site, deployment, another):
    site.released(deployment)
    rotated(site)
    site.publish(file="rotation.json")
    trust = ("--publisher", *(site.work / f"{name}.pub" for name in "bcd"), "--threshold", 2)
    words = ("create", another, "--published", site.folder, "--output", site.work / "n", *trust)
    assert "or earlier ones" in site.command(*words).err
    site.create(another)
    for name in "bd":
        site.sign(name)
    site.publish("--source", another)
    assert site.command(*words).code == DONE


def test_an_unsigned_release_below_the_pin_is_no_part_of_the_history(site, deployment, another):
    """Anybody who writes to the folder puts it there: what the earlier keys signed cannot be verified."""
    first = site.released(deployment)
    rotated(site)
    site.publish(file="rotation.json")
    site.create(another)
    for name in "bd":
        site.sign(name)
    assert site.publish("--source", another).code == DONE
    (site.folder / "releases/1.json").write_bytes(resigned(first, measurements=first.measurements[:1] * 2))
    numbers = [release.number for release in read_published(site.folder, pin(site, "bcd")).history.releases]
    assert numbers == [2]
    (site.folder / "releases/1.json").write_bytes(sign(first.to_statement(), ()))
    assert [one.number for one in read_published(site.folder, pin(site, "bcd")).history.releases] == [2]
    with pytest.raises(SpecError, match="signed by the keys in --publisher"):
        read_published(site.folder, pin(site))


def _rotation(site, previous, following, *, number=2):
    data = rotate(KeySet.of(pin(site, *previous)), KeySet.of(pin(site, *following)), number=number)
    (site.work / "rotation.json").write_bytes(data)


def test_a_rotation_of_a_set_of_one_holder_alone_is_not_signed_by_him(site):
    """Somebody pinned him alone: with his signature that one would go on with the keys of the thief."""
    _rotation(site, ("a", 1), ("e", 1))
    before = (site.work / "rotation.json").read_bytes()
    said = site.command("sign", site.work / "rotation.json", "--key", site.work / "a.key", *site.trust)
    assert (said.code, "rotation.previous: expected the set of 2 of" in said.err) == (REFUSED, True), said.err
    assert (site.work / "rotation.json").read_bytes() == before


def test_a_rotation_to_the_set_of_the_publisher_is_signed_by_its_holders(site):
    _rotation(site, ("de", 2), ("abc", 2))
    said = site.command("sign", site.work / "rotation.json", "--key", site.work / "a.key", *site.trust)
    assert said.code == DONE, said.err


# ---- showing


def test_show_explains_a_release(site, deployment):
    site.released(deployment)
    said = site.command("show", site.folder, *site.trust)
    assert said.code == DONE
    packages = "packages  1 of Debian and 0 from PyPI in the root; 0 of Debian built the image"
    for told in ("release   1 of vitrine-test", "revokes   nothing", "kernel    6.12.1", packages, "(verified)"):
        assert told in said.out
    assert "not verified" in site.command("show", site.folder / "release.json").out


def test_show_refuses_a_signature_of_nobody_of_the_publishers(site, deployment):
    release = site.released(deployment)
    (site.work / "forged.json").write_bytes(resigned(release, STRANGER))
    assert site.command("show", site.work / "forged.json", *site.trust).code == REFUSED
    said = site.command("show", site.work / "forged.json", "--json")
    assert (said.code, said.told["verified"]) == (DONE, False)


def test_show_takes_no_manifest_of_another_image(site, deployment, another):
    site.released(deployment)
    for release in (site.folder / "release.json", site.work / "next.json"):
        said = site.command("show", release, "--manifest", another / "manifest.json")
        assert (said.code, "which is another one's" in said.err, said.out) == (USAGE, True, "")


def test_show_explains_a_rotation(site, deployment):
    site.released(deployment)
    rotated(site)
    said = site.command("show", site.work / "rotation.json", *site.trust)
    assert (said.code, "rotation  2 of the publisher's keys, from set 1 to set 2" in said.out) == (DONE, True), said.err


def test_what_a_release_says_cannot_draw_on_the_terminal(site, deployment):
    release = read_release((deployment / "release.json").read_bytes())
    statement = json.loads(release.to_statement())
    statement["predicate"]["service"] = statement["subject"][0]["name"] = "\u202evitrine"
    (site.work / "x").write_bytes(sign(json.dumps(statement).encode(), ()))
    assert site.command("show", site.work / "x").code == USAGE


# ---- differences


def test_diff_says_what_changed_in_words_first(site, deployment, another):
    site.released(deployment)
    site.released(another)
    said = site.command("diff", site.folder / "releases/1.json", site.folder / "releases/2.json", *site.trust)
    assert said.code == DONE, said.err
    lines = said.out.splitlines()
    assert lines[0] == "from release 1 of vitrine-test to release 2 of vitrine-test"
    assert lines[1].startswith("Packages of the image: 1 changed")
    assert "  openssl: 3.5.1-1 → 3.5.4-1" in lines
    assert "  PCR 5 (the partition table, and how firmware handed over): " in said.out
    assert "not verified" not in said.out


def test_diff_of_deployments_and_images(site, deployment, another, image, tmp_path):
    assert site.command("diff", deployment, another, "--json").told["verified"] is False
    said = site.command("diff", image, tmp_path / "image2")
    assert "from the image in" in said.out
    said = site.command("diff", image, image)
    assert "Nothing changed." in said.out


def test_the_manifest_of_an_earlier_deployment_is_kept(site, deployment, tmp_path):
    image = tmp_path / "image"
    manifest_of(image, kernel="6.12.2")
    accepted(deployment, image)
    said = site.command("diff", deployment / "releases/1.json", deployment)
    assert "  kernel: 6.12.1 → 6.12.2" in said.out, said.err


def test_diff_takes_no_manifest_but_the_releases_own(site, deployment, another):
    (site.work / "r.json").write_bytes((deployment / "release.json").read_bytes())
    words = ("diff", site.work / "r.json", another)
    assert site.command(*words).code == USAGE
    said = site.command(*words, "--manifest", another / "manifest.json")
    assert (said.code, "the manifest of release 1, whose SHA-256 is" in said.err) == (USAGE, True)
    assert site.command(*words, "--manifest", deployment / "manifest.json").code == DONE


def test_diff_refuses_what_nobody_of_the_publishers_signed(site, deployment, another):
    site.released(deployment)
    said = site.command("diff", site.folder, another, *site.trust)
    assert (said.code, "none of theirs" in said.err) == (REFUSED, True)


def test_diff_of_a_rotation(site, deployment):
    site.released(deployment)
    rotated(site)
    assert site.command("diff", site.work / "rotation.json", site.folder).code == USAGE


def test_public_keys_are_what_holders_exchange(site):
    assert (site.work / "a.pub").read_bytes() == public_pem(load(site.work / "a.key"))
