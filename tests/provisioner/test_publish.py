"""Releases are numbered, renewed and signed by a key that only its owner can read; candidates are no releases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from client_sdk.errors import VerificationError
from client_sdk.publisher import Publisher
from client_sdk.release import open_release, verify_release
from provisioner.errors import MeasureError, SpecError
from provisioner.keys import load_or_create, public_pem
from provisioner.measure import predict
from provisioner.publish import LIFETIME, prepare, promote
from tests.provisioner.measure.fake_artefacts import uki_image, write_artefacts

NOW = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)


@pytest.fixture
def image(tmp_path):
    folder = write_artefacts(tmp_path / "image")
    (folder / "manifest.json").write_bytes(b'{"made":"up"}')
    return folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def publish(image, root, now=NOW):
    published = prepare(image, root, service="test", now=now)
    promote(root)
    return published


def read(root):
    return open_release((root / "release.json").read_bytes(), Publisher(keys=(root / "publisher.pub",)))


def test_the_release_states_what_was_predicted(image, root):
    publish(image, root)
    release = verify_release((root / "release.json").read_bytes(), Publisher(keys=(root / "publisher.pub",)), now=NOW)
    prediction = predict(image)
    (measurement,) = release.measurements
    assert dict(measurement.pcrs) == dict(prediction.pcrs)
    assert measurement.image_authenticode == prediction.authenticode
    assert (release.number, release.supersedes) == (1, None)
    assert (root / "image").resolve() == image


def test_a_candidate_is_no_release(image, root):
    prepare(image, root, service="test", now=NOW)
    assert not (root / "release.json").exists()


def test_nothing_changed_means_the_same_bytes(image, root):
    publish(image, root)
    before = (root / "release.json").read_bytes()
    again = publish(image, root, NOW + timedelta(days=1))
    assert (again.changed, again.number, (root / "release.json").read_bytes()) == (False, 1, before)


def test_another_manifest_gets_the_next_number(image, root):
    publish(image, root)
    (image / "manifest.json").write_bytes(b"{}")
    assert publish(image, root).number == 2
    assert read(root).supersedes == 1


def test_another_image_gets_the_next_number(image, root):
    publish(image, root)
    write_artefacts(image, uki_image(cmdline=b"init=/bin/sh"))
    assert publish(image, root).number == 2


@pytest.mark.parametrize("age", [LIFETIME - timedelta(days=1), LIFETIME + timedelta(days=100)])
def test_an_old_release_is_renewed_and_its_number_never_given_again(image, root, age):
    publish(image, root)
    renewed = publish(image, root, NOW + age)
    assert (renewed.number, renewed.changed) == (2, True)


def test_a_release_of_somebody_else_does_not_restart_the_numbering(image, root):
    publish(image, root)
    (root / "publisher.key").unlink()
    with pytest.raises(SpecError, match=r"release\.json.*move the file away"):
        publish(image, root)


def test_a_broken_release_file_does_not_restart_the_numbering(image, root):
    publish(image, root)
    (root / "release.json").write_text("{")
    with pytest.raises(SpecError, match="not JSON"):
        publish(image, root)


def test_artefacts_that_cannot_be_measured_are_not_published(image, root):
    (image / "uki.efi").write_bytes(b"MZ")
    with pytest.raises(MeasureError):
        publish(image, root)
    assert not (root / "release.candidate.json").exists()


def test_another_key_does_not_verify_the_release(image, root, tmp_path):
    publish(image, root)
    other = public_pem(load_or_create(tmp_path / "other.key"))
    with pytest.raises(VerificationError, match="R1"):
        open_release((root / "release.json").read_bytes(), Publisher(keys=(other,)))


def test_the_key_is_its_owners_alone_and_stays_the_same(tmp_path):
    path = tmp_path / "deep" / "publisher.key"
    first = load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_pem(load_or_create(path)) == public_pem(first)


def test_a_key_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "publisher.key"
    load_or_create(path)
    path.chmod(0o644)
    with pytest.raises(SpecError, match="chmod 600"):
        load_or_create(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_file_that_is_none_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "publisher.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SpecError, match="PEM private key"):
        load_or_create(path)
    assert path.read_bytes() == content


def test_an_interrupted_first_use_can_be_run_again(tmp_path, monkeypatch):
    path = tmp_path / "publisher.key"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_or_create(path)
    assert not path.exists()
    assert load_or_create(path)


def _interrupt(*_):
    raise KeyboardInterrupt
