"""Chains and TPM structures judged a second time by other people's code: ``openssl verify``, and tpm2-pytss."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from client_sdk.errors import VerificationError
from client_sdk.parse.attest import parse_attest, parse_quote_info
from client_sdk.parse.certificate import parse_certificate
from client_sdk.parse.public import parse_public
from client_sdk.parse.signature import parse_signature
from client_sdk.report import Ledger
from client_sdk.verify.ak import verify_azure_ak, verify_google_ak
from tests.fakes.simulated_cloud_tpm import (
    ECDSA,
    NOW,
    RSAPSS,
    AzureTpm,
    GoogleTpm,
    TestCa,
    azure_root,
    google_root,
    intermediate,
)
from tests.fakes.simulated_vm import ec_key, rsa_key, usage

UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)


def good(tpm):
    return NOW


def four_deep(tpm):
    policy = intermediate("policy CA", tpm.root, path_length=1)
    tpm.ca = intermediate("issuing CA", policy, path_length=0)
    tpm.others = (policy.der, tpm.ca.der)
    return NOW


def no_room(tpm):
    policy = intermediate("policy CA", tpm.root, path_length=0)
    tpm.ca = intermediate("issuing CA", policy, path_length=0)
    tpm.others = (policy.der, tpm.ca.der)
    return NOW


def expired(tpm):
    return NOW + timedelta(days=366)


def not_yet_valid(tpm):
    return NOW - timedelta(days=2)


def expired_ca(tpm):
    tpm.dates = (NOW - timedelta(days=1), NOW + timedelta(days=8000))
    return NOW + timedelta(days=3700)


def no_intermediate(tpm):
    tpm.others = ()
    return NOW


def other_root(tpm):
    tpm.root = azure_root() if tpm.root is google_root() else google_root()
    return NOW


def same_name_other_key(tpm):
    name = tpm.ca.name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    tpm.ca = TestCa(name, key=rsa_key("impostor"), parent=tpm.root)
    return NOW


def ca_that_is_none(tpm):
    extensions = [(x509.BasicConstraints(ca=False, path_length=None), True), (usage("key_cert_sign"), True)]
    tpm.ca = TestCa("no CA", key=rsa_key("no CA"), parent=tpm.root, extensions=extensions)
    tpm.others = (tpm.ca.der,)
    return NOW


def ca_without_cert_sign(tpm):
    extensions = [(x509.BasicConstraints(ca=True, path_length=None), True), (usage("crl_sign"), True)]
    tpm.ca = TestCa("no sign", key=rsa_key("no sign"), parent=tpm.root, extensions=extensions)
    tpm.others = (tpm.ca.der,)
    return NOW


def unknown_critical(tpm):
    tpm.extensions["unknown"] = UNKNOWN
    return NOW


def by_openssl(tpm, now, folder):
    """Tell whether ``openssl verify`` takes a chain."""
    (folder / "root.pem").write_bytes(tpm.root.pem)
    others = [x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM) for der in tpm.others]
    (folder / "others.pem").write_bytes(b"".join(others))
    leaf = x509.load_der_x509_certificate(tpm.certificate())
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    words = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-attime", str(int(now.timestamp()))]
    words += ["-CAfile", "root.pem"] + (["-untrusted", "others.pem"] if others else []) + ["leaf.pem"]
    return subprocess.run(words, cwd=folder, capture_output=True, check=False).returncode == 0


def by_us(tpm, now):
    """Return the rule that a chain breaks, or nothing."""
    judge = verify_google_ak if isinstance(tpm, GoogleTpm) else verify_azure_ak
    try:
        judge(tpm.certificates, (parse_certificate(tpm.root.der, "root"),), now=now, ledger=Ledger())
    except VerificationError as error:
        return error.rule
    return ""


ALTERED = [good, four_deep, no_room, expired, not_yet_valid, expired_ca, no_intermediate, other_root]
ALTERED += [same_name_other_key, ca_that_is_none, ca_without_cert_sign, unknown_critical]


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl command to compare with")
@pytest.mark.parametrize("make", [GoogleTpm, AzureTpm])
@pytest.mark.parametrize("alter", ALTERED, ids=lambda alter: alter.__name__)
def test_chains_as_openssl_judges_them(make, alter, tmp_path):
    tpm = make()
    now = alter(tpm)
    rule = by_us(tpm, now)
    assert (rule == "") if alter in (good, four_deep) else rule.startswith("K1.")
    assert by_openssl(tpm, now, tmp_path) == (not rule)


def tpms():
    elliptic, probabilistic = GoogleTpm(), AzureTpm()
    elliptic.ak, elliptic.scheme = ec_key("differential"), (ECDSA, 0xB)
    probabilistic.scheme = (RSAPSS, 0xB)
    return [GoogleTpm(), elliptic, probabilistic]


@pytest.mark.parametrize("tpm", tpms(), ids=["RSASSA", "ECDSA", "RSAPSS"])
def test_structures_as_tpm2_pytss_reads_them(tpm):
    pytss = pytest.importorskip("tpm2_pytss", reason="tpm2-pytss is not installed: structures are not compared")
    nonce = bytes(range(48))
    attest = tpm.attest(nonce)
    theirs, left = pytss.TPMS_ATTEST.unmarshal(attest)
    ours = parse_attest(attest)
    info = parse_quote_info(ours.body)
    assert left == len(attest)
    assert (int(theirs.magic), int(theirs.type), bytes(theirs.extraData)) == (ours.magic, ours.kind, ours.extra_data)
    clock = theirs.clockInfo
    assert (clock.clock, clock.resetCount, clock.restartCount) == (ours.clock, ours.reset_count, ours.restart_count)
    quote = theirs.attested.quote
    assert bytes(quote.pcrDigest) == info.pcr_digest
    (chosen,) = info.selections
    assert int(quote.pcrSelect[0].hash) == chosen.bank
    bitmap = bytes(quote.pcrSelect[0].pcrSelect)[: quote.pcrSelect[0].sizeofSelect]
    assert tuple(i for i in range(24) if bitmap[i // 8] >> i % 8 & 1) == chosen.indexes
    public, _ = pytss.TPMT_PUBLIC.unmarshal(tpm.public())
    mine = parse_public(tpm.public())
    assert (int(public.type), int(public.objectAttributes)) == (mine.kind, mine.attributes)
    assert bytes(public.get_name()) == mine.name
    signature, _ = pytss.TPMT_SIGNATURE.unmarshal(tpm.signature(attest))
    parsed = parse_signature(tpm.signature(attest))
    assert (int(signature.sigAlg), int(signature.signature.any.hashAlg)) == (parsed.algorithm, parsed.hash_algorithm)
    assert hashes.SHA256.digest_size == len(info.pcr_digest)
