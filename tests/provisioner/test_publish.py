"""Releases are numbered, renewed and signed by a key that only its owner can read; candidates are no releases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from client_sdk.binding import DEBUG_LOCKDOWN, LOCKDOWN
from client_sdk.errors import VerificationError
from client_sdk.manifest import Boot, Manifest, Model, Verity
from client_sdk.publisher import Publisher
from client_sdk.release import open_release, verify_release
from provisioner import publish as module
from provisioner.errors import BusyError, MeasureError, SpecError
from provisioner.keys import load_or_create, public_pem
from provisioner.measure import predict
from provisioner.publish import LIFETIME, prepare, promote, sole
from tests.provisioner.measure.fake_artefacts import uki_image, write_artefacts

NOW = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)


def write_manifest(image, kernel="6.12", cmdline="quiet"):
    """Write a manifest of this image that is made up but for the digest of the UKI."""
    none = Verity(bytes(32), bytes(32), 1, "11111111-2222-3333-4444-555555555555")
    manifest = Manifest(
        packages=(),
        files=(),
        tools=(),
        kernel=kernel,
        boot=Boot(bytes(32), predict(image).authenticode, bytes(32), bytes(32), bytes(32), cmdline),
        root=none,
        models=(Model("m", "llamacpp", "r", "1", (("model.gguf", bytes(32)),)),),
        model_disk=none,
        wheels=(),
        token_issuer_key="",
        source_commit="",
    )
    (image / "manifest.json").write_bytes(manifest.to_json())


@pytest.fixture
def image(tmp_path):
    folder = write_artefacts(tmp_path / "image")
    write_manifest(folder)
    return folder


def test_an_image_that_is_not_the_manifests_is_not_published(image, root):
    write_artefacts(image, uki_image(cmdline=b"another"))
    with pytest.raises(MeasureError, match="changed since it was baked"):
        prepare(image, root, service="test", now=NOW)
    assert not (root / "release.candidate.json").exists()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def publish(image, root, now=NOW):
    candidate = prepare(image, root, service="test", now=now)
    promote(root)
    return candidate


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


@pytest.mark.parametrize(
    ("cmdline", "said"),
    [
        ("quiet", LOCKDOWN),
        ("quiet vitrine.mode=DEBUG", DEBUG_LOCKDOWN),
        # One whole word, and nothing that only looks like it.
        ("quiet vitrine.mode=DEBUGGED x=vitrine.mode=DEBUG", LOCKDOWN),
    ],
)
def test_the_release_of_a_debug_image_says_so(image, root, cmdline, said):
    write_manifest(image, cmdline=cmdline)
    assert publish(image, root).debug is (said == DEBUG_LOCKDOWN)
    (measurement,) = read(root).measurements
    assert measurement.pcr15_template[0].data == said
    assert measurement.is_debug is (said == DEBUG_LOCKDOWN)


def files(root):
    return {name: (root / name).read_bytes() for name in ("release.json", "manifest.json", "publisher.pub")}


def another(image, number=1):
    """The image with other contents, in another folder."""
    other = write_artefacts(image.with_name(f"other-{number}"), seed=number)
    write_manifest(other, kernel=f"another {number}")
    return other


def test_a_candidate_is_no_release(image, root):
    prepare(image, root, service="test", now=NOW)
    assert [path.name for path in root.glob("[!.]*") if path.name in ("release.json", "manifest.json", "image")] == []


def test_a_candidate_that_nobody_accepts_changes_nothing_that_clients_were_given(image, root):
    publish(image, root)
    before = files(root)
    assert prepare(another(image), root, service="test", now=NOW).changed
    assert files(root) == before
    assert (root / "image").resolve() == image


def test_publishing_moves_release_manifest_and_link_together(image, root):
    publish(image, root)
    other = another(image)
    publish(other, root)
    assert read(root).manifest_sha256 == sha256((root / "manifest.json").read_bytes()).digest()
    assert (root / "image").resolve() == other
    assert list(root.glob("*candidate*")) == []


def test_no_number_is_ever_given_to_two_contents(image, root):
    publish(image, root)
    candidates = [prepare(another(image, number), root, service="test", now=NOW) for number in (1, 2, 3)]
    assert [candidate.number for candidate in candidates] == [2, 3, 4]
    assert publish(another(image, 3), root).number == 4
    assert read(root).supersedes == 1


def test_the_number_counts_as_given_before_anything_is_signed(image, root, monkeypatch):
    publish(image, root)
    with monkeypatch.context() as patch:
        patch.setattr(module, "sign", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            publish(another(image), root)
    assert publish(another(image), root).number == 3


def test_a_candidate_that_failed_once_keeps_its_number_when_it_is_tried_again(image, root):
    publish(image, root)
    first = prepare(another(image), root, service="test", now=NOW)
    signed = first.release.read_bytes()
    again = prepare(another(image), root, service="test", now=NOW + timedelta(hours=1))
    assert (again.number, again.release.read_bytes()) == (2, signed)


def test_a_failed_candidate_is_not_taken_again_after_another_was_published(image, root):
    publish(image, root)
    failed = prepare(another(image), root, service="test", now=NOW).release.read_bytes()
    publish(another(image, 2), root)
    (root / "release.candidate.json").write_bytes(failed)
    assert publish(another(image), root).number == 4
    assert read(root).supersedes == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_damaged_candidate_is_replaced(image, root, content):
    prepare(image, root, service="test", now=NOW)
    (root / "release.candidate.json").write_bytes(content)
    assert publish(image, root).number == 2


@pytest.mark.parametrize("content", ["", "two", "-1", "1.5", "²", "9" * 5000])
def test_a_damaged_number_is_never_guessed(image, root, content):
    publish(image, root)
    (root / "release.number").write_text(content)
    with pytest.raises(SpecError, match=r"release\.number: expected the highest release number"):
        publish(another(image), root)
    assert read(root).number == 1


def test_a_lost_number_is_at_least_that_of_the_release(image, root):
    publish(image, root)
    (root / "release.number").unlink()
    assert publish(another(image), root).number == 2


def test_nothing_changed_means_the_same_bytes(image, root):
    publish(image, root)
    before = (root / "release.json").read_bytes()
    again = publish(image, root, NOW + timedelta(days=1))
    assert (again.changed, again.number, (root / "release.json").read_bytes()) == (False, 1, before)


def test_another_manifest_gets_the_next_number(image, root):
    publish(image, root)
    write_manifest(image, kernel="another")
    assert publish(image, root).number == 2
    assert read(root).supersedes == 1


def test_another_image_gets_the_next_number(image, root):
    publish(image, root)
    write_artefacts(image, uki_image(cmdline=b"init=/bin/sh"))
    write_manifest(image)
    assert publish(image, root).number == 2


@pytest.mark.parametrize("age", [LIFETIME - timedelta(days=1), LIFETIME + timedelta(days=100)])
def test_an_old_release_is_renewed_and_its_number_never_given_again(image, root, age):
    publish(image, root)
    renewed = publish(image, root, NOW + age)
    assert (renewed.number, renewed.changed) == (2, True)


def test_a_release_of_somebody_else_does_not_restart_the_numbering(image, root):
    publish(image, root)
    (root / "publisher.key").unlink()
    before = files(root)
    with pytest.raises(SpecError, match=r"release\.json.*move it and release\.number away"):
        publish(image, root)
    assert files(root) == before


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
    assert list(tmp_path.iterdir()) == []  # not the private key under another name either
    assert load_or_create(path)


def _interrupt(*_):
    raise KeyboardInterrupt


def test_while_a_candidate_is_judged_no_other_run_prepares_one(image, root):
    publish(image, root)
    prepare(image, root, service="test", now=NOW)
    before = (root / "release.candidate.json").read_bytes()
    with sole(root), pytest.raises(BusyError, match="another run prepares or publishes"):
        prepare(another(image), root, service="test", now=NOW)
    assert (root / "release.candidate.json").read_bytes() == before
    assert prepare(another(image), root, service="test", now=NOW).changed


def test_a_release_revokes_what_it_is_told_to_and_what_was_revoked_before(image, root):
    publish(image, root)
    publish(another(image), root)
    assert prepare(another(image), root, service="test", now=NOW, revokes=(1,)).changed
    promote(root)
    assert (read(root).number, read(root).revokes) == (3, (1,))
    publish(another(image, 2), root)
    assert (read(root).number, read(root).revokes) == (4, (1,)), "a revocation was forgotten"


def test_revoking_once_more_makes_no_other_release(image, root):
    publish(image, root)
    for changed in (True, False):
        assert prepare(image, root, service="test", now=NOW, revokes=(1,)).changed is changed
        promote(root)
    assert read(root).number == 2


@pytest.mark.parametrize("number", [2, 3, 99])
def test_a_release_that_is_still_to_come_cannot_be_revoked(image, root, number):
    publish(image, root)
    with pytest.raises(SpecError, match=f"deploy_revokes: expected numbers of releases up to 1, .* got {number}"):
        prepare(another(image), root, service="test", now=NOW, revokes=(number,))
    assert not (root / "release.candidate.json").exists()


def test_a_policy_is_published_with_the_release_that_was_accepted_under_it(image, root):
    publish(image, root)
    (root / "policy.toml").write_text("old")
    (root / "policy.candidate.toml").write_text("new")
    prepare(image, root, service="test", now=NOW)
    assert (root / "policy.toml").read_text() == "old"
    promote(root)
    assert (root / "policy.toml").read_text() == "new"
    assert not (root / "policy.candidate.toml").exists()
