"""What is published goes into the log once, whatever interrupts it; clients who pin the log take the bundle."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from client_sdk.errors import VerificationError
from client_sdk.publisher import Publisher
from client_sdk.releases import open_releases
from client_sdk.transparency.formats.bundle import Bundle
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner
from client_sdk.transparency.log.config import Config, Cosigner
from client_sdk.transparency.log.writer import LogWriter, create
from provisioner.releases import publishing
from tests.provisioner.releases.test_command import DONE, REFUSED, USAGE, pin, rotated

NOT_NOW = 3


def make_log(site, witnesses=(), quorum=0, pinned=None):
    home = site.work / "log"
    signer = NoteSigner.generate("log.example/vitrine")
    create(home, lambda key: Config(key.verifier, pinned or pin(site), witnesses, quorum), signer)
    return home


def logged(site, source, log, **options):
    site.create(source, **options)
    for name in "ab":
        assert site.sign(name).code == DONE
    return site.publish("--source", source, "--log", log)


def trusting(site, log, **values):
    return Publisher(keys=pin(site).keys, threshold=2, log=LogWriter(log).config.log, **values)


def test_a_client_who_pins_the_log_takes_the_bundle(site, deployment):
    log = make_log(site)
    said = logged(site, deployment, log)
    assert (said.code, "entry 0 of log.example/vitrine" in said.err) == (DONE, True), said.err
    bundle = Bundle.from_json((site.folder / "bundle.json").read_bytes())
    assert bundle.envelope == (site.folder / "release.json").read_bytes()
    assert site.files()["bundles/1.json"] == site.files()["bundle.json"]
    assert "release   1" in site.command("show", site.folder / "bundle.json", *site.trust).out


@pytest.mark.parametrize("place", ["nowhere", "a.pub", "."])
def test_a_path_where_no_log_is_is_a_mistake_and_nothing_is_published(site, deployment, archive, place):
    site.create(deployment)
    for name in "ab":
        site.sign(name)
    said = site.publish("--source", deployment, "--archive", archive, "--log", site.work / place)
    assert (said.code, "--log: expected the folder of the publisher's log, as `vitrine log init`" in said.err) == (
        USAGE,
        True,
    )
    assert site.files() == {}


def test_publishing_again_appends_nothing(site, deployment):
    log = make_log(site)
    logged(site, deployment, log)
    whole = site.files()
    for name in ("release.json", "bundle.json", "releases/1.json"):
        (site.folder / name).unlink()
    assert site.publish("--source", deployment, "--log", log).code == DONE
    assert site.files() == whole
    assert LogWriter(log).contents().size == 1


def test_interrupted_after_the_log_had_it(site, deployment, monkeypatch):
    log = make_log(site)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patching:
        patching.setattr(publishing, "write_release", full)
        said = logged(site, deployment, log)
    told = "No space left on device; free space, and run the same command again: it goes on where it was\n"
    assert (said.code, said.err.endswith(told)) == (2, True), said.err
    assert "release.json" not in site.files(), "clients were given what is not whole"
    assert site.publish("--source", deployment, "--log", log).code == DONE
    assert LogWriter(log).contents().size == 1


def test_another_text_under_a_number_that_the_log_has(site, deployment, another):
    log = make_log(site)
    logged(site, deployment, log)
    for path in site.folder.rglob("*.json"):
        path.unlink()
    said = logged(site, another, log)
    assert (said.code, "what a log has stays in it" in said.err) == (REFUSED, True), said.err
    assert "release.json" not in site.files()


def test_a_log_of_another_publisher(site, deployment):
    log = make_log(site, pinned=pin(site, "de", 1))
    said = logged(site, deployment, log)
    assert (said.code, "[R1]" in said.err) == (REFUSED, True), said.err
    assert "release.json" not in site.files()


def test_witnesses_who_do_not_sign(site, deployment):
    witness = NoteSigner.generate("witness.example", COSIGNATURE).verifier
    log = make_log(site, (Cosigner(witness),), 1)
    said = logged(site, deployment, log)
    assert (said.code, "run it again" in said.err) == (NOT_NOW, True), said.err
    assert "release.json" not in site.files()


def test_a_log_that_somebody_changed(site, deployment, another):
    log = make_log(site)
    logged(site, deployment, log)
    before = site.files()
    (log / "public/tile/0/000.p/1").write_bytes(bytes(32))
    said = logged(site, another, log)
    assert (said.code, "refused" in said.err) == (REFUSED, True), said.err
    assert site.files()["release.json"] == before["release.json"]


def test_rotations_are_logged_and_come_with_the_bundle(site, deployment, another):
    log = make_log(site)
    logged(site, deployment, log)
    rotated(site)
    for _ in range(2):  # the second time it is there already
        assert site.publish("--log", log, file="rotation.json").code == DONE
    assert LogWriter(log).contents().size == 2
    site.create(another)
    for name in "bd":
        assert site.sign(name).code == DONE
    assert site.publish("--source", another, "--log", log).code == DONE
    bundle = Bundle.from_json((site.folder / "bundle.json").read_bytes())
    assert bundle.rotations == ((site.folder / "rotations/2.json").read_bytes(),)
    # The real client gets from the keys that it pinned to those that signed.
    (release,) = open_releases(site.folder / "bundle.json", trusting(site, log), now=datetime.now(UTC)).releases
    assert release.number == 2


def test_the_real_client_takes_the_bundle_and_no_bare_release(site, deployment):
    log = make_log(site)
    logged(site, deployment, log)
    now, publisher = datetime.now(UTC), trusting(site, log)
    (release,) = open_releases(site.folder / "bundle.json", publisher, now=now).releases
    assert release.number == 1
    with pytest.raises(VerificationError, match=r"\[R2"):
        open_releases(site.folder / "release.json", publisher, now=now)
