"""Paths that are remembered: found again for the same bytes, rules and instant, and verified anew for anything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from client_sdk.clauses.tdx import PRODUCTION_AGES
from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.parse.certificate import parse_certificate
from client_sdk.report import Ledger
from client_sdk.verify import chain, crl
from client_sdk.verify.ak import verify_google_ak
from client_sdk.verify.amd_chain import RevocationList, verify_vek
from client_sdk.verify.chain import ChainRules, VerifiedPaths, verify_chain, verify_self_signed
from client_sdk.verify.crl import CrlRules, verify_crl
from client_sdk.verify.nvidia import Revocation, verify_device
from client_sdk.verify.rim import verify_rim
from client_sdk.verify.tdx import verify_quote
from client_sdk.verify.tdx_collateral import verify_collateral
from tests.fakes import simulated_nvidia as nvidia
from tests.fakes import simulated_snp as snp
from tests.fakes import simulated_tdx as tdx
from tests.fakes.simulated_cloud_tpm import GoogleTpm, azure_root, google_root
from tests.fakes.simulated_vm import NOW

UNKNOWN = "1.3.6.1.4.1.99999.1"
RULES = ChainRules("K1", "a certificate", frozenset({UNKNOWN}))
SECOND = timedelta(seconds=1)
TPM = GoogleTpm()
TPM.extensions["unknown"] = (x509.UnrecognizedExtension(x509.ObjectIdentifier(UNKNOWN), b"\x05\x00"), True)
DERS = TPM.certificates
ROOT = parse_certificate(google_root().der, "root")
OTHER_ROOT = parse_certificate(azure_root().der, "root")


@pytest.fixture
def signatures(monkeypatch):
    """Count the signatures of certificates and revocation lists that are checked."""
    checked = []
    check = chain.verify_signed

    def counting(signed, tbs, used, key):
        checked.append(tbs)
        return check(signed, tbs, used, key)

    monkeypatch.setattr(chain, "verify_signed", counting)
    monkeypatch.setattr(crl, "verify_signed", counting)
    return checked


def judge(paths, ders=DERS, *, anchors=(ROOT,), rules=RULES, now=NOW):
    ledger = Ledger()
    read = [chain.read_certificate(der, "certificate", paths) for der in ders]
    path = verify_chain(read[0], tuple(read[1:]), anchors, rules=rules, now=now, ledger=ledger, paths=paths)
    return path, ledger.rows


def test_the_same_is_found_again_with_the_same_checks(signatures):
    paths = VerifiedPaths()
    cold = judge(paths)
    assert len(signatures) == 2
    warm = judge(paths)
    assert len(signatures) == 2
    assert warm == cold == judge(None)
    assert len(cold[1]) > 10


def test_without_the_object_nothing_is_remembered(signatures):
    for _ in range(3):
        judge(None)
    assert len(signatures) == 6


def changed(der, place):
    return der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]


def renewed():
    tpm = GoogleTpm()
    tpm.dates = (NOW - timedelta(days=2), tpm.dates[1])
    return tpm.certificate()


OTHERS = {
    "a second later": {"now": NOW + SECOND},
    "a second earlier": {"now": NOW - SECOND},
    "another root beside": {"anchors": (ROOT, OTHER_ROOT)},
    "other rules": {"rules": replace(RULES, prefix="K9")},
    "rules that understand more": {"rules": replace(RULES, understood=RULES.understood | {"1.2.3"})},
    "rules that take more": {"rules": replace(RULES, usage_may_be_absent=True)},
    "a helper more": {"ders": (*DERS, azure_root().der)},
    "another certificate of the same key": {"ders": (renewed(), *DERS[1:])},
}


@pytest.mark.parametrize("change", OTHERS)
def test_anything_else_is_verified_again(signatures, change):
    paths = VerifiedPaths()
    judge(paths)
    done = len(signatures)
    judge(paths, **OTHERS[change])
    assert len(signatures) - done == 2


REFUSED = {
    "K1.1, another root": {"anchors": (OTHER_ROOT,)},
    "K1.1, no root": {"anchors": ()},
    "K1.1, a bit of the leaf's signature": {"ders": (changed(DERS[0], len(DERS[0]) - 20), *DERS[1:])},
    "K1.1, a bit of the leaf's name": {"ders": (changed(DERS[0], DERS[0].index(b"218557")), *DERS[1:])},
    "K1.1, a bit of the CA's signature": {"ders": (DERS[0], changed(DERS[1], len(DERS[1]) - 20))},
    "K1.1, no CA": {"ders": DERS[:1]},
    "K1.2, after its end": {"now": NOW + timedelta(days=4000)},
    "K1.2, before its beginning": {"now": NOW - timedelta(days=400)},
    "K1.5, rules that understand less": {"rules": ChainRules("K1", "a certificate", frozenset())},
}


@pytest.mark.parametrize("attack", REFUSED)
def test_what_was_accepted_opens_no_door_for_something_else(attack):
    paths = VerifiedPaths()
    judge(paths)
    with pytest.raises(VerificationError) as caught:
        judge(paths, **REFUSED[attack])
    assert caught.value.rule == attack.partition(",")[0]


def test_a_refusal_is_not_remembered(signatures):
    paths = VerifiedPaths()
    late = NOW + timedelta(days=4000)
    for _ in range(2):
        with pytest.raises(VerificationError, match=r"K1\.2"):
            judge(paths, now=late)
    assert len(signatures) == 4
    with pytest.raises(EvidenceError):
        paths.read(b"no certificate", "certificate")
    judge(paths)
    assert len(signatures) == 6


def test_it_is_bounded_and_forgets_the_oldest(signatures):
    paths = VerifiedPaths(limit=2)
    instants = [NOW + SECOND * i for i in range(5)]
    for now in instants:
        judge(paths, now=now)
    assert len(paths._verified) == len(paths._read) == 2
    done = len(signatures)
    judge(paths, now=instants[-1])
    assert len(signatures) == done
    judge(paths, now=instants[0])
    assert len(signatures) == done + 2


def test_a_large_certificate_is_not_kept(monkeypatch):
    monkeypatch.setattr(chain, "MAX_KEPT", 100)
    paths = VerifiedPaths()
    judge(paths)
    assert paths._read == {}


def test_a_root_that_signs_itself(signatures):
    paths = VerifiedPaths()
    for now in (NOW, NOW, NOW + SECOND):
        verify_self_signed(ROOT, now=now, paths=paths)
    assert len(signatures) == 2
    with pytest.raises(InvalidSignature):
        verify_self_signed(parse_certificate(DERS[1], "CA"), now=NOW, paths=paths)


# --- each verifier that takes the object


GOOGLE = GoogleTpm().certificates


def google(paths, ledger, now=NOW):
    return verify_google_ak(GOOGLE, (ROOT,), now=now, ledger=ledger, paths=paths)


SNP = snp.SimulatedSnp()
CRL = RevocationList(SNP.ark.crl(number=7), timedelta(days=400))
REVOKED = RevocationList(SNP.ark.crl(revoked=(SNP.ask.serial,)), timedelta(days=400))
VEK, ASK = SNP.certificate(), SNP.ask.der


def amd(paths, ledger, now=snp.NOW, revocation=CRL):
    return verify_vek(VEK, (ASK,), SNP.arks, revocation=revocation, now=now, ledger=ledger, paths=paths)


TD = tdx.SimulatedTdx()
QUOTE, COLLATERAL, INTEL = TD.quote(), TD.intel.collateral(), TD.intel.anchors


def intel(paths, ledger, now=tdx.NOW):
    facts = verify_quote(QUOTE, INTEL, now=now, ledger=ledger, paths=paths)
    return verify_collateral(facts, COLLATERAL, INTEL, ages=PRODUCTION_AGES, now=now, ledger=ledger, paths=paths)


GPU, RIM = nvidia.SimulatedGpu(), nvidia.SimulatedRim().data()
EVIDENCE, CERTIFICATES = GPU.evidence(), GPU.certificates()
NO_OCSP = Revocation((), timedelta(days=7))


def gpu(paths, ledger, now=nvidia.NOW):
    options = {"revocation": NO_OCSP, "now": now, "ledger": ledger, "paths": paths}
    device = verify_device(EVIDENCE, CERTIFICATES, (nvidia.device_root().fields,), nonce=nvidia.NONCE, **options)
    return device, verify_rim(RIM, (nvidia.rim_root().fields,), **options)


INSTANTS = {google: NOW, amd: snp.NOW, intel: tdx.NOW, gpu: nvidia.NOW}


@pytest.mark.parametrize("verifier", INSTANTS, ids=lambda one: one.__name__)
def test_a_verifier_is_the_same_warm_and_cold(signatures, verifier):
    paths, ledgers = VerifiedPaths(), [Ledger() for _ in range(4)]
    cold = verifier(paths, ledgers[0])
    done = len(signatures)
    assert done >= 2
    warm = verifier(paths, ledgers[1])
    assert len(signatures) == done
    assert repr(warm) == repr(cold)
    verifier(None, ledgers[2])
    assert len(signatures) == 2 * done
    shown = [[check.as_dict() for check in ledger.checks] for ledger in ledgers]
    assert shown[0] == shown[1] == shown[2]
    verifier(paths, ledgers[3], now=INSTANTS[verifier] + SECOND)
    assert len(signatures) == 3 * done


# --- revocation lists

PCK_CRL, LINKS = TD.intel.pck_crl.der, [parse_certificate(TD.pck.der, "PCK")]
CA = parse_certificate(TD.intel.platform_ca.der, "CA")
LIST_RULES = CrlRules("T7.3", "the CA", timedelta(days=30))


def listed(paths, der=PCK_CRL, *, issuer=CA, links=LINKS, rules=LIST_RULES, now=tdx.NOW):
    ledger = Ledger()
    return verify_crl(der, issuer, links, rules=rules, now=now, ledger=ledger, paths=paths), ledger.rows


def test_the_same_list_is_found_again(signatures):
    paths = VerifiedPaths()
    assert listed(paths) == listed(paths) == listed(None)
    assert len(signatures) == 2


OTHER_LISTS = {
    "a second later": {"now": tdx.NOW + SECOND},
    "other rules": {"rules": replace(LIST_RULES, prefix="T7.4")},
    "another limit of age": {"rules": replace(LIST_RULES, max_age=timedelta(days=31))},
    "another certificate besides": {"links": [*LINKS, ROOT]},
    "another of the issuer's lists": {"der": replace(TD.intel.pck_crl, number=2).der},
    "another certificate of the issuer's key": {
        "issuer": parse_certificate(replace(TD.intel.platform_ca, serial=99).der, "CA")
    },
}


@pytest.mark.parametrize("change", OTHER_LISTS)
def test_any_other_list_is_verified_again(signatures, change):
    paths = VerifiedPaths()
    listed(paths)
    listed(paths, **OTHER_LISTS[change])
    assert len(signatures) == 2


REFUSED_LISTS = {
    "T7.3.1, another issuer": {"issuer": ROOT},
    "T7.3.1, a bit of the signature": {"der": changed(PCK_CRL, len(PCK_CRL) - 20)},
    "T7.3.2, after its end": {"now": tdx.NOW + timedelta(days=29)},
    "T7.3.2, older than is allowed": {"rules": replace(LIST_RULES, max_age=timedelta(days=1))},
    "T7.3.3, a certificate in it": {"links": [*LINKS, parse_certificate(replace(TD.pck, serial=0xBAD).der, "PCK")]},
    "T7.3.3, another list that names it": {"der": replace(TD.intel.pck_crl, serials=(20,)).der},
}


@pytest.mark.parametrize("attack", REFUSED_LISTS)
def test_a_list_that_was_accepted_opens_no_door_for_another(attack):
    paths = VerifiedPaths()
    listed(paths)
    for _ in range(2):
        with pytest.raises(VerificationError) as caught:
            listed(paths, **REFUSED_LISTS[attack])
        assert caught.value.rule == attack.partition(",")[0]


def test_a_chip_whose_issuer_is_revoked_is_refused_warm():
    paths = VerifiedPaths()
    amd(paths, Ledger())
    with pytest.raises(VerificationError, match=r"T11\.amd\.3"):
        amd(paths, Ledger(), revocation=REVOKED)
