"""Keys of clouds' TPMs (rules K, Q, T1 on Azure): every attack breaks exactly one rule on a TPM that is accepted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from client_sdk.clauses.azure import UNSTATED, AzureVm
from client_sdk.clauses.google import GoogleInstance
from client_sdk.clauses.stated import Among, Anything
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.parse.azure import parse_hcl_report
from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.public import parse_public
from client_sdk.report import Ledger
from client_sdk.vendor import vendor_roots
from client_sdk.verify.ak import verify_azure_ak, verify_certified, verify_google_ak
from client_sdk.verify.azure import verify_hcl, verify_hcl_ak, verify_user_data
from client_sdk.verify.quote import (
    ANY_KINDS,
    OUR_KINDS,
    VITRINE,
    QuoteProfile,
    certified_key,
    verify_ak,
    verify_nonce,
    verify_quote,
)
from tests.fakes.simulated_cloud_tpm import (
    AK_PURPOSE,
    ALL_PCRS,
    ECDSA,
    EK_PURPOSE,
    RSAPSS,
    RSASSA,
    AzureTpm,
    CloudTpm,
    GoogleTpm,
    azure_root,
    der,
    der_integer,
    eku,
    google_root,
    intermediate,
    jwk,
    security_properties,
)
from tests.fakes.simulated_vm import NOW, TestCa, ec_key, rsa_key, usage

NONCE = bytes(range(48))
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


@pytest.mark.parametrize("make", [GoogleTpm, AzureTpm])
@pytest.mark.parametrize(
    ("rule", "attack"),
    [
        ("K1.1", without_ca),
        ("K1.1", other_ca_of_the_same_name),
        ("K1.3", leaf_as_ca),
        ("K1.4", ca_without_signing),
        ("K1.3", no_room),
    ],
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


@pytest.mark.parametrize("make", [GoogleTpm, AzureTpm])
@pytest.mark.parametrize(
    ("attack", "rule", "change"),
    [
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
    ],
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


@pytest.mark.parametrize(
    ("attack", "rule", "value"),
    [
        ("no instance", "K3.1", None),
        ("a test machine", "K3.2", {"properties": der(0xA0, der(0x30, *security_properties(b"\0")))}),
        ("nothing about production", "K3.2", {"properties": b""}),
        ("no word about production", "K3.2", {"properties": der(0xA0, der(0x30, der(0xA0, der_integer(0))))}),
    ],
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


# --- Q: quotes by the clouds' keys


CLOUD = QuoteProfile(bank=0x000B, selection=ALL_PCRS, kinds=ANY_KINDS, resettable=True)


def quoted(tpm: CloudTpm, profile=CLOUD, *, key=None, nonce=NONCE):
    attest = tpm.attest(nonce)
    ak = key or verify_ak(parse_public(tpm.public()), ledger=Ledger(), profile=profile)
    signature, pcrs = tpm.signature(attest), tuple(tpm.pcrs.items())
    return verify_quote(attest, signature, pcrs, ak=ak, ledger=Ledger(), profile=profile)


def tpm_of(scheme, hashed, size=None, curve=None):
    tpm = GoogleTpm()
    tpm.scheme = (scheme, hashed)
    if curve:
        tpm.ak = ec.generate_private_key(curve())
    elif size:
        tpm.ak = rsa.generate_private_key(65537, size)
    return tpm


KINDS = [(RSASSA, 0xB), (RSASSA, 0xC), (RSAPSS, 0xB), (RSAPSS, 0xD)]
KINDS += [(RSASSA, 0xB, 3072), (ECDSA, 0xB, None, ec.SECP256R1), (ECDSA, 0xC, None, ec.SECP384R1)]


@pytest.mark.parametrize("kind", KINDS)
def test_quotes_by_every_kind_of_key(kind):
    found = quoted(tpm_of(*kind))
    assert found.attest.extra_data == NONCE
    assert tuple(found.pcrs) == ALL_PCRS[:16]  # the resettable ones are dropped


def test_a_bank_of_larger_digests_under_a_smaller_hash():
    tpm = GoogleTpm()
    tpm.bank, tpm.pcrs = 0x000C, {pcr: bytes([pcr + 1]) * 48 for pcr in ALL_PCRS}
    assert len(quoted(tpm, QuoteProfile(0x000C, ALL_PCRS, ANY_KINDS, resettable=True)).pcrs[0]) == 48


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_by_another_key(kind):
    tpm = tpm_of(*kind)
    stranger = tpm_of(*kind)
    stranger.ak = rsa_key("stranger") if kind[0] != ECDSA else ec.generate_private_key(kind[3]())
    tpm.sign_with = stranger.ak
    refused("Q6.2", quoted, tpm)


@pytest.mark.parametrize(
    ("attack", "told", "kind"),
    [
        ("PSS told as PKCS#1", (RSASSA, 0xB), (RSAPSS, 0xB)),
        ("PKCS#1 told as PSS", (RSAPSS, 0xB), (RSASSA, 0xB)),
        ("another hash", (RSASSA, 0xC), (RSASSA, 0xB)),
        ("SHA-1", (RSASSA, 0x4), (RSASSA, 0xB)),
    ],
)
def test_a_signature_that_names_another_scheme_than_the_keys(attack, told, kind):
    tpm = tpm_of(*kind)
    tpm.told_scheme = told
    refused("Q6.1", quoted, tpm)


def untouched(tpm):
    """Leave it as it is: the profile asks for something else."""


def sha1_bank(tpm):
    tpm.bank, tpm.pcrs = 0x0004, {pcr: bytes([pcr + 1]) * 20 for pcr in ALL_PCRS}


@pytest.mark.parametrize(
    ("attack", "rule", "change", "profile"),
    [
        ("the SHA-1 bank, unasked", "Q4.1", sha1_bank, CLOUD),
        ("the SHA-1 bank, asked for", "Q4.1", sha1_bank, QuoteProfile(0x4, ALL_PCRS, ANY_KINDS, resettable=True)),
        ("fewer PCRs", "Q2", lambda tpm: setattr(tpm, "selected", ALL_PCRS[:8]), CLOUD),
        ("a resettable PCR", "Q5", untouched, QuoteProfile(0xB, ALL_PCRS, ANY_KINDS, resettable=False)),
        ("our own profile", "Q5", untouched, VITRINE),
        ("no quote", "Q1.2", lambda tpm: setattr(tpm, "kind", 0x801A), CLOUD),
        ("no TPM's", "Q1.1", lambda tpm: setattr(tpm, "magic", 0x54434700), CLOUD),
        ("no firmware", "Q4.2", lambda tpm: tpm.pcrs.update(dict.fromkeys(range(8), bytes(32))), CLOUD),
    ],
)
def test_a_quote_of_something_else(attack, rule, change, profile):
    tpm = GoogleTpm()
    change(tpm)
    refused(rule, quoted, tpm, profile)


@pytest.mark.parametrize("value", [None, b"", bytes(31), bytes(33), bytes(32)])
def test_claimed_values_that_are_not_the_quoted_ones(value):
    tpm = GoogleTpm()
    attest = tpm.attest(NONCE)
    claimed = {pcr: digest for pcr, digest in tpm.pcrs.items() if pcr != 4 or value is not None}
    if value is not None:
        claimed[4] = value
    pcrs, ak = tuple(claimed.items()), tpm.key()
    refused("Q3", verify_quote, attest, tpm.signature(attest), pcrs, ak=ak, ledger=Ledger(), profile=CLOUD)


def test_a_claimed_value_that_borrows_from_its_neighbour():
    """The digest is over all values together: only their fixed sizes keep them apart."""
    tpm = GoogleTpm()
    attest = tpm.attest(NONCE)
    shifted = tpm.pcrs | {4: tpm.pcrs[4] + tpm.pcrs[5][:1], 5: tpm.pcrs[5][1:]}
    pcrs, ak = tuple(shifted.items()), tpm.key()
    refused("Q3", verify_quote, attest, tpm.signature(attest), pcrs, ak=ak, ledger=Ledger(), profile=CLOUD)


@pytest.mark.parametrize("nonce", [b"", NONCE[:-1], NONCE + b"\0", bytes(48)])
def test_another_nonce(nonce):
    verify_nonce(NONCE, NONCE, ledger=Ledger())
    refused("C2.3", verify_nonce, NONCE, nonce, ledger=Ledger())


@pytest.mark.parametrize(
    ("attack", "rule", "change"),
    [
        ("an unrestricted key", "Q7.1", {"attributes": 0x00040072}),
        ("a decryption key", "Q7.1", {"attributes": 0x00030072}),
        ("a key that can be moved", "Q7.2", {"attributes": 0x00050070}),
        ("a key that signs over SHA-1", "Q4.3", {"scheme": (RSASSA, 0x4)}),
        ("a key without a scheme of ours", "Q7.3", {"scheme": (0x0017, 0xB)}),
        ("a modulus of no known size", "Q7.3", {"size": 1024}),
    ],
)
def test_an_attestation_key_that_is_none(attack, rule, change):
    tpm = GoogleTpm()
    for name, value in change.items():
        setattr(tpm, name, value)
    refused(rule, verify_ak, parse_public(tpm.public()), ledger=Ledger(), profile=CLOUD)


def test_our_own_profile_takes_no_more_kinds_than_before():
    assert len(OUR_KINDS) == 2
    refused("Q7.3", verify_ak, parse_public(tpm_of(RSAPSS, 0xB).public()), ledger=Ledger())
    assert verify_ak(parse_public(GoogleTpm().public()), ledger=Ledger()).scheme == RSASSA


def test_a_modulus_of_another_size_than_told():
    tpm = tpm_of(RSASSA, 0xB, 3072)
    tpm.size = 2048
    with pytest.raises(EvidenceError, match="3072 bits"):
        verify_ak(parse_public(tpm.public()), ledger=Ledger(), profile=CLOUD)


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 3072), ec.generate_private_key(ec.SECP384R1())])
def test_a_certified_key_of_a_kind_that_no_cloud_makes(key):
    refused("Q7.4", certified_key, key.public_key(), ledger=Ledger())
    assert certified_key(ec_key("ak").public_key(), ledger=Ledger()).scheme == ECDSA


# --- T1 on Azure


def bound(tpm: AzureTpm, *, report_data=None, key=None, user_data=None):
    report = parse_hcl_report(tpm.hcl_report())
    facts = verify_hcl(report, report_data or report.report_data, ledger=Ledger())
    verify_hcl_ak(facts, (key or tpm.ak).public_key(), ledger=Ledger())
    verify_user_data(facts, tpm.user_data if user_data is None else user_data, ledger=Ledger())
    return facts


@pytest.mark.parametrize("kind", [2, 4])
def test_a_paravisors_report_is_accepted(kind):
    facts = bound(AzureTpm(report_type=kind))
    assert (facts.kind, facts.user_data) == (kind, bytes(range(64)))


def test_the_key_is_found_by_its_name_and_not_by_its_place():
    tpm = AzureTpm()
    tpm.claims["keys"] = list(reversed(tpm.claims["keys"]))
    assert bound(tpm).ak == tpm.ak.public_key()


@pytest.mark.parametrize("kind", [2, 4])
@pytest.mark.parametrize(
    ("attack", "rule", "change"),
    [
        ("a hash of other runtime data", "T1.runtime", {"report_data": bytes(64)}),
        ("something behind the hash", "T1.rest", {"tail": b"\1"}),
        ("an attacker's key in the JSON", "T1.runtime", {"substitute": True}),
        ("no attestation key", "T1.ak", {"keys": ["HCLEkPub"]}),
        ("the endorsement key in its place", "T1.ak", {"swap": True}),
    ],
)
def test_a_report_about_another_key(attack, rule, change, kind):
    tpm = AzureTpm(report_type=kind)
    if "report_data" in change:
        tpm.report_data = change["report_data"]
    if "tail" in change:
        tpm.report_data = tpm.signed_data()[:63] + change["tail"]
    if "keys" in change:
        tpm.claims["keys"] = [item for item in tpm.claims["keys"] if item["kid"] in change["keys"]]
    if "swap" in change:
        tpm.claims["keys"] = [jwk("HCLAkPub", rsa_key("ek azure").public_key())]
    if "substitute" in change:
        tpm.report_data = tpm.signed_data()
        tpm.claims["keys"] = [jwk("HCLAkPub", rsa_key("attacker").public_key())]
        tpm.ak = rsa_key("attacker")
    refused(rule, bound, tpm)


def test_a_td_quote_of_another_td():
    tpm, other = AzureTpm(report_type=4), AzureTpm("other", report_type=4)
    other.claims["user-data"] = "00" * 64
    refused("T1.report", bound, tpm, report_data=other.signed_data())


def test_one_space_in_the_runtime_data_is_another_text():
    tpm = AzureTpm()
    tpm.report_data = tpm.signed_data()
    tpm.runtime = tpm.runtime_data().replace(b'"keys":', b'"keys": ')
    refused("T1.runtime", bound, tpm)


@pytest.mark.parametrize("key", [rsa_key("stranger"), ec_key("stranger")])
def test_a_quote_by_a_key_that_the_report_does_not_name(key):
    refused("T1.ak", bound, AzureTpm(), key=key)


@pytest.mark.parametrize("user_data", [bytes(64), bytes(range(63)), b"", bytes(range(1, 65))])
def test_other_bytes_of_the_guest(user_data):
    refused("T1.user", bound, AzureTpm(), user_data=user_data)


def test_a_report_from_before_there_were_bytes_of_the_guest():
    tpm = AzureTpm()
    del tpm.claims["user-data"]
    refused("T1.user", bound, tpm)


# --- clauses


ANY = Anything("the test does not look at it")


def google_clause(**wanted):
    names = ("project_number", "project_id", "zone", "instance_id", "instance_name")
    return GoogleInstance(**(dict.fromkeys(names, ANY) | {name: Among((value,)) for name, value in wanted.items()}))


RIGHT = {
    "project_number": 117478743145,
    "project_id": "vitrine-test",
    "zone": "us-central1-a",
    "instance_id": 218557372616137117,
    "instance_name": "vitrine-1",
}


@pytest.mark.parametrize(
    ("rule", "name", "wrong"),
    [
        ("K3.3", "project_number", 1),
        ("K3.4", "project_id", "vitrine-tesT"),
        ("K3.5", "zone", "us-central1-b"),
        ("K3.6", "instance_id", 218557372616137118),
        ("K3.7", "instance_name", "vitrine-2"),
    ],
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


def azure_clause(**wanted):
    names = ("console_enabled", "secure_boot", "tpm_enabled", "tpm_persisted", "vm_id", "root_thumbprint")
    return AzureVm(**(dict.fromkeys(names, ANY) | {name: Among((value,)) for name, value in wanted.items()}))


SAID = {
    "console_enabled": False,
    "secure_boot": True,
    "tpm_enabled": True,
    "tpm_persisted": True,
    "vm_id": "390cbcf5-6c67-4d9b-98ef-c3f1699cc8fc",
    "root_thumbprint": "",
}


@pytest.mark.parametrize(
    ("rule", "name", "wrong"),
    [
        ("T1.console", "console_enabled", True),
        ("T1.console", "console_enabled", 0),
        ("T1.secure-boot", "secure_boot", False),
        ("T1.tpm", "tpm_enabled", False),
        ("T1.persisted", "tpm_persisted", UNSTATED),
        ("T1.vm", "vm_id", "390cbcf5-6c67-4d9b-98ef-c3f1699cc8fd"),
        ("T1.thumbprint", "root_thumbprint", "6nZZ"),
    ],
)
def test_another_vm(rule, name, wrong):
    facts = bound(AzureTpm())
    assert azure_clause(**SAID).judge(facts, Ledger()) == ()
    (failure,) = azure_clause(**(SAID | {name: wrong})).judge(facts, Ledger())
    assert failure.clause.startswith(f"{rule}: ")


def test_a_flag_that_is_not_stated_is_not_false():
    tpm = AzureTpm()
    del tpm.claims["vm-configuration"]["console-enabled"]
    (failure,) = azure_clause(**SAID).judge(bound(tpm), Ledger())
    assert failure.got == UNSTATED


@pytest.mark.parametrize("empty", [lambda: Among(()), lambda: Anything(" ")])
def test_a_policy_says_something_of_everything(empty):
    with pytest.raises(EvidenceError, match="policy"):
        empty()
    with pytest.raises(TypeError):
        GoogleInstance(zone=ANY)
