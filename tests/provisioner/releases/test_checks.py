"""What a release must be to follow those that are published: every fault that there can be, each alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client_sdk.errors import EvidenceError
from client_sdk.manifest import digest
from client_sdk.rotation import Rotation
from provisioner.errors import ReleaseError
from provisioner.releases.checks import (
    History,
    next_number,
    next_rotation,
    require_manifest,
    require_next,
    require_rotation,
    require_sound,
)
from tests.client_sdk.test_release import MEASUREMENT, RELEASE
from tests.provisioner.measure.fake_artefacts import write_artefacts
from tests.provisioner.releases.conftest import HOLDERS, NOW, A, B, days, key_set, manifest_of

FIRST = replace(
    RELEASE,
    number=1,
    supersedes=None,
    revokes=(),
    not_before=NOW - days(9),
    not_after=NOW + days(90),
    manifest_sha256=b"1" * 32,
)
SECOND = replace(FIRST, number=2, supersedes=1, not_before=NOW - days(5), manifest_sha256=b"2" * 32)
THIRD = replace(SECOND, number=3, supersedes=2, revokes=(1,), not_before=NOW - days(1), manifest_sha256=b"3" * 32)
PAST = History((FIRST, SECOND))


def test_a_release_that_follows():
    require_sound(THIRD, now=NOW)
    require_next(THIRD, PAST, now=NOW)
    require_next(FIRST, History(), now=NOW)


def test_a_number_may_be_left_out():
    require_next(replace(THIRD, number=7), PAST, now=NOW)


def test_a_renewal_says_the_same_with_other_dates():
    require_next(replace(SECOND, number=3, supersedes=2, not_before=NOW), PAST, now=NOW)


@pytest.mark.parametrize(
    ("fault", "values", "field", "told"),
    [
        ("dates inverted", {"not_before": NOW + days(91)}, "not_after", "after not_before"),
        ("no time at all", {"not_before": THIRD.not_after}, "not_after", "after not_before"),
        ("run out already", {"not_after": NOW}, "not_after", "an instant after"),
        ("it revokes itself", {"revokes": (1, 3)}, "revokes", "below its own, 3"),
        ("it revokes one to come", {"revokes": (9,)}, "revokes", "below its own, 3"),
        ("a number twice", {"revokes": (1, 1)}, "revokes", "each number once"),
        ("numbers out of order", {"revokes": (2, 1)}, "revokes", "each number once"),
        ("it replaces itself", {"supersedes": 3}, "supersedes", "below its own, 3"),
    ],
)
def test_a_release_that_cannot_be_whatever_was_before(fault, values, field, told):
    with pytest.raises(ReleaseError, match=told) as caught:
        require_sound(replace(THIRD, **values), now=NOW)
    assert [found.field for found in caught.value.faults] == [field]
    assert "create the release again" in caught.value.remedy
    with pytest.raises(ReleaseError, match=told):
        require_next(replace(THIRD, **values), PAST, now=NOW)


@pytest.mark.parametrize(
    ("fault", "values", "field", "told"),
    [
        ("a number that goes back", {"number": 1, "supersedes": None, "revokes": ()}, "number", "above 2, the newest"),
        ("a number that is taken", {"number": 2, "supersedes": None}, "number", "above 2, the newest"),
        ("it forgets what it follows", {"supersedes": None}, "supersedes", "2, the newest"),
        ("it follows an older one", {"supersedes": 1}, "supersedes", "2, the newest"),
        ("another service", {"service": "vitrine-other"}, "service", "as before"),
        ("in force before the last one", {"not_before": NOW - days(6)}, "not_before", "no earlier than"),
        ("a number that nobody gave", {"number": 9, "revokes": (1, 5)}, "revokes", "up to 2"),
    ],
)
def test_a_release_that_does_not_follow(fault, values, field, told):
    require_sound(replace(THIRD, **values), now=NOW)  # by itself it could be
    with pytest.raises(ReleaseError, match=told) as caught:
        require_next(replace(THIRD, **values), PAST, now=NOW)
    assert field in [found.field for found in caught.value.faults]


def test_what_was_revoked_stays_so():
    fourth = replace(THIRD, number=4, supersedes=3, revokes=(), not_before=NOW)
    with pytest.raises(ReleaseError, match="what was revoked before: 1, got none"):
        require_next(fourth, History((FIRST, SECOND, THIRD)), now=NOW)
    require_next(replace(fourth, revokes=(1,)), History((FIRST, SECOND, THIRD)), now=NOW)


def test_the_successor_of_a_revoked_release_is_missing():
    again = replace(THIRD, revokes=(2,), manifest_sha256=SECOND.manifest_sha256)
    with pytest.raises(ReleaseError, match="the successor of release 2 is missing"):
        require_next(again, PAST, now=NOW)
    other = replace(MEASUREMENT, phases=("sysinit",))
    require_next(replace(again, measurements=(other,)), PAST, now=NOW)  # only the measurements were wrong


def test_every_fault_is_told_at_once():
    wrong = replace(THIRD, number=2, supersedes=1, service="x", not_after=NOW - days(3), not_before=NOW)
    with pytest.raises(ReleaseError) as caught:
        require_next(wrong, PAST, now=NOW)
    assert [found.field for found in caught.value.faults] == ["not_after", "number", "supersedes", "service"]


@pytest.fixture
def image(tmp_path):
    return write_artefacts(tmp_path / "image")


def of(image, **values):
    manifest = manifest_of(image, **values)
    measured = replace(MEASUREMENT, image_authenticode=manifest.boot.uki_authenticode)
    data = manifest.to_json()
    return replace(FIRST, manifest_sha256=digest(data), measurements=(measured,)), data, manifest


def test_the_manifest_that_the_release_names(image):
    release, data, manifest = of(image)
    assert require_manifest(release, data) == manifest


@pytest.mark.parametrize("change", [lambda data: data + b"\n", lambda data: data.replace(b"6.12.1", b"6.12.2")])
def test_a_tampered_manifest(image, change):
    release, data, _ = of(image)
    with pytest.raises(ReleaseError, match=f"manifest: expected the SHA-256 {digest(data).hex()}"):
        require_manifest(release, change(data))


def test_a_manifest_that_is_none(image):
    release, _, _ = of(image)
    with pytest.raises(ReleaseError, match="a manifest of this version"):
        require_manifest(replace(release, manifest_sha256=digest(b"{}")), b"{}")


def test_measurements_of_another_image_than_the_manifests(image):
    release, data, _ = of(image)
    other = replace(release.measurements[0], boot_mode="secure-boot", image_authenticode=b"\xbb" * 32)
    with pytest.raises(ReleaseError, match=r"local-qemu secure-boot: .* got bbbb") as caught:
        require_manifest(replace(release, measurements=(*release.measurements, other)), data)
    assert len(caught.value.faults) == 1


def test_numbers_go_on():
    assert [next_number(History(), number) for number in (1, 7)] == [1, 7]
    assert [next_number(PAST, number) for number in (1, 3, 7)] == [3, 3, 7]
    assert next_rotation(History()) == 2
    assert next_rotation(History((), (Rotation(2, b"1" * 32, HOLDERS),))) == 3


@pytest.mark.parametrize(
    ("fault", "number", "previous", "told"),
    [
        ("of other keys", 2, key_set(A), "the publisher's keys now"),
        ("its number goes back", 2, HOLDERS, "3, the next one"),
        ("a number is left out", 4, HOLDERS, "3, the next one"),
    ],
)
def test_a_rotation_that_does_not_follow(fault, number, previous, told):
    before = () if number == 2 and previous != HOLDERS else (Rotation(2, key_set(B).digest, HOLDERS),)
    with pytest.raises(ReleaseError, match=told) as caught:
        require_rotation(Rotation(number, previous.digest, key_set(B)), HOLDERS, History((), before))
    assert len(caught.value.faults) == 1


def test_a_release_error_is_printable():
    error = ReleaseError((), "\x1b[31m")
    assert "\x1b" not in str(error)
    assert isinstance(error, Exception)
    assert not isinstance(error, EvidenceError)
