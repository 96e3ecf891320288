"""Vectors of the stages about TPMs: ``tpm-quote``, ``azure-hcl``, ``azure-ak`` and ``gce-ak``."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from client_sdk.fields import format_instant
from tests.client_sdk import test_verify_cloud_ak as keys
from tests.client_sdk.test_conformance_tpm import NONCE, certificate_of, pem, quote_of
from tests.client_sdk.test_verify_azure import SAID
from tests.client_sdk.test_verify_cloud_quote import KEY_ATTACKS, QUOTE_ATTACKS, SCHEME_ATTACKS
from tests.fakes.boot_log import serialise
from tests.fakes.instance_info import der, der_integer, security_properties
from tests.fakes.keys import ec_key, rsa_key
from tests.fakes.simulated_cloud_tpm import (
    ALL_PCRS,
    ECDSA,
    NOW,
    RSAPSS,
    AzureTpm,
    CloudTpm,
    GoogleTpm,
    gce_log,
    jwk,
    replayed,
)
from tests.vectors.case import Case, Family, Request, b64, merged

DAY = timedelta(days=1)


def cases() -> list[Case]:
    """Return the cases of the four stages."""
    return [*_quotes().cases, *_google().cases, *_azure().cases, *_hcl().cases]


def quoted(tpm: CloudTpm, **changes) -> Request:
    """Ask for a quote by a key that comes as its public area."""
    asked = {"nonce_hex": NONCE.hex(), "selection": list(ALL_PCRS)}
    return merged(quote_of(tpm) | {"ak_pub": b64(tpm.public()), "expected": asked}, **changes)


def _quotes() -> Family:
    family = Family("tpm-quote")
    elliptic, probabilistic = GoogleTpm(), GoogleTpm()
    elliptic.ak, elliptic.scheme = ec_key("quote"), (ECDSA, 0xB)
    probabilistic.scheme = (RSAPSS, 0xB)
    family.control("ECDSA", quoted(elliptic))
    elliptic.sign_with = ec_key("stranger")
    family.attack("ECDSA by another key", "Q6.2", quoted(elliptic))
    family.control("RSASSA-PSS", quoted(probabilistic))
    probabilistic.sign_with = rsa_key("stranger")
    family.attack("RSASSA-PSS by another key", "Q6.2", quoted(probabilistic))
    good = quoted(GoogleTpm())
    family.control("RSASSA", good)
    _quote_attacks(family, good)
    alone = merged(good, ak_pub=None, ak_pub_pem=b64(pem(GoogleTpm().ak)))
    family.control("a key without its public area", alone)
    for curve, name in ((ec.SECP384R1, "P-384"), (ec.SECP521R1, "P-521")):
        strange = GoogleTpm()
        strange.ak, strange.scheme = ec_key("strange", curve), (ECDSA, 0xB)
        whole = merged(quoted(strange), ak_pub=None, ak_pub_pem=b64(pem(strange.ak)))
        family.attack(f"a key without its public area, on {name}", "Q7.4", whole)
    _with_log(family)
    return family


def _quote_attacks(family: Family, good: Request) -> None:
    for attack, told, kind in SCHEME_ATTACKS:
        tpm = GoogleTpm()
        tpm.scheme, tpm.told_scheme = kind, told
        family.attack(f"a signature told as another: {attack}", "Q6.1", quoted(tpm))
    for attack, rule, change, profile in QUOTE_ATTACKS:
        tpm = GoogleTpm()
        change(tpm)
        if not profile.resettable:  # the stage's profile lets them be quoted and drops them
            continue
        bank = {"pcr_bank": "sha1", "pcrs": _pcrs(tpm, "sha1")} if profile.bank == 0x4 else {}
        if tpm.bank == 0x4 and not bank:
            bank = {"pcrs": _pcrs(GoogleTpm(), "sha256")}
        family.attack(attack, rule, quoted(tpm, **bank))
    for attack, rule, change in KEY_ATTACKS:
        tpm = GoogleTpm()
        for name, value in change.items():
            setattr(tpm, name, value)
        family.attack(attack, rule, merged(good, ak_pub=b64(tpm.public())))
    narrow = GoogleTpm()
    narrow.selected, narrow.digested = ALL_PCRS[:16], ALL_PCRS
    family.attack("fewer PCRs under the digest of all", "Q2", quoted(narrow))
    stranger = GoogleTpm()
    stranger.sign_with = rsa_key("stranger")
    family.attack("a signature by another key", "Q6.2", quoted(stranger))
    changed = GoogleTpm()
    attest = bytearray(changed.attest(NONCE))
    attest[-1] ^= 1
    family.attack("a changed byte of the signed", "Q6.2", merged(good, attest=b64(bytes(attest))))
    other = GoogleTpm()
    other.pcrs |= {4: bytes(32)}
    family.attack("another value of PCR 4", "Q3", merged(good, pcrs=_pcrs(other, "sha256")))
    left = {pcr: value for pcr, value in _pcrs(GoogleTpm(), "sha256")["sha256"].items() if pcr != "4"}
    family.attack("no value of PCR 4", "Q3", merged(good) | {"pcrs": {"sha256": left}})
    family.attack("another nonce", "C2.3", merged(good, expected={"nonce_hex": "9010"}))
    family.attack("a nonce that begins like it", "C2.3", merged(good, expected={"nonce_hex": NONCE.hex() + "00"}))


def _pcrs(tpm: CloudTpm, bank: str) -> dict[str, dict[str, str]]:
    return {bank: {str(pcr): value.hex() for pcr, value in tpm.pcrs.items()}}


def _with_log(family: Family) -> None:
    events, tpm = gce_log(), GoogleTpm()
    tpm.pcrs |= replayed(events) | dict.fromkeys((8, 12, 13, 14, 15), bytes(32))
    good = quoted(tpm) | certificate_of(tpm) | {"vendor": "google", "eventlog": b64(serialise(events))}
    family.control("certified by Google, with a log", good)
    another = GoogleTpm("another")
    family.attack("a key that its certificate is not for", "K5.2", merged(good, ak_cert=b64(another.certificate())))
    family.attack("a log that hides its last event", "L1.replay", good | {"eventlog": b64(serialise(events[:-1]))})
    family.attack("a value that no event explains", "L1.replay", good | {"elsewhere": []})


# ---- certificates


def _chains(family: Family, make: type[GoogleTpm | AzureTpm]) -> None:
    for rule, attack in keys.CHAIN_ATTACKS:
        tpm = make()
        attack(tpm)
        family.attack(attack.__name__.replace("_", " "), rule, certificate_of(tpm))
    weak = make()
    weak.hash = hashes.SHA224()
    family.attack("a certificate over a weak hash", "K1.6", certificate_of(weak))
    good = certificate_of(make())
    other = {GoogleTpm: AzureTpm, AzureTpm: GoogleTpm}[make]()
    family.attack("the root of another cloud", "K1.1", merged(good, roots=[b64(other.root.pem)]))
    family.attack("simulated, under the real roots", "K1.1", merged(good, roots=None))
    family.attack("expired", "K1.2", merged(good, now=format_instant(NOW + 366 * DAY)))
    family.attack("not valid yet", "K1.2", merged(good, now=format_instant(NOW - 2 * DAY)))
    own = {"roots": [good["ak_cert"]], "ak_intermediates": []}
    family.attack("the leaf itself as a root", "K1.1", merged(good, **own))
    for attack, rule, change in keys.PURPOSE_ATTACKS:
        tpm = make()
        change(tpm)
        family.attack(f"a certificate: {attack}", rule, certificate_of(tpm))
    for key, name in ((rsa_key("stolen"), "RSA"), (ec_key("stolen"), "elliptic")):
        family.attack(f"another {name} key", "K5.2", merged(good, ak_pub_pem=b64(pem(key))))


def _google() -> Family:
    family = Family("gce-ak")
    legacy = GoogleTpm()
    legacy.make_legacy()
    family.control("a certificate of before 2022", certificate_of(legacy))
    legacy.extensions["usage"] = (x509.KeyUsage(**_flags("key_encipherment")), True)
    family.attack("an endorsement key's certificate of before 2022", "K2.5", certificate_of(legacy))
    good = certificate_of(GoogleTpm())
    family.control("a certificate", good)
    _chains(family, GoogleTpm)
    for attack, rule, value in keys.INSTANCE_ATTACKS:
        tpm = GoogleTpm()
        if value is None:
            del tpm.extensions["instance"]
        else:
            tpm.extensions["instance"] = tpm.instance(**value)
        family.attack(attack, rule, certificate_of(tpm))
    test_machine = GoogleTpm()
    test_machine.extensions["instance"] = test_machine.instance(
        properties=der(0xA0, der(0x30, *security_properties(b"\0"))), project_id=der(0x0C, b"another")
    )
    family.attack("a test machine of another project", "K3.2", certificate_of(test_machine))
    named = merged(good, expected=keys.RIGHT)
    family.control("everything named", named)
    for rule, name, wrong in keys.OTHER_INSTANCES:
        family.attack(f"another {name}", rule, merged(named, expected={name: wrong}))
    moved = GoogleTpm()
    moved.extensions["instance"] = moved.instance(instance_id=der_integer(1))
    family.attack("a certificate of another instance", "K3.6", merged(certificate_of(moved), expected=keys.RIGHT))
    return family


def _flags(*names: str) -> dict[str, bool]:
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return {name: name in names for name in every}


def _azure() -> Family:
    family = Family("azure-ak")
    four = AzureTpm()
    four.make_four_deep()
    family.control("four certificates", certificate_of(four))
    family.control("a certificate", certificate_of(AzureTpm()))
    _chains(family, AzureTpm)
    endorsement = AzureTpm()
    endorsement.extensions["eku"] = keys.eku(keys.EK_PURPOSE)
    family.attack("a certificate for an endorsement key", "K4.1", certificate_of(endorsement))
    return family


# ---- what the paravisor says


def bound(tpm: AzureTpm, **changes) -> Request:
    """Ask about a report; nothing but what binds it to the hardware's."""
    request: Request = {"hcl_report": b64(tpm.hcl_report())}
    if tpm.report_type == 4:
        request["td_quote"] = b64(tpm.td_quote())
    return merged(request, **changes)


def _hcl() -> Family:
    family = Family("azure-hcl")
    for kind, name in ((4, "TDX"), (2, "SNP")):
        tpm = AzureTpm(report_type=kind)
        family.control(f"a report on {name}", bound(tpm))
        if kind == 4:
            other = AzureTpm("other", report_type=4)
            other.claims["user-data"] = "00" * 64
            family.attack("a TD quote of another TD", "T1.report", bound(tpm, td_quote=b64(other.td_quote())))
            borrowed = AzureTpm(report_type=4)
            borrowed.header = {32 + 128: b"\1" * 64}
            family.attack("a report of another TD beside the quote", "T1.report", bound(borrowed))
        for attack, rule, made in _about_another_key(kind):
            family.attack(f"{attack}, on {name}", rule, bound(made))
    _hcl_whole(family)
    return family


def _about_another_key(kind: int) -> list[tuple[str, str, AzureTpm]]:
    other_hash, tail, nothing, attacker, space = (AzureTpm(report_type=kind) for _ in range(5))
    other_hash.report_data = b"\1" * 32 + bytes(32)
    tail.report_data = tail.signed_data()[:63] + b"\1"
    nothing.claims["keys"] = [item for item in nothing.claims["keys"] if item["kid"] == "HCLEkPub"]
    attacker.report_data = attacker.signed_data()
    attacker.claims["keys"] = [jwk("HCLAkPub", rsa_key("attacker").public_key())]
    space.report_data = space.signed_data()
    space.runtime = space.runtime_data().replace(b'"keys":', b'"keys": ')
    return [
        ("a hash of other runtime data", "T1.runtime", other_hash),
        ("something behind the hash", "T1.rest", tail),
        ("no attestation key", "T1.ak", nothing),
        ("an attacker's key in the JSON", "T1.runtime", attacker),
        ("one space in the runtime data", "T1.runtime", space),
    ]


def _hcl_whole(family: Family) -> None:
    tpm = AzureTpm()
    expected = {"nonce_hex": NONCE.hex(), "user_data_hex": tpm.user_data.hex(), **SAID}
    good = bound(tpm) | quote_of(tpm) | certificate_of(tpm) | {"ak_pub": b64(tpm.public()), "expected": expected}
    family.control("with its key, certificate and quote", good)
    stranger, another = GoogleTpm("another"), AzureTpm("another")
    family.attack("a key that the report does not name", "T1.ak", good | {"ak_pub": b64(stranger.public())})
    family.attack("a certificate for another key", "K5.2", good | {"ak_cert": b64(another.certificate())})
    family.attack("a key alone that the report does not name", "T1.ak", bound(tpm, ak_pub=b64(stranger.public())))
    swapped = AzureTpm()
    swapped.claims["keys"] = [jwk("HCLAkPub", rsa_key("ek azure").public_key())]
    family.attack("the endorsement key in its place", "T1.ak", good | bound(swapped))
    tpm.sign_with = rsa_key("stranger")
    family.attack("a quote by another key", "Q6.2", good | quote_of(tpm, expected=expected))
    family.attack("another nonce", "C2.3", merged(good, expected={"nonce_hex": ""}))
    family.attack("other bytes of the guest", "T1.user", merged(good, expected={"user_data_hex": "00" * 64}))
    old = AzureTpm()
    del old.claims["user-data"]
    family.attack("a report without bytes of the guest", "T1.user", good | bound(old))
    _configuration(family, good)


def _configuration(family: Family, good: Request) -> None:
    said = [
        ("console-enabled", True, "T1.console"),
        ("secure-boot", False, "T1.secure-boot"),
        ("tpm-enabled", False, "T1.tpm"),
        ("tpm-persisted", False, "T1.persisted"),
        ("vmUniqueId", "390CBCF5-6C67-4D9B-98EF-C3F1699CC8FD", "T1.vm"),
        ("root-cert-thumbprint", "6nZZ", "T1.thumbprint"),
    ]
    for name, value, rule in said:
        other, silent = AzureTpm(), AzureTpm()
        other.claims["vm-configuration"][name] = value
        family.attack(f"a VM that states {name} {value}", rule, good | bound(other))
        del silent.claims["vm-configuration"][name]
        family.attack(f"a VM that does not state {name}", rule, good | bound(silent))
