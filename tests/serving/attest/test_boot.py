"""The boot sequence on a real software TPM: what is extended, in which order, and when nothing is."""

from __future__ import annotations

import os
import stat
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from client_sdk.binding import RUNTIME_TYPES, runtime_digest
from client_sdk.evidence import PCRS
from serving.attest.boot import seal
from serving.attest.tls import create_identity
from serving.attest.tpm import Tpm
from serving.errors import SealError, SelfCheckError, TpmError
from tests.serving.fixtures import EVENT_LOG

ZERO = bytes(32)


def pcr15(tpm):
    ((_, value),) = tpm.read_pcrs((15,))
    return value


def replay(events):
    value = ZERO
    for event in events:
        value = sha256(value + runtime_digest(event.kind, event.data)).digest()
    return value


def test_the_four_events_in_their_order_give_pcr_15(tpm, sealed):
    log = sealed.evidence.runtime_log
    assert tuple(event.kind for event in log) == RUNTIME_TYPES
    assert [event.data for event in log if event.kind != "tls-spki"] == [
        b"vitrine/lockdown/v1",
        b"none",
        b"vitrine/sealed/v1",
    ]
    assert pcr15(tpm) == replay(log) == dict(sealed.evidence.pcrs)[15]


def test_a_debug_image_says_so_in_place_of_the_lock_down(tpm, verdict, tls, machine):
    (machine / "usr/lib/vitrine").mkdir(parents=True)
    (machine / "usr/lib/vitrine/debug").write_text("DEBUG\n")
    log = seal(tpm, selfcheck=verdict, tls=tls, root=machine).evidence.runtime_log
    assert (log[0].kind, log[0].data) == ("lockdown", b"vitrine/lockdown/v1/DEBUG")
    assert pcr15(tpm) == replay(log)


def test_another_order_of_the_same_events_would_give_another_pcr_15(tpm, sealed):
    log = sealed.evidence.runtime_log
    assert replay((*log[2:], *log[:2])) != pcr15(tpm)


def test_the_spki_event_is_the_key_of_the_certificate(sealed):
    certificate = x509.load_der_x509_certificate(sealed.evidence.tls_certificate)
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert sealed.evidence.runtime_log[1].data == sealed.spki == sha256(spki).digest()


def test_evidence_holds_all_pcrs_the_log_and_the_ek_certificate(sealed, software_tpm):
    assert tuple(index for index, _ in sealed.evidence.pcrs) == PCRS
    assert sealed.evidence.event_log == EVENT_LOG
    assert sealed.evidence.ek_certificates == (software_tpm.ek_certificate,)
    assert sealed.evidence.ak_certificates == ()
    assert sealed.evidence.tee is None


def test_a_restart_after_sealed_is_refused_and_extends_nothing(tpm, sealed, software_tpm, verdict, tmp_path):
    before = pcr15(tpm)
    tpm.close()
    fresh = tmp_path / "tls-again"
    fresh.mkdir()
    again = Tpm(software_tpm.tcti)
    with pytest.raises(SealError, match="restart after sealed"):
        seal(again, selfcheck=verdict, tls=fresh, root=fresh)
    assert pcr15(again) == before
    assert list(fresh.iterdir()) == []
    again.close()


def test_a_foreign_extend_of_pcr_15_before_boot_is_refused(tpm, verdict, tls):
    tpm.extend(bytes(31) + b"\1")
    with pytest.raises(SealError, match="PCR 15 is not zero"):
        seal(tpm, selfcheck=verdict, tls=tls, root=tls)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"version":1,"passed":[]}',
        '{"version":1,"passed":["root-verity"]}',
        '{"version":2,"passed":[]}',
    ],
)
def test_a_verdict_that_does_not_name_every_check_extends_nothing(tpm, verdict, tls, text):
    (verdict / "passed.json").write_text(text)
    with pytest.raises(SelfCheckError, match="verdict"):
        seal(tpm, selfcheck=verdict, tls=tls, root=tls)
    assert pcr15(tpm) == ZERO
    assert list(tls.iterdir()) == []


def test_without_a_self_check_nothing_is_extended(tpm, verdict, tls):
    (verdict / "passed.json").unlink()
    with pytest.raises(SelfCheckError, match="FileNotFoundError"):
        seal(tpm, selfcheck=verdict, tls=tls, root=tls)
    assert pcr15(tpm) == ZERO


@pytest.mark.parametrize("name", ["event_log", "ccel"])
@pytest.mark.parametrize("content", [None, b"x" * (1024 * 1024 + 1)], ids=["missing", "huge"])
def test_a_log_that_the_self_check_did_not_leave_or_a_huge_one_extends_nothing(tpm, verdict, tls, name, content):
    (verdict / name).unlink()
    if content is not None:
        (verdict / name).write_bytes(content)
    with pytest.raises(SealError, match=f"log {name}"):
        seal(tpm, selfcheck=verdict, tls=tls, root=tls)
    assert pcr15(tpm) == ZERO


def test_firmware_that_kept_no_log_extends_nothing(tpm, verdict, tls):
    (verdict / "event_log").write_bytes(b"")
    with pytest.raises(SealError, match="kept no event log"):
        seal(tpm, selfcheck=verdict, tls=tls, root=tls)
    assert pcr15(tpm) == ZERO


def test_a_tls_key_that_is_there_already_stops_after_lockdown(tpm, verdict, tls):
    (tls / "cert.pem").write_text("planted")
    with pytest.raises(SealError, match=r"cert\.pem cannot be made"):
        seal(tpm, selfcheck=verdict, tls=tls, root=tls)
    assert (tls / "cert.pem").read_text() == "planted"


def test_a_planted_link_in_place_of_the_key_is_not_followed(tls, tmp_path):
    (tls / "key.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SealError, match=r"key\.pem cannot be made"):
        create_identity(tls)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_without_setgid_would_hide_the_key_from_the_gateway(tls):
    tls.chmod(0o750)
    os.chown(tls, -1, 991)
    with pytest.raises(SealError, match="setgid"):
        create_identity(tls)
    assert not (tls / "key.pem").exists()


def test_key_and_certificate_are_for_owner_and_group_alone(tls):
    create_identity(tls)
    assert {stat.S_IMODE((tls / name).stat().st_mode) for name in ("key.pem", "cert.pem")} == {0o440}


def test_two_boots_have_two_tls_keys(tmp_path):
    found = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        found.add(create_identity(tmp_path / name).spki)
    assert len(found) == 2


def test_the_certificate_says_nothing_but_constants(tls):
    certificate = x509.load_der_x509_certificate(create_identity(tls).certificate)
    assert certificate.subject == certificate.issuer
    assert certificate.subject.rfc4514_string() == "CN=vitrine"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("vitrine.invalid")]
    assert certificate.not_valid_before_utc.year == 2020
    assert certificate.not_valid_after_utc.year == 2049
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_a_tpm_without_endorsement_certificate_is_refused(bare_tcti, verdict, tls):
    bare = Tpm(bare_tcti)
    with pytest.raises(TpmError, match="no endorsement certificate"):
        seal(bare, selfcheck=verdict, tls=tls, root=tls)
    bare.close()


def test_no_tpm_at_all_is_a_typed_error(tmp_path):
    with pytest.raises(TpmError, match="open"):
        Tpm(f"swtpm:path={tmp_path}/nobody")
