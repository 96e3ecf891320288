"""Whose TPM it is, on real software TPMs prepared as clouds prepare theirs: all of an identity, or no boot."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tpm2_pytss.types import TPMT_SIGNATURE

from serving.attest import azure, gcp
from serving.attest.boot import seal
from serving.attest.platforms import find_platform
from serving.attest.service import Attester, Rate
from serving.attest.tpm import Tpm
from serving.errors import RequestError, SealError, TpmError
from tests.fakes import cloud_tpm
from tests.fakes.cloud_tpm import (
    AZURE_AK,
    AZURE_CERTIFICATE,
    AZURE_REPORT,
    GOOGLE,
    TEMPLATES,
    make_azure_like,
    make_ca,
    make_google_like,
)
from tests.fakes.tpm_commands import open_tpm
from tests.serving.fixtures import evidence_over, nonce, start_swtpm, store_ek_certificate

CA = make_ca()
SOMEBODYS = ec.generate_private_key(ec.SECP256R1()).public_key()


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def boot(state, verdict, tls, machine):
    """Boots on the TPM in ``state``; it has an endorsement certificate too, so that a fall-back would succeed."""
    started = []

    def _boot():
        process, tcti = start_swtpm(state)
        started.append(process)
        store_ek_certificate(tcti)
        tpm = Tpm(tcti)
        started.append(tpm)
        return tpm, lambda: seal(tpm, selfcheck=verdict, tls=tls, root=machine)

    yield _boot
    for item in reversed(started):
        if isinstance(item, Tpm):
            item.close()
        else:
            item.kill()
            item.wait()


def refused(boot, match):
    """Require that the boot ends, and that it ended before anything was extended."""
    tpm, sealing = boot()
    with pytest.raises((SealError, TpmError), match=match):
        sealing()
    assert tpm.read_pcrs((15,)) == ((15, bytes(32)),)


def quote_of(tpm, sealed):
    attester = Attester(tpm, sealed, rate=Rate(), clock=time.monotonic)
    (found,) = evidence_over(attester, (nonce(1),))
    return attester, found


def check(evidence):
    """Check the quote by the certificate's key, with plain cryptography."""
    key = x509.load_der_x509_certificate(evidence.ak_certificates[0]).public_key()
    signature = TPMT_SIGNATURE.unmarshal(evidence.quote.signature)[0].signature
    if isinstance(key, ec.EllipticCurvePublicKey):
        points = [
            int.from_bytes(bytes(part), "big") for part in (signature.ecdsa.signatureR, signature.ecdsa.signatureS)
        ]
        key.verify(encode_dss_signature(*points), evidence.quote.attest, ec.ECDSA(hashes.SHA256()))
    else:
        key.verify(bytes(signature.rsassa.sig), evidence.quote.attest, padding.PKCS1v15(), hashes.SHA256())


def test_a_tpm_that_no_cloud_prepared_is_local(tpm):
    platform, identity = find_platform(tpm)
    assert platform.name == "local-qemu"
    assert (identity.ak_certificates, len(identity.ek_certificates)) == ((), 1)


@pytest.mark.parametrize(("kinds", "used"), [(("ECC", "RSA"), "ECC"), (("RSA",), "RSA"), (("ECC",), "ECC")])
def test_on_google_cloud_the_certified_key_signs_and_the_ecc_one_is_preferred(state, boot, kinds, used):
    make_google_like(state, CA, kinds=kinds)
    tpm, sealing = boot()
    sealed = sealing()
    _, evidence = quote_of(tpm, sealed)
    assert evidence.platform == "gcp"
    assert evidence.ak_public[:2] == TEMPLATES[used][:2]
    assert (len(evidence.ak_certificates), evidence.ek_certificates) == (1, ())
    assert evidence.tee is None
    assert evidence.event_log
    check(evidence)


def test_the_same_template_gives_the_same_key_in_the_next_boot_and_another_in_another_tpm(state, tmp_path):
    (tmp_path / "other").mkdir()
    found = []
    for folder in (state, state, tmp_path / "other"):
        with open_tpm(folder) as raw:
            found.append(raw.make_primary(TEMPLATES["ECC"])[1])
    assert found[0] == found[1] != found[2]


def test_a_template_alone_is_passed_over_where_the_other_key_is_complete(state, boot):
    make_google_like(state, CA, leave_out=frozenset({GOOGLE["ECC"][0]}))
    tpm, sealing = boot()
    _, evidence = quote_of(tpm, sealing())
    assert evidence.ak_public[:2] == TEMPLATES["RSA"][:2]
    check(evidence)


def test_on_azure_the_persistent_key_signs_its_certificate_has_no_padding_and_no_log_goes_out(state, boot):
    make_azure_like(state, CA)
    tpm, sealing = boot()
    _, evidence = quote_of(tpm, sealing())
    assert evidence.platform == "azure"
    assert x509.load_der_x509_certificate(evidence.ak_certificates[0])
    assert (evidence.ek_certificates, evidence.event_log, evidence.tee) == ((), b"", None)
    check(evidence)


def test_the_check_of_these_tests_tells_another_key(state, boot):
    make_google_like(state, CA)
    tpm, sealing = boot()
    _, evidence = quote_of(tpm, sealing())
    with pytest.raises(InvalidSignature):
        check(replace(evidence, ak_certificates=(CA.certify(SOMEBODYS, ()),)))


@pytest.mark.parametrize("make", [make_google_like, make_azure_like])
def test_where_a_cloud_certified_the_key_there_is_nothing_to_activate(state, boot, make):
    make(state, CA)
    tpm, sealing = boot()
    attester, _ = quote_of(tpm, sealing())
    with pytest.raises(RequestError, match="nothing to activate"):
        attester.activate(b"x", b"y")


GOOGLE_FAULTS = {
    "an ECC certificate whose template the host took away": (
        {GOOGLE["ECC"][1]},
        "ECC certificate without its template",
    ),
    "an RSA certificate whose template the host took away": (
        {GOOGLE["RSA"][1]},
        "RSA certificate without its template",
    ),
    "templates without any certificate": ({GOOGLE["ECC"][0], GOOGLE["RSA"][0]}, "templates .* without a certificate"),
    "one template and nothing else": ({*GOOGLE["ECC"], GOOGLE["RSA"][0]}, "templates .* without a certificate"),
    "one certificate and nothing else": ({*GOOGLE["ECC"], GOOGLE["RSA"][1]}, "RSA certificate without"),
}


@pytest.mark.parametrize("fault", GOOGLE_FAULTS)
def test_a_half_google_identity_ends_the_boot_and_is_no_local_platform(state, boot, fault):
    left_out, message = GOOGLE_FAULTS[fault]
    make_google_like(state, CA, leave_out=frozenset(left_out))
    refused(boot, message)


AZURE_FAULTS = {
    "a certificate whose key the host took away": ({AZURE_AK}, None, "lacks attestation key"),
    "a key whose certificate the host took away": ({AZURE_CERTIFICATE}, None, "lacks certificate"),
    "a report and nothing else": ({AZURE_AK, AZURE_CERTIFICATE}, lambda _: b"HCLA", "lacks attestation key .* cert"),
}


@pytest.mark.parametrize("fault", AZURE_FAULTS)
def test_a_half_azure_identity_ends_the_boot_and_is_no_local_platform(state, boot, fault):
    left_out, report, message = AZURE_FAULTS[fault]
    make_azure_like(state, CA, leave_out=frozenset(left_out), report=report)
    refused(boot, message)


@pytest.mark.parametrize("make", [make_google_like, make_azure_like])
def test_a_certificate_of_another_key_ends_the_boot(state, boot, make):
    make(state, CA, certified=SOMEBODYS)
    refused(boot, "is for another key than this TPM's")


def test_the_identities_of_two_clouds_in_one_tpm_end_the_boot(state, boot):
    make_google_like(state, CA)
    make_azure_like(state, CA)
    refused(boot, "two clouds")


CERTIFICATES = {
    "nothing but zeros": (bytes(900), "holds no certificate"),
    "a length beyond the end": (b"\x30\x82\xff\xff" + bytes(100), "holds no certificate"),
    "something behind it": (CA.certify(SOMEBODYS, ()) + b"\0\1", "holds no certificate"),
    "no X.509": (b"\x30\x82\x01\x00" + bytes(256), "cannot be read"),
    "an empty index": (b"", "holds no certificate"),
}


@pytest.mark.parametrize("fault", CERTIFICATES)
@pytest.mark.parametrize(
    ("make", "index"),
    [(make_google_like, GOOGLE["ECC"][0]), (make_azure_like, AZURE_CERTIFICATE)],
    ids=["gcp", "azure"],
)
def test_an_index_that_holds_no_certificate_ends_the_boot(state, boot, make, index, fault):
    data, message = CERTIFICATES[fault]
    make(state, CA, leave_out=frozenset({index}))
    with open_tpm(state) as raw:
        raw.write_nv(index, data)
    refused(boot, message)


TEMPLATE_FAULTS = {
    "garbage": (b"\xff" * 40, "template"),
    "cut short": (TEMPLATES["ECC"][:-3], "template"),
    "something behind it": (TEMPLATES["ECC"] + b"\1", "goes on behind its end"),
    "a key of another template": (TEMPLATES["RSA"], "another key"),
    "an unrestricted key": (TEMPLATES["ECC"].replace(b"\x00\x05\x00\x72", b"\x00\x04\x00\x72"), "another key"),
}


@pytest.mark.parametrize("fault", TEMPLATE_FAULTS)
def test_another_template_than_the_certified_ends_the_boot(state, boot, fault):
    data, message = TEMPLATE_FAULTS[fault]
    index = GOOGLE["ECC"][1]
    make_google_like(state, CA, leave_out=frozenset({index}))
    with open_tpm(state) as raw:
        raw.write_nv(index, data)
    refused(boot, message)


def test_the_fakes_know_the_places_that_the_attester_looks_at():
    assert gcp.INDEXES == GOOGLE
    assert (azure.AK, azure.CERTIFICATE) == (AZURE_AK, AZURE_CERTIFICATE)
    assert (azure.REPORT, azure.USER_DATA) == (AZURE_REPORT, cloud_tpm.AZURE_USER_DATA)
