"""Certificates of keys that sign SEV-SNP reports (T2, T3, T11): every attack breaks exactly one rule."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from client_sdk.errors import EvidenceError, VerificationError
from client_sdk.parse.amd_certificate import parse_vek
from client_sdk.parse.snp import Product
from client_sdk.report import Ledger
from client_sdk.verify.chain import ChainRules, verify_chain
from tests.fakes.judging_snp import refused, to, verified, verified_vek
from tests.fakes.simulated_snp import DAY, NOW, AmdCa, SimulatedSnp, ark, ark_fields, chip_key, ia5
from tests.fakes.simulated_vm import rsa_key, usage

MILAN, GENOA, TURIN = Product.MILAN, Product.GENOA, Product.TURIN
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
CA = x509.BasicConstraints(ca=True, path_length=0)
NO_CA = x509.BasicConstraints(ca=False, path_length=None)


@pytest.mark.parametrize("shape", ["ARK first", "without ARK", "more than needed", "wrapped HWID", "usual serial"])
def test_other_shapes_of_the_same_evidence(shape):
    sim = SimulatedSnp()
    ask, root = sim.ask.der, sim.ark.der
    chains = {"ARK first": (root, ask), "without ARK": (ask,), "more than needed": (ark(GENOA).der, ask, root, ask)}
    sim.chain = chains.get(shape)
    if shape == "wrapped HWID":
        sim.extensions["4"] = b"\x04\x40" + sim.hwid
    sim.serial_zero = shape != "usual serial"
    sim.arks = tuple(ark_fields(product) for product in (TURIN, GENOA, MILAN))
    assert verified(sim).vek.serial == (1 if shape == "usual serial" else 0)


def test_the_roots_list_does_not_speak_of_the_chips_certificates():
    sim = SimulatedSnp()
    sim.serial_zero = False  # its serial number 1 is of the intermediate's counting, not of the root's
    assert verified(sim, crl=sim.ark.crl(revoked=(1, 77))).vek.crl_number == 5


def same_names(sim):
    fake = AmdCa("ARK-Milan", key=rsa_key("impostor"))
    sim.ask = AmdCa("SEV-Milan", parent=fake, key=rsa_key("impostor ask"))
    sim.chain = (sim.ask.der, fake.der)


def other_ask(sim):
    sim.chain = (AmdCa("SEV-Milan", parent=sim.ark, key=rsa_key("other ask")).der, sim.ark.der)


def asvk_for_ask(sim):
    sim.chain = (SimulatedSnp(vlek=True).ask.der, sim.ark.der)


def nobody_pinned(sim):
    sim.arks = ()


def other_line(sim):
    sim.arks = (ark_fields(GENOA),)


def no_intermediate(sim):
    sim.chain = ()


def changed_certificate(sim):
    real = sim.certificate()
    sim.certificate = lambda: real[:-1] + bytes([real[-1] ^ 1])


def ask_with(*extensions, **knobs):
    def change(sim):
        sim.ask = AmdCa("SEV-Milan", parent=sim.ark, extensions=list(extensions) or None, **knobs)

    return change


def ark_with(*extensions, **knobs):
    def change(sim):
        sim.ark = AmdCa("ARK-Milan", key=rsa_key("own ark"), extensions=list(extensions) or None, **knobs)
        sim.ask, sim.arks = AmdCa("SEV-Milan", parent=sim.ark), (sim.ark.fields,)

    return change


def vek_with(extension, *, critical=True):
    return lambda sim: sim.vek_extra.append((extension, critical))


def cross_signed_ark(sim):
    sim.ark = AmdCa("ARK-Milan", key=rsa_key("own ark"), parent=AmdCa("some CA"), extensions=AmdCa.default_extensions())
    sim.ask, sim.arks = AmdCa("SEV-Milan", parent=sim.ark), (sim.ark.fields,)


def unknown_line(sim):
    sim.ark = AmdCa("ARK-Naples")
    sim.ask, sim.arks = AmdCa("SEV-Naples", parent=sim.ark), (sim.ark.fields,)


def straight_from_the_ark(sim):
    sim.ask = sim.ark


def one_more_between(sim):
    middle = AmdCa("SEV-Middle", parent=sim.ark, extensions=AmdCa.default_extensions())
    sim.ask = AmdCa("SEV-Milan", parent=middle)
    sim.chain = (sim.ask.der, middle.der)


def under(name):
    def change(sim):
        sim.ask = AmdCa(name, parent=sim.ark)

    return change


CHAIN_ATTACKS = [
    ("a root of AMD's name that is not AMD's", "T2.1", same_names),
    ("another intermediate of the same name", "T2.1", other_ask),
    ("a VLEK's intermediate beside a VCEK", "T2.1", asvk_for_ask),
    ("no root is pinned", "T2.1", nobody_pinned),
    ("the root of another product line", "T2.1", other_line),
    ("no intermediate", "T2.1", no_intermediate),
    ("a changed certificate", "T2.1", changed_certificate),
    ("expired", "T2.2", to(vek_dates=(NOW - 20 * DAY, NOW - DAY))),
    ("not valid yet", "T2.2", to(vek_dates=(NOW + DAY, NOW + 20 * DAY))),
    ("an expired intermediate", "T2.2", ask_with(dates=(NOW - 20 * DAY, NOW - DAY))),
    ("an expired root", "T2.2", ark_with(dates=(NOW - 20 * DAY, NOW - DAY))),
    ("an intermediate that is no CA", "T2.3", ask_with((NO_CA, True), (usage("key_cert_sign"), True))),
    ("an intermediate that says nothing about it", "T2.3", ask_with((usage("key_cert_sign"), True))),
    ("a root without room for an intermediate", "T2.3", ark_with((CA, True), (usage("key_cert_sign"), True))),
    ("an intermediate that may not sign certificates", "T2.4", ask_with((CA, True), (usage("crl_sign"), True))),
    ("a critical extension that nobody reads", "T2.5", vek_with(UNKNOWN)),
    ("a signature over a weak hash", "T2.6", to(vek_hash=hashes.SHA224())),
    ("a pinned root that another key signed", "T2.7", cross_signed_ark),
    ("a root of a line that is not known", "T2.8", unknown_line),
    ("no intermediate between chip and root", "T2.8", straight_from_the_ark),
    ("an intermediate of the intermediate", "T2.8", one_more_between),
    ("a VCEK under the VLEKs' intermediate", "T2.8", under("SEV-VLEK-Milan")),
    ("an intermediate of another product's name", "T2.8", under("SEV-Genoa")),
    ("a key on P-256", "T2.9", to(key=chip_key("p256", ec.SECP256R1))),
    ("an RSA key", "T2.9", to(key=rsa_key("vek"))),
    ("a CA's certificate", "T2.10", vek_with(CA)),
    ("a certificate of another product", "T3.1", lambda sim: sim.extensions.update({"2": ia5(b"Genoa")})),
    ("a certificate of an unknown product", "T3.1", lambda sim: sim.extensions.update({"2": ia5(b"Milanese")})),
    ("a patch level is missing", "T3.2", lambda sim: sim.levels.pop(3)),
    ("a patch level too many", "T3.2", lambda sim: sim.levels.update({9: 0})),
    ("a chip id of another size", "T3.2", lambda sim: sim.extensions.update({"4": bytes(8)})),
]


@pytest.mark.parametrize(("attack", "rule", "change"), CHAIN_ATTACKS, ids=[row[0] for row in CHAIN_ATTACKS])
def test_a_chain_of_something_else(attack, rule, change):
    sim = SimulatedSnp()
    change(sim)
    refused(sim, rule)


def test_a_vlek_under_the_chips_intermediate():
    sim = SimulatedSnp(vlek=True)
    under("SEV-Milan")(sim)
    refused(sim, "T2.8")


@pytest.mark.parametrize("levels", [{1, 2, 3, 5, 6, 7, 8}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 4, 5, 6, 7, 8}])
def test_a_turin_certificate_with_the_levels_of_another(levels):
    sim = SimulatedSnp(TURIN)
    sim.levels = {number: sim.levels.get(number, 0) for number in levels}
    refused(sim, "T3.2")


def test_a_pinned_key_is_the_anchor_under_whatever_name_it_is_shown():
    sim = SimulatedSnp()
    pinned = AmdCa("another name", key=rsa_key("shared"), extensions=AmdCa.default_extensions()).fields
    shown = AmdCa("ARK-Milan", key=rsa_key("shared"), parent=AmdCa("some CA"), extensions=AmdCa.default_extensions())
    sim.ask = AmdCa("SEV-Milan", parent=shown)
    leaf = parse_vek(sim.certificate(), "vek").fields
    others = (shown.fields, sim.ask.fields)
    path = verify_chain(leaf, others, (pinned,), rules=ChainRules("X", "it"), now=NOW, ledger=Ledger())
    assert [link.fingerprint for link in path[1:]] == [others[1].fingerprint, pinned.fingerprint]


def test_a_ca_without_usage_is_taken_here_and_nowhere_else():
    sim = SimulatedSnp()
    ask_with((CA, True))(sim)
    assert verified(sim).vek.product is MILAN
    leaf, ask = parse_vek(sim.certificate(), "vek").fields, sim.ask.fields
    with pytest.raises(VerificationError, match=r"\[X.4\].*no keyUsage"):
        verify_chain(leaf, (ask,), sim.arks, rules=ChainRules("X", "it"), now=NOW, ledger=Ledger())


CRL_ATTACKS = [
    ("a list of another root", "T11.amd.1", lambda _: ark(GENOA).crl()),
    ("a list that the intermediate signed", "T11.amd.1", lambda sim: sim.ask.crl()),
    ("a list of the past", "T11.amd.2", lambda sim: sim.ark.crl(dates=(NOW - 300 * DAY, NOW - DAY))),
    ("a list without end", "T11.amd.2", lambda sim: sim.ark.endless_crl()),
    ("a list of the future", "T11.amd.2", lambda sim: sim.ark.crl(dates=(NOW + DAY, NOW + 9 * DAY))),
    ("a list too old for the caller", "T11.amd.2", lambda sim: sim.ark.crl(dates=(NOW - 401 * DAY, NOW + DAY))),
    ("a revoked intermediate", "T11.amd.3", lambda sim: sim.ark.crl(revoked=(7, sim.ask.serial))),
    ("a revoked root", "T11.amd.3", lambda sim: sim.ark.crl(revoked=(sim.ark.serial,))),
]


@pytest.mark.parametrize(
    ("attack", "rule", "crl"),
    CRL_ATTACKS,
)
def test_a_revocation_list(attack, rule, crl):
    sim = SimulatedSnp()
    refused(sim, rule, crl=crl(sim))


def test_more_certificates_than_any_chain_has():
    sim = SimulatedSnp()
    sim.chain = (sim.ask.der,) * 17
    with pytest.raises(EvidenceError, match="amd_chain: 17 certificates"):
        verified(sim)


def test_a_list_that_is_none():
    with pytest.raises(EvidenceError, match="revocation list"):
        verified_vek(SimulatedSnp(), crl=b"\x30\x00")
