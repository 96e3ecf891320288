"""GPU rules (G1, G2, G3.12, G5): every attack breaks exactly one, on a device that is accepted without it."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from hashlib import sha384

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from client_sdk.binding import NO_GPU, gpu_digest, gpu_nonce
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.report import Ledger
from client_sdk.verify.nvidia import Revocation, VerifiedDevice, verify_device, verify_distinct, verify_measured
from tests.fakes.simulated_nvidia import (
    BLACKWELL,
    NONCE,
    NOW,
    SimulatedGpu,
    SimulatedOcsp,
    ca_extensions,
    device_root,
    issue,
    p384,
    signer_extensions,
    text,
)
from tests.fakes.simulated_vm import ec_key, usage

WEEK = timedelta(days=7)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
OTHER = b"\x5a" * 32


def verified(
    gpu: SimulatedGpu,
    *,
    nonce=NONCE,
    asked=NONCE,
    certificates=None,
    answers=(),
    root=None,
    now=NOW,
    age=WEEK,
    ledger=None,
) -> VerifiedDevice:
    return verify_device(
        gpu.evidence(asked),
        gpu.certificates() if certificates is None else certificates,
        ((root or device_root()).fields,),
        nonce=nonce,
        revocation=Revocation(tuple(answers), age),
        now=now,
        ledger=ledger or Ledger(),
    )


def refused(gpu: SimulatedGpu, rule: str, **options) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verified(gpu, **options)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def test_control_is_accepted():
    gpu, ledger = SimulatedGpu(), Ledger()
    device = verified(gpu, answers=gpu.ocsp(), ledger=ledger)
    assert all(check.passed for check in ledger.checks)
    assert (device.is_switch, device.without_ocsp) == (False, ())
    assert device.transcript.opaque.driver_version == "590.12"


def test_control_without_answers_says_for_how_many():
    gpu = SimulatedGpu()
    assert len(verified(gpu).without_ocsp) == 3
    assert len(verified(gpu, answers=gpu.ocsp()[1:]).without_ocsp) == 1


def test_controls_of_other_forms():
    blackwell = SimulatedGpu()
    blackwell.form = BLACKWELL
    assert verified(blackwell).firmware.flags == ("notConfigured",)
    versioned = SimulatedGpu()
    versioned.header = b"NVDAOD" + bytes([0, 0, 2, 0, 0, 0])
    del versioned.opaque[34]
    assert verified(versioned).transcript.opaque.version == 2
    old = SimulatedGpu()
    for field in (20, 21, 34, 36):
        del old.opaque[field]
    assert verified(old).transcript.opaque.fwid == b""
    assert verified(SimulatedGpu.switch()).is_switch


def test_control_with_its_certificates_in_any_order_and_without_the_root():
    leaf, *others, _root = SimulatedGpu().certificates()
    assert verified(SimulatedGpu(), certificates=(leaf, *others[::-1])).serial


def test_control_with_a_byte_after_the_signature():
    gpu = SimulatedGpu()
    gpu.trailing = b"\n"
    assert verified(gpu).transcript.trailing == b"\n"
    gpu.trailing = b"\0\0"
    with pytest.raises(EvidenceError, match="left over"):
        verified(gpu)


def test_a_device_of_another_maker():
    refused(SimulatedGpu(), "G1.1.1", root=issue("device root", None, ca_extensions(), key=p384("impostor")))


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_certificate(missing):
    certificates = list(SimulatedGpu().certificates())
    del certificates[missing]
    refused(SimulatedGpu(), "G1.1.1", certificates=tuple(certificates))


def test_an_expired_boot_rom():
    gpu = SimulatedGpu()
    gpu.rom_dates = (NOW - timedelta(days=900), NOW - timedelta(days=1))
    refused(gpu, "G1.1.2")


ROM_ATTACKS = [
    ("a boot ROM that is no CA", "G1.1.3", "constraints", x509.BasicConstraints(ca=False, path_length=None)),
    ("a boot ROM that may not issue", "G1.1.4", "usage", usage("digital_signature")),
    ("a boot ROM with an extension that nobody reads", "G1.1.5", "unknown", UNKNOWN),
]


@pytest.mark.parametrize(
    ("attack", "rule", "part", "extension"),
    ROM_ATTACKS,
)
def test_a_boot_rom_that_may_not_vouch(attack, rule, part, extension):
    gpu = SimulatedGpu()
    gpu.rom_extensions[part] = (extension, True)
    refused(gpu, rule)


def test_a_certificate_over_a_weak_hash():
    gpu = SimulatedGpu()
    gpu.leaf_hash = hashes.SHA224()
    refused(gpu, "G1.1.6")


def test_the_boot_rom_in_the_device_s_place():
    gpu = SimulatedGpu()
    gpu.sign_with = gpu.rom.key
    refused(gpu, "G1.2.1", certificates=gpu.certificates()[1:])


LEAF_ATTACKS = [
    ("a CA", "G1.2.1", "constraints", x509.BasicConstraints(ca=True, path_length=None)),
    ("a key for key agreement", "G1.2.2", "usage", usage("key_agreement")),
    ("a key for certificates as well", "G1.2.2", "usage", usage("digital_signature", "key_cert_sign")),
]


@pytest.mark.parametrize(
    ("attack", "rule", "part", "extension"),
    LEAF_ATTACKS,
)
def test_a_certificate_for_something_else(attack, rule, part, extension):
    gpu = SimulatedGpu()
    gpu.leaf_extensions[part] = (extension, True)
    refused(gpu, rule)


def test_a_certificate_without_usage():
    gpu = SimulatedGpu()
    gpu.leaf_extensions = {}
    refused(gpu, "G1.2.2")


def test_a_key_on_another_curve():
    gpu = SimulatedGpu()
    gpu.leaf_key = ec_key("p256")
    refused(gpu, "G1.2.3")


@pytest.mark.parametrize("request_head", [(0x11, 0xE0, 0, 0xFF), (0x11, 0xE0, 1, 1), (0x11, 0xE0, 1, 0)])
def test_a_request_for_less(request_head):
    gpu = SimulatedGpu()
    gpu.request = request_head
    refused(gpu, "G1.3")


def test_a_signature_by_another_device():
    gpu = SimulatedGpu()
    gpu.sign_with = SimulatedGpu("other").leaf.key
    refused(gpu, "G1.4")


def test_the_certificates_of_another_device():
    refused(SimulatedGpu(), "G1.4", certificates=SimulatedGpu("other").certificates())


REQUEST_ATTACKS = [
    ("the request is not signed", b""),
    ("an old report behind a new request", bytes((0x11, 0xE0, 1, 0xFF)) + OTHER + b"\0"),
    ("another certificate slot", bytes((0x11, 0xE0, 1, 0xFF)) + NONCE + b"\1"),
]


@pytest.mark.parametrize(
    ("attack", "request_bytes"),
    REQUEST_ATTACKS,
)
def test_a_signature_over_another_request(attack, request_bytes):
    gpu = SimulatedGpu()
    gpu.signed_request = request_bytes
    refused(gpu, "G1.4")


@pytest.mark.parametrize("place", [60, -97, 50])
def test_a_changed_byte_of_the_report(place):
    gpu = SimulatedGpu()
    data = bytearray(gpu.evidence())
    data[place] ^= 1
    gpu.evidence = lambda _nonce: bytes(data)
    if place == 50:  # the size of a measurement block
        with pytest.raises(EvidenceError):
            verified(gpu)
    else:
        refused(gpu, "G1.4")


@pytest.mark.parametrize("form", ["2.23.133.5.4.1", BLACKWELL])
def test_firmware_that_was_not_certified(form):
    gpu = SimulatedGpu()
    gpu.form = form
    gpu.opaque[20] = sha384(b"other firmware").digest()
    refused(gpu, "G1.5")


def test_a_report_with_a_firmware_id_and_a_certificate_without():
    gpu = SimulatedGpu()
    gpu.form = ""
    refused(gpu, "G1.5")


def test_the_second_firmware_id_of_a_list_does_not_count():
    gpu = SimulatedGpu()
    gpu.form, gpu.opaque[20] = BLACKWELL, bytes(48)
    refused(gpu, "G1.5")


def answer(gpu: SimulatedGpu, level: int = 0) -> SimulatedOcsp:
    path = gpu.path()
    return SimulatedOcsp(path[level], path[level + 1])


def edited(rule: str, **changes) -> None:
    """Change one answer and see that it is refused by this rule."""
    for level in range(3):
        gpu = SimulatedGpu()
        made = answer(gpu, level)
        for name, value in changes.items():
            setattr(made, name, value)
        good = [one for i, one in enumerate(gpu.ocsp()) if i != level]
        refused(gpu, rule, answers=(*good, made.response()))


OCSP_ATTACKS = [
    ("revoked", "G1.6.3", {"status": ocsp.OCSPCertStatus.REVOKED}),
    ("unknown to its issuer", "G1.6.3", {"status": ocsp.OCSPCertStatus.UNKNOWN}),
    ("an outdated answer", "G1.6.4", {"next_update": NOW - timedelta(minutes=1)}),
    ("an answer without end", "G1.6.4", {"next_update": None}),
    ("an answer from tomorrow", "G1.6.4", {"this_update": NOW + timedelta(days=1)}),
    ("an answer in date that is too old", "G1.6.4", {"this_update": NOW - timedelta(days=8)}),
    ("an answer by somebody", "G1.6.1", {"signer": issue("factory", None, ca_extensions(), key=p384("impostor"))}),
    ("an answer over a weak hash", "G1.6.1", {"algorithm": hashes.SHA224()}),
    ("a responder of another CA", "G1.6.responder.1", {"delegate": True, "responder_issuer": None}),
    ("a responder without the purpose", "G1.6.2", {"delegate": True, "responder_extensions": signer_extensions()}),
    (
        "a responder that expired",
        "G1.6.responder.2",
        {"delegate": True, "responder_dates": (NOW - timedelta(days=9), NOW - timedelta(days=1))},
    ),
]


@pytest.mark.parametrize(
    ("attack", "rule", "changes"),
    OCSP_ATTACKS,
)
def test_revocation(attack, rule, changes):
    if changes.get("responder_issuer", 0) is None:
        changes["responder_issuer"] = issue("other CA", None, ca_extensions())
    edited(rule, **changes)


@pytest.mark.parametrize("change", [{"delegate": True}, {"named_by": hashes.SHA384()}, {"algorithm": hashes.SHA256()}])
def test_control_of_answers_in_other_forms(change):
    gpu = SimulatedGpu()
    made = answer(gpu)
    for name, value in change.items():
        setattr(made, name, value)
    assert len(verified(gpu, answers=(made.response(),)).without_ocsp) == 2


def test_a_good_answer_does_not_make_up_for_a_bad_one():
    gpu = SimulatedGpu()
    bad = answer(gpu)
    bad.status = ocsp.OCSPCertStatus.REVOKED
    refused(gpu, "G1.6.3", answers=(*gpu.ocsp(), bad.response()))


def test_an_answer_about_the_same_serial_number_of_another_ca():
    gpu, foreign = SimulatedGpu(), SimulatedGpu()
    foreign.factory = issue("factory", foreign.family, ca_extensions(), key=p384("second factory"))
    with pytest.raises(EvidenceError, match="no certificate of the path"):
        verified(gpu, answers=(SimulatedOcsp(foreign.rom, foreign.factory).response(),))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an answer",
        bytes(70_000),
        ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER),
    ],
)
def test_no_answer(data):
    with pytest.raises(EvidenceError, match="OCSP response"):
        verified(SimulatedGpu(), answers=(data,))


def test_no_changed_byte_of_an_answer_leads_to_another_error():
    gpu = SimulatedGpu()
    made = answer(gpu)
    made.delegate = True
    good = made.response()
    version = good.index(bytes.fromhex("a003020102")) + 4  # that of the responder's certificate

    @settings(max_examples=150, derandomize=True, deadline=None, database=None)
    @example(version, 3)
    @given(st.integers(0, len(good) - 1), st.integers(0, 255))
    def run(place, value):
        data = good[:place] + bytes([value]) + good[place + 1 :]
        with suppress(EvidenceError, VerificationError):
            verified(gpu, answers=(data,))

    run()


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_nonce_of_another_size(size):
    refused(SimulatedGpu(), "G2.1", nonce=bytes(size))


@pytest.mark.parametrize("nonce", [OTHER, bytes(32), gpu_nonce(b"another AK", b"key")])
def test_another_nonce(nonce):
    refused(SimulatedGpu(), "G2.2", nonce=nonce)


def test_the_nonce_in_the_response_alone_proves_nothing():
    expected = sha384(b"the device's own nonce").digest()[:32]
    gpu = SimulatedGpu()
    assert verified(gpu).transcript.response_nonce == expected
    refused(gpu, "G2.2", nonce=expected)


def test_evidence_for_another_vm():
    mine, theirs = gpu_nonce(b"ak", b"spki"), gpu_nonce(b"other ak", b"spki")
    assert verified(SimulatedGpu(), nonce=mine, asked=mine).serial
    refused(SimulatedGpu(), "G2.2", nonce=mine, asked=theirs)


def test_the_same_device_twice():
    one, other = verified(SimulatedGpu()), verified(SimulatedGpu("other"))
    verify_distinct((one, other), ledger=Ledger())
    with pytest.raises(VerificationError, match=r"\[G3.12\]"):
        verify_distinct((one, other, one), ledger=Ledger())


def test_the_same_device_under_another_certificate():
    reflashed = SimulatedGpu()
    reflashed.firmware, reflashed.fwid = "other firmware", sha384(b"other firmware").digest()
    reflashed.opaque[20] = reflashed.fwid
    devices = (verified(SimulatedGpu()), verified(reflashed))
    assert SimulatedGpu().leaf.der != reflashed.leaf.der
    with pytest.raises(VerificationError, match=r"\[G3.12\]"):
        verify_distinct(devices, ledger=Ledger())


def test_evidence_that_was_not_measured():
    parts = (SimulatedGpu().evidence(), SimulatedGpu("other").evidence())
    digest = gpu_digest(parts)
    verify_measured(digest, digest, ledger=Ledger())
    verify_measured(NO_GPU, gpu_digest(()), ledger=Ledger())
    for event in (NO_GPU, b"", gpu_digest(parts[::-1]), gpu_digest(parts[:1]), gpu_digest((b"".join(parts),))):
        with pytest.raises(VerificationError, match=r"\[G5.1\]"):
            verify_measured(event, digest, ledger=Ledger())
    with pytest.raises(VerificationError, match=r"\[G5.1\]"):
        verify_measured(digest, gpu_digest(()), ledger=Ledger())


def test_no_certificate_at_all():
    for certificates in ((), (b"x",) * 9):
        with pytest.raises(EvidenceError, match="certificates"):
            verified(SimulatedGpu(), certificates=certificates)


def test_a_version_that_is_another_device_s_is_no_matter_here():
    gpu = SimulatedGpu()
    gpu.opaque[3] = text("1.0")
    assert verified(gpu).transcript.opaque.driver_version == "1.0"
