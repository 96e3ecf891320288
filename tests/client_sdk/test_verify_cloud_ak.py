"""Certificates of clouds' attestation keys (rules K): every attack breaks one rule on a key that is accepted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from client_sdk.clauses.expected import AnyValue, OneOf
from client_sdk.clauses.google import GoogleInstance
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.parse.certificate import parse_certificate
from client_sdk.report import Ledger
from client_sdk.vendor import vendor_roots
from client_sdk.verify.ak import verify_azure_ak, verify_certified, verify_google_ak
from tests.fakes.instance_info import der, der_integer, security_properties
from tests.fakes.simulated_cloud_tpm import (
    AK_PURPOSE,
    EK_PURPOSE,
    NOW,
    AzureTpm,
    GoogleTpm,
    TestCa,
    azure_root,
    eku,
    google_root,
    intermediate,
)
from tests.fakes.simulated_vm import ec_key, rsa_key, usage

UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)


def anchors(tpm):
    return (parse_certificate(tpm.root.der, "root"),)


def google(tpm, *, roots=None, now=NOW):
    return verify_google_ak(tpm.certificates, roots or anchors(tpm), now=now, ledger=Ledger())


def azure(tpm, *, roots=None, now=NOW):
    return verify_azure_ak(tpm.certificates, roots or anchors(tpm), now=now, ledger=Ledger())


def refused(rule, judge, *arguments, **options):
    with pytest.raises(VerificationError) as caught:
        judge(*arguments, **options)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


# --- K: certificates


def test_controls_are_accepted():
    ledger = Ledger()
    tpm = GoogleTpm()
    found = verify_google_ak(tpm.certificates, anchors(tpm), now=NOW, ledger=ledger)
    verify_certified(found.leaf, tpm.ak.public_key(), ledger=ledger)
    assert (found.instance.zone, found.instance.instance_id) == ("us-central1-a", 218557372616137117)
    assert {"K1.1", "K2.4", "K2.5", "K3.2", "K5.1", "K5.2"} <= {check.id for check in ledger.checks}
    assert azure(AzureTpm()).root == parse_certificate(azure_root().der, "root").fingerprint


def test_google_certificates_of_before_2022_have_no_subject():
    tpm = GoogleTpm()
    tpm.make_legacy()
    assert google(tpm).instance.project_id == "vitrine-test"


def test_google_keys_may_be_elliptic():
    tpm = GoogleTpm()
    tpm.ak = ec_key("google ak")
    assert isinstance(google(tpm).leaf.public_key, ec.EllipticCurvePublicKey)


def test_azure_chains_of_four_certificates_in_any_order_and_padded_images():
    tpm = AzureTpm()
    tpm.make_four_deep()
    assert azure(tpm).leaf
    images = tuple(item.ljust(4096, b"\0") for item in reversed(tpm.others))
    padded = (tpm.certificate().ljust(4096, b"\0"), *images)
    assert verify_azure_ak(padded, anchors(tpm), now=NOW, ledger=Ledger()).leaf


def test_a_leaf_without_extended_key_usage_is_no_fault():
    tpm = AzureTpm()
    del tpm.extensions["eku"]
    assert azure(tpm).leaf


def without_ca(tpm):
    tpm.others = ()


def other_ca_of_the_same_name(tpm):
    tpm.ca = TestCa("EK/AK CA Intermediate", key=rsa_key("impostor"), parent=tpm.root)


def leaf_as_ca(tpm):
    leaf = TestCa("leaf", key=rsa_key("leaf"), parent=tpm.ca, extensions=[(usage("digital_signature"), True)])
    tpm.others, tpm.ca = (tpm.ca.der, leaf.der), leaf


def ca_without_signing(tpm):
    extensions = [(x509.BasicConstraints(ca=True, path_length=None), True), (usage("crl_sign"), True)]
    tpm.ca = TestCa("EK/AK CA Intermediate", key=rsa_key("no sign"), parent=tpm.root, extensions=extensions)
    tpm.others = (tpm.ca.der,)


def no_room(tpm):
    upper = intermediate("tight", tpm.root, path_length=0)
    tpm.ca = intermediate("below", upper)
    tpm.others = (upper.der, tpm.ca.der)


CHAIN_ATTACKS = [
    ("K1.1", without_ca),
    ("K1.1", other_ca_of_the_same_name),
    ("K1.3", leaf_as_ca),
    ("K1.4", ca_without_signing),
    ("K1.3", no_room),
]


@pytest.mark.parametrize("make", [GoogleTpm, AzureTpm])
@pytest.mark.parametrize(
    ("rule", "attack"),
    CHAIN_ATTACKS,
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_chain_that_does_not_hold(make, rule, attack):
    tpm = make()
    attack(tpm)
    refused(rule, google if make is GoogleTpm else azure, tpm)


@pytest.mark.parametrize(("judge", "make"), [(google, GoogleTpm), (azure, AzureTpm)])
def test_chains_that_end_elsewhere_or_are_out_of_date(judge, make):
    tpm = make()
    other = {GoogleTpm: azure_root, AzureTpm: google_root}[make]()
    refused("K1.1", judge, tpm, roots=(parse_certificate(other.der, "root"),))
    refused("K1.1", judge, tpm, roots=vendor_roots("google", "ak") + vendor_roots("azure", "ak"))
    refused("K1.2", judge, tpm, now=NOW + timedelta(days=366))
    refused("K1.2", judge, tpm, now=NOW - timedelta(days=2))


def test_a_leaf_in_date_under_an_expired_ca():
    tpm = AzureTpm()
    tpm.dates = (NOW - timedelta(days=1), NOW + timedelta(days=8000))
    assert azure(tpm, now=NOW + timedelta(days=3600)).leaf
    refused("K1.2", azure, tpm, now=NOW + timedelta(days=3700))


def set_extension(name, value):
    def change(tpm):
        tpm.extensions[name] = value

    return change


PURPOSE_ATTACKS = [
    ("a critical extension that nobody reads", "K1.5", set_extension("unknown", UNKNOWN)),
    ("a CA's", "K2.4", set_extension("constraints", (x509.BasicConstraints(ca=True, path_length=0), True))),
    ("an RSA endorsement key's", "K2.5", set_extension("usage", (usage("key_encipherment"), True))),
    ("an elliptic endorsement key's", "K2.5", set_extension("usage", (usage("key_agreement"), True))),
    ("for both", "K2.5", set_extension("usage", (usage("digital_signature", "key_encipherment"), True))),
    (
        "that signs certificates",
        "K2.5",
        set_extension("usage", (usage("digital_signature", "key_cert_sign"), True)),
    ),
    ("of no use", "K2.5", lambda tpm: tpm.extensions.pop("usage")),
]


@pytest.mark.parametrize("make", [GoogleTpm, AzureTpm])
@pytest.mark.parametrize(
    ("attack", "rule", "change"),
    PURPOSE_ATTACKS,
)
def test_a_certificate_for_something_else(make, attack, rule, change):
    tpm = make()
    change(tpm)
    refused(rule, google if make is GoogleTpm else azure, tpm)


def test_an_endorsement_keys_certificate_passes_by_no_purpose():
    """Google wrote the purpose of endorsement keys on attestation keys: only the key usage tells them apart."""
    tpm = GoogleTpm()
    tpm.make_legacy()
    tpm.extensions["usage"] = (usage("key_encipherment"), True)
    refused("K2.5", google, tpm)


def test_an_azure_leaf_for_an_endorsement_key():
    tpm = AzureTpm()
    tpm.extensions["eku"] = eku(EK_PURPOSE)
    refused("K4.1", azure, tpm)
    tpm.extensions["eku"] = eku(EK_PURPOSE, AK_PURPOSE)
    assert azure(tpm).leaf


INSTANCE_ATTACKS = [
    ("no instance", "K3.1", None),
    ("a test machine", "K3.2", {"properties": der(0xA0, der(0x30, *security_properties(b"\0")))}),
    ("nothing about production", "K3.2", {"properties": b""}),
    ("no word about production", "K3.2", {"properties": der(0xA0, der(0x30, der(0xA0, der_integer(0))))}),
]


@pytest.mark.parametrize(
    ("attack", "rule", "value"),
    INSTANCE_ATTACKS,
)
def test_an_instance_that_is_not_in_production(attack, rule, value):
    tpm = GoogleTpm()
    if value is None:
        del tpm.extensions["instance"]
    else:
        tpm.extensions["instance"] = tpm.instance(**value)
    refused(rule, google, tpm)


@pytest.mark.parametrize("judge", [verify_google_ak, verify_azure_ak])
def test_no_certificate_at_all(judge):
    refused("K5.1", judge, (), anchors(GoogleTpm()), now=NOW, ledger=Ledger())


@pytest.mark.parametrize("key", [rsa_key("stolen").public_key(), ec_key("stolen").public_key()])
def test_a_key_that_the_certificate_is_not_for(key):
    refused("K5.2", verify_certified, google(GoogleTpm()).leaf, key, ledger=Ledger())


@pytest.mark.parametrize("tail", [b"\0" * 7 + b"\1", b"\xff", b"30"])
def test_an_image_with_something_behind_the_certificate(tail):
    tpm = AzureTpm()
    certificates = (tpm.certificate() + tail, *tpm.others)
    with pytest.raises(EvidenceError, match=r"ak_certificates\[0\]"):
        verify_azure_ak(certificates, anchors(tpm), now=NOW, ledger=Ledger())


# --- clauses


ANY = AnyValue("the test does not look at it")


def google_clause(**wanted):
    names = ("project_number", "project_id", "zone", "instance_id", "instance_name")
    return GoogleInstance(**(dict.fromkeys(names, ANY) | {name: OneOf((value,)) for name, value in wanted.items()}))


RIGHT = {
    "project_number": 117478743145,
    "project_id": "vitrine-test",
    "zone": "us-central1-a",
    "instance_id": 218557372616137117,
    "instance_name": "vitrine-1",
}


OTHER_INSTANCES = [
    ("K3.3", "project_number", 1),
    ("K3.4", "project_id", "vitrine-tesT"),
    ("K3.5", "zone", "us-central1-b"),
    ("K3.6", "instance_id", 218557372616137118),
    ("K3.7", "instance_name", "vitrine-2"),
]


@pytest.mark.parametrize(
    ("rule", "name", "wrong"),
    OTHER_INSTANCES,
)
def test_another_instance(rule, name, wrong):
    instance, ledger = google(GoogleTpm()).instance, Ledger()
    assert google_clause(**RIGHT).judge(instance, ledger) == ()
    (failure,) = google_clause(**(RIGHT | {name: wrong})).judge(instance, ledger)
    assert failure.clause.startswith(f"{rule}: ")
    assert str(wrong) in failure.expected
    assert len(ledger.checks) == 10


def test_every_failure_of_a_clause_is_told():
    failures = google_clause(zone="x", instance_name="y").judge(google(GoogleTpm()).instance, Ledger())
    assert [failure.clause[:4] for failure in failures] == ["K3.5", "K3.7"]


@pytest.mark.parametrize("empty", [lambda: OneOf(()), lambda: AnyValue(" ")])
def test_a_policy_says_something_of_everything(empty):
    with pytest.raises(EvidenceError, match="policy"):
        empty()
    with pytest.raises(TypeError):
        GoogleInstance(zone=ANY)
