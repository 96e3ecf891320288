"""Releases: signed by whom the caller pinned, in date, and read strictly (rules R1, R6, F1)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.binding import RUNTIME_TYPES
from client_sdk.dsse import key_id, pre_authentication_encoding, sign
from client_sdk.encoding import to_base64
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.publisher import Publisher
from client_sdk.release import EXACT_PCRS, Measurement, Release, TemplateEvent, open_release, verify_release
from tests.fakes import simulated_vm
from tests.fakes.simulated_cloud_vm import SimulatedCloudVm

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY, OTHER, THIRD = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2, 3))
MEASUREMENT = Measurement(
    platform="local-qemu",
    boot_mode="uefi",
    image_pcr=4,
    image_authenticode=b"\xaa" * 32,
    pcrs=tuple((index, bytes([index]) * 32) for index in EXACT_PCRS),
    pcr0_allowed=(),
    phases=("sysinit", "ready"),
    pcr15_template=tuple(TemplateEvent(kind, None if kind == "tls-spki" else b"x") for kind in RUNTIME_TYPES),
)
RELEASE = Release(
    number=3,
    not_before=NOW - timedelta(days=1),
    not_after=NOW + timedelta(days=1),
    supersedes=2,
    revokes=(1,),
    service="vitrine-test",
    manifest_sha256=b"\x0f" * 32,
    measurements=(MEASUREMENT,),
)


def pinned(*keys, threshold=1):
    return Publisher(keys=tuple(key.public_key() for key in keys), threshold=threshold)


def test_a_signed_release_in_date_is_accepted():
    data = sign(RELEASE.to_statement(), (KEY,))
    assert verify_release(data, pinned(KEY), now=NOW) == RELEASE


def test_pinned_pcr0_and_tee_values_round_trip():
    measurement = replace(
        MEASUREMENT,
        pcr0_allowed=(b"\x01" * 32,),
        acpi_allowed=(b"\x04" * 32,),
        rtmrs=((1, b"\x02" * 48),),
        launch_measurements=(b"\x03" * 48,),
    )
    release = replace(RELEASE, measurements=(measurement,))
    assert verify_release(sign(release.to_statement(), (KEY,)), pinned(KEY), now=NOW) == release


def test_a_release_re_signed_with_a_fresh_key_is_refused():
    forged = sign(replace(RELEASE, number=99).to_statement(), (OTHER,))
    with pytest.raises(VerificationError, match=r"\[R1\]") as caught:
        verify_release(forged, pinned(KEY), now=NOW)
    assert key_id(KEY.public_key()) in str(caught.value)


def test_a_key_id_that_lies_proves_nothing():
    envelope = json.loads(sign(RELEASE.to_statement(), (OTHER,)))
    envelope["signatures"][0]["keyid"] = key_id(KEY.public_key())
    with pytest.raises(VerificationError, match=r"\[R1\]"):
        verify_release(json.dumps(envelope).encode(), pinned(KEY), now=NOW)


def test_an_edited_payload_is_refused():
    envelope = json.loads(sign(RELEASE.to_statement(), (KEY,)))
    envelope["payload"] = to_base64(replace(RELEASE, service="evil").to_statement())
    with pytest.raises(VerificationError, match=r"\[R1\]"):
        verify_release(json.dumps(envelope).encode(), pinned(KEY), now=NOW)


def test_a_signature_without_the_payload_type_is_refused():
    envelope = json.loads(sign(RELEASE.to_statement(), (KEY,)))
    envelope["signatures"][0]["sig"] = to_base64(KEY.sign(RELEASE.to_statement()))
    with pytest.raises(VerificationError, match=r"\[R1\]"):
        verify_release(json.dumps(envelope).encode(), pinned(KEY), now=NOW)


def test_no_signature_at_all_is_refused():
    with pytest.raises(VerificationError, match="no valid signature of theirs"):
        verify_release(sign(RELEASE.to_statement(), ()), pinned(KEY), now=NOW)


def test_one_key_signing_twice_does_not_meet_a_threshold_of_two():
    data = sign(RELEASE.to_statement(), (KEY, KEY))
    with pytest.raises(VerificationError, match=f"got {key_id(KEY.public_key())}"):
        verify_release(data, pinned(KEY, OTHER, threshold=2), now=NOW)


def test_a_threshold_of_two_is_met_by_two_of_three():
    data = sign(RELEASE.to_statement(), (THIRD, KEY))
    assert verify_release(data, pinned(KEY, OTHER, THIRD, threshold=2), now=NOW) == RELEASE


@pytest.mark.parametrize("shift", [timedelta(days=-2), timedelta(days=1), timedelta(days=400)])
def test_a_release_outside_its_dates_is_refused(shift):
    data = sign(RELEASE.to_statement(), (KEY,))
    advice = "it is not in force yet: check this" if shift < timedelta(0) else "else ask for a newer one"
    with pytest.raises(VerificationError, match=rf"\[R6\] .*{advice}"):
        verify_release(data, pinned(KEY), now=NOW + shift)
    assert open_release(data, pinned(KEY)) == RELEASE


def _statement(path, value):
    document = json.loads(RELEASE.to_statement())
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return sign(json.dumps(document).encode(), (KEY,))


_MEASUREMENT = ("predicate", "measurements", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("_type",), "https://in-toto.io/Statement/v0.1", r"\$\._type"),
        (("predicateType",), "urn:other", r"\$\.predicateType"),
        (("subject",), [], r"\$\.subject"),
        (("subject", 0, "digest", "sha256"), "00" * 32, r"\$\.subject"),
        (("extra",), 1, "unknown key"),
        (("predicate", "version"), 2, "version 1"),
        (("predicate", "number"), 0, "number"),
        (("predicate", "not_after"), "2026-11-22", "not_after: not an instant"),
        (("predicate", "not_after"), "2026-11-22T12:00:00+00:00", "not_after"),
        (("predicate", "not_after"), "2026-1-2T12:00:00Z", "not_after"),
        (("predicate", "revokes"), ["1"], r"revokes\[0\]"),
        (("predicate", "skip_verification"), True, "unknown key 'skip_verification'"),
        ((*_MEASUREMENT, "pcr0_allowed"), [], "the list is empty"),
        ((*_MEASUREMENT, "acpi_allowed"), [], "the list is empty"),
        ((*_MEASUREMENT, "acpi_allowed"), ["unpinned", "00" * 32], r"acpi_allowed\[0\]"),
        ((*_MEASUREMENT, "pcr0_allowed"), ["unpinned", "00" * 32], r"pcr0_allowed\[0\]"),
        ((*_MEASUREMENT, "pcrs", "16"), "00" * 32, "unknown key '16'"),
        ((*_MEASUREMENT, "pcrs"), {}, "missing"),
        ((*_MEASUREMENT, "pcr15_template"), [], "expected the events"),
        ((*_MEASUREMENT, "pcr15_template", 0, "data"), None, "only tls-spki and gpu may be null"),
        ((*_MEASUREMENT, "pcr15_template", 3, "data"), None, "only tls-spki and gpu may be null"),
        ((*_MEASUREMENT, "rtmrs"), {"4": "00" * 48}, "keys 0 to 3"),
        ((*_MEASUREMENT, "image", "pcr"), 16, "image.pcr"),
    ],
)
def test_a_signed_release_with_a_wrong_field_is_refused(path, value, message):
    with pytest.raises(EvidenceError, match=message):
        verify_release(_statement(path, value), pinned(KEY), now=NOW)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"payloadType":"x","payload":"","signatures":[]}'])
def test_something_that_is_no_envelope_is_refused(data):
    with pytest.raises((EvidenceError, VerificationError)):
        verify_release(data, pinned(KEY), now=NOW)


def test_pre_authentication_encoding_follows_dsse():
    assert pre_authentication_encoding(b"hi") == b"DSSEv1 28 application/vnd.in-toto+json 2 hi"


def _pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_publisher_from_pem_and_from_a_file(tmp_path):
    (tmp_path / "key.pub").write_bytes(_pem(KEY))
    assert Publisher(keys=(_pem(KEY),)).names == Publisher(keys=(tmp_path / "key.pub",)).names


def test_a_key_file_replaced_after_pinning_changes_nobody(tmp_path):
    path = tmp_path / "key.pub"
    path.write_bytes(_pem(KEY))
    publisher = Publisher(keys=(path,))
    path.write_bytes(_pem(OTHER))
    with pytest.raises(VerificationError, match=r"\[R1\]"):
        verify_release(sign(RELEASE.to_statement(), (OTHER,)), publisher, now=NOW)
    assert verify_release(sign(RELEASE.to_statement(), (KEY,)), publisher, now=NOW) == RELEASE


@pytest.mark.parametrize(
    ("fault", "arguments", "message"),
    [
        ("no key", {"keys": ()}, r"publisher\.keys: expected at least one key, got none: write keys=\(key,\)"),
        (
            "threshold of none",
            {"keys": (_pem(KEY),), "threshold": 0},
            "threshold: expected 1 to 1, as many keys as are given, got 0",
        ),
        (
            "threshold over the keys",
            {"keys": (_pem(KEY),), "threshold": 2},
            "got 2: give more keys, or another threshold",
        ),
        ("one key twice", {"keys": (_pem(KEY), KEY.public_key())}, "given twice"),
        ("another kind of key", {"keys": (_pem(generate_private_key(SECP256R1())),)}, "not an Ed25519 key"),
        ("no key in the file", {"keys": (b"hello",)}, "not a public key"),
        ("no file", {"keys": ("/nonexistent/key.pub",)}, "cannot be read"),
    ],
)
def test_a_publisher_that_pins_nothing_is_refused(fault, arguments, message):
    with pytest.raises(EvidenceError, match=message):
        Publisher(**arguments)


@pytest.mark.parametrize("kind", ["gcp-snp", "gcp-tdx", "azure-snp", "azure-tdx"])
@pytest.mark.parametrize("gpus", [0, 1])
def test_measurements_of_clouds_round_trip(kind, gpus):
    measured = SimulatedCloudVm(kind, gpus=gpus).measurement()
    assert open_release(
        simulated_vm.signed(simulated_vm.release(measured=measured)), simulated_vm.publisher()
    ).measurements == (measured,)
    assert (measured.pcr15_template[2].data is None) is bool(gpus)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"acpi_allowed": ["00" * 20]}, "expected 32 or 48 bytes"),
        ({"pcr0_allowed": ["00" * 48]}, "expected 32 bytes"),
        ({"rtmrs": {"4": "00" * 48}}, "expected keys 0 to 3"),
        ({"launch_measurements": ["00" * 32]}, "expected 48 bytes"),
        ({"pcrs": {"2": "00" * 32}}, "missing"),
    ],
)
def test_measurements_of_clouds_have_their_form(change, says):
    statement = json.loads(simulated_vm.release(measured=SimulatedCloudVm("gcp-tdx").measurement()).to_statement())
    statement["predicate"]["measurements"][0] |= change
    with pytest.raises(EvidenceError, match=says):
        open_release(sign(json.dumps(statement).encode(), (simulated_vm.publisher_key(),)), simulated_vm.publisher())


GOOD = SimulatedCloudVm("gcp-tdx").measurement()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pcrs", zip(EXACT_PCRS, [bytes(32)] * len(EXACT_PCRS), strict=True)),
        ("pcrs", list(GOOD.pcrs)),
        ("pcrs", GOOD.pcrs[1:]),
        ("pcrs", tuple((index, value.hex()) for index, value in GOOD.pcrs)),
        ("pcrs", tuple((index, value[:20]) for index, value in GOOD.pcrs)),
        ("rtmrs", ((1, bytes(32)),)),
        ("pcr0_allowed", GOOD.pcr0_allowed[0]),
        ("pcr0_allowed", list(GOOD.pcr0_allowed)),
        ("acpi_allowed", (bytes(20),)),
        ("launch_measurements", (bytes(32),)),
        ("launch_measurements", iter(GOOD.launch_measurements)),
        ("phases", "ready"),
        ("pcr15_template", list(GOOD.pcr15_template)),
        ("pcr15_template", iter(GOOD.pcr15_template)),
    ],
)
def test_a_measurement_made_in_code_that_could_be_used_up_or_changed_or_matches_nothing(field, value):
    with pytest.raises(EvidenceError, match=rf"measurement\.{field}: expected"):
        replace(GOOD, **{field: value})


@pytest.mark.parametrize("kind", ["lockdown", "sealed"])
def test_an_event_that_must_say_something_cannot_be_left_open(kind):
    with pytest.raises(EvidenceError, match="only tls-spki and gpu may be null"):
        TemplateEvent(kind, None)
    with pytest.raises(EvidenceError, match="expected bytes, got str"):
        TemplateEvent(kind, "x")
