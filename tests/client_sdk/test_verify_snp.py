"""SEV-SNP (T1 to T4, T11): every attack breaks exactly one rule, on a guest that is verified without it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from client_sdk.errors import AttestationError, EvidenceError, VerificationError
from client_sdk.parse.snp import Product
from client_sdk.report import Ledger
from client_sdk.rules import keepers
from client_sdk.verify import amd_chain, snp
from client_sdk.verify.chain import ChainRules, verify_chain
from tests.fakes.judging_snp import CONTROL_IDS, CONTROLS, verified, verified_vek
from tests.fakes.simulated_snp import (
    DAY,
    NOW,
    AmdCa,
    SimulatedSnp,
    ark,
    ark_fields,
    chip_key,
    ia5,
    integer,
)
from tests.fakes.simulated_vm import rsa_key, usage

MILAN, GENOA, TURIN = Product.MILAN, Product.GENOA, Product.TURIN
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
CA = x509.BasicConstraints(ca=True, path_length=0)
NO_CA = x509.BasicConstraints(ca=False, path_length=None)


def refused(sim: SimulatedSnp, rule: str, **options) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verified(sim, **options)
    assert caught.value.rule == rule, str(caught.value)
    assert str(caught.value).startswith(f"[{rule}] ")
    return caught.value


@pytest.mark.parametrize(("product", "vlek"), CONTROLS, ids=CONTROL_IDS)
def test_control_is_verified(product, vlek):
    sim, ledger = SimulatedSnp(product, vlek=vlek), Ledger()
    facts = verified(sim, crl=sim.ark.crl(), ledger=ledger)
    assert (facts.vek.product, facts.signing_key) == (product, "VLEK" if vlek else "VCEK")
    assert facts.chip == (b"" if vlek else sim.hwid.ljust(64, b"\0"))
    assert facts.vek.crl_number == 5
    assert all(check.passed for check in ledger.checks)


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_every_known_version_is_verified(version):
    sim = SimulatedSnp()
    sim.version = version
    sim.cpuid = (0, 0, 0) if version == 2 else sim.cpuid
    sim.mitigations = (1, 2) if version >= 4 else (0, 0)
    assert verified(sim).report.version == version


def test_bergamo_and_siena_are_of_the_genoa_line():
    sim = SimulatedSnp(GENOA)
    sim.cpuid = (0x19, 0xA0, 2)
    assert verified(sim).vek.product is GENOA


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


def test_a_masked_chip_id_is_genuine_and_the_certificate_names_the_chip():
    sim = SimulatedSnp()
    sim.chip_id = bytes(64)
    facts = verified(sim)
    assert (facts.chip_id_masked, facts.chip) == (True, sim.hwid)


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


def to(**knobs):
    def change(sim):
        for name, value in knobs.items():
            setattr(sim, name, value)

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


def test_a_ca_without_usage_is_taken_here_and_nowhere_else():
    sim = SimulatedSnp()
    ask_with((CA, True))(sim)
    assert verified(sim).vek.product is MILAN
    leaf, ask = amd_chain.parse_vek(sim.certificate(), "vek").fields, sim.ask.fields
    with pytest.raises(VerificationError, match=r"\[X.4\].*no keyUsage"):
        verify_chain(leaf, (ask,), sim.arks, rules=ChainRules("X", "it"), now=NOW, ledger=Ledger())


@pytest.mark.parametrize(
    ("attack", "rule", "crl"),
    [
        ("a list of another root", "T11.amd.1", lambda _: ark(GENOA).crl()),
        ("a list that the intermediate signed", "T11.amd.1", lambda sim: sim.ask.crl()),
        ("a list of the past", "T11.amd.2", lambda sim: sim.ark.crl(dates=(NOW - 300 * DAY, NOW - DAY))),
        ("a list of the future", "T11.amd.2", lambda sim: sim.ark.crl(dates=(NOW + DAY, NOW + 9 * DAY))),
        ("a list too old for the caller", "T11.amd.2", lambda sim: sim.ark.crl(dates=(NOW - 401 * DAY, NOW + DAY))),
        ("a revoked intermediate", "T11.amd.3", lambda sim: sim.ark.crl(revoked=(7, sim.ask.serial))),
        ("a revoked root", "T11.amd.3", lambda sim: sim.ark.crl(revoked=(sim.ark.serial,))),
    ],
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


def shifted(**places):
    """Change bytes of the report after it was signed."""
    return lambda sim: sim.late_patches.update({int(place[1:], 16): value for place, value in places.items()})


def patched(offset, value):
    """Change bytes of the report before it is signed."""
    return lambda sim: sim.patches.update({offset: value})


def flags(value):
    return to(flags=value)


REPORT_ATTACKS = [
    ("a version before reports had one", "T4.1", to(version=0)),
    ("an old version", "T4.1", to(version=1)),
    ("a version of the future", "T4.1", to(version=6)),
    ("no signature algorithm", "T2.11", to(algorithm=0)),
    ("another signature algorithm", "T2.11", to(algorithm=2)),
    ("r with a byte where it must be cut off to pass", "T2.12", shifted(x2d0=b"\1")),
    ("s with a byte where it must be cut off to pass", "T2.12", shifted(x32f=b"\x80")),
    ("another key signed", "T2.13", to(sign_with=chip_key("impostor"))),
    ("a changed measurement", "T2.13", shifted(x90=b"\x12")),
    ("debugging cleared after signing", "T2.13", shifted(x8=bytes(8))),
    ("the last signed byte", "T2.13", shifted(x29f=b"\1")),
    ("an empty signature", "T2.13", shifted(x2a0=bytes(144))),
    ("a VLEK's flag under a VCEK", "T3.3", flags(1 << 2)),
    ("a reserved kind of key", "T3.3", flags(2 << 2)),
    ("no key at all", "T3.3", flags(7 << 2)),
    ("a Genoa processor", "T3.4", to(cpuid=(0x19, 0x11, 0))),
    ("a Turin processor", "T3.4", to(cpuid=(0x1A, 0x01, 0))),
    ("a processor that is not known", "T3.4", to(cpuid=(0x19, 0x02, 0))),
    ("no processor in a version that has it", "T3.4", to(cpuid=(0, 0, 0))),
    ("a report of another chip", "T3.5", to(chip_id=b"\x55" * 64)),
    ("a chip id with another end", "T3.5", lambda sim: setattr(sim, "chip_id", sim.hwid[:-1] + b"\0")),
    ("bit 17 of the policy is zero", "T4.2", to(policy=0x1001F)),
    ("bit 26 of the policy", "T4.2", to(policy=0x3001F | 1 << 26)),
    ("bit 63 of the policy", "T4.2", to(policy=0x3001F | 1 << 63)),
    ("bit 8 of the platform info", "T4.3", to(platform_info=0x125)),
    ("bit 5 of the flags", "T4.3", flags(1 << 5)),
    ("bit 31 of the flags", "T4.3", flags(1 << 31)),
    ("a reserved byte of the current TCB", "T4.5", to(current_tcb=bytes([4, 0, 0, 1, 0, 0, 24, 219]))),
    ("a reserved byte of the committed TCB", "T4.5", to(committed_tcb=bytes([4, 0, 1, 0, 0, 0, 24, 219]))),
    ("a reserved byte of the launch TCB", "T4.5", to(launch_tcb=bytes([4, 0, 0, 0, 0, 9, 24, 219]))),
    ("a bootloader committed above what runs", "T4.6", to(committed_tcb=bytes([5, 0, 0, 0, 0, 0, 24, 219]))),
    ("a TEE committed above what runs", "T4.6", to(committed_tcb=bytes([4, 1, 0, 0, 0, 0, 24, 219]))),
    ("an SNP firmware committed above what runs", "T4.6", to(committed_tcb=bytes([4, 0, 0, 0, 0, 0, 25, 219]))),
    ("microcode committed above what runs", "T4.6", to(committed_tcb=bytes([4, 0, 0, 0, 0, 0, 24, 220]))),
    ("a build committed above what runs", "T4.7", to(committed_version=(30, 55, 1))),
    ("a minor version committed above what runs", "T4.7", to(committed_version=(0, 56, 1))),
    ("a major version committed above what runs", "T4.7", to(committed_version=(0, 0, 2))),
]


@pytest.mark.parametrize(("attack", "rule", "change"), REPORT_ATTACKS, ids=[row[0] for row in REPORT_ATTACKS])
def test_a_report_of_something_else(attack, rule, change):
    sim = SimulatedSnp()
    change(sim)
    refused(sim, rule)


@pytest.mark.parametrize("byte", range(8))
@pytest.mark.parametrize("product", Product)
def test_a_reported_tcb_that_is_not_the_certificates(product, byte):
    sim = SimulatedSnp(product)
    tcb = bytearray(sim.reported_tcb)
    tcb[byte] ^= 1
    sim.reported_tcb = bytes(tcb)
    refused(sim, "T3.6")


def test_a_turin_tcb_in_the_order_of_milan():
    sim = SimulatedSnp(TURIN)
    sim.reported_tcb = bytes([1, 1, 0, 0, 0, 0, 4, 81])
    refused(sim, "T3.6")


def test_a_turin_chip_id_with_bytes_behind_its_eight():
    sim = SimulatedSnp(TURIN)
    sim.chip_id = sim.hwid + bytes(55) + b"\1"
    refused(sim, "T3.5")


def test_a_fmc_committed_above_what_runs():
    sim = SimulatedSnp(TURIN)
    sim.committed_tcb = bytes([2, 1, 1, 4, 0, 0, 0, 81])
    refused(sim, "T4.6")


def test_a_vceks_flag_under_a_vlek():
    sim = SimulatedSnp(vlek=True)
    sim.flags = 0
    refused(sim, "T3.3")


RESERVED = [0x4C, 0x4F, 0x18B, 0x19F, 0x1EB, 0x1EF, 0x208, 0x29F]


@pytest.mark.parametrize(
    ("version", "offset"),
    [(5, offset) for offset in RESERVED] + [(2, 0x188), (2, 0x18A), (2, 0x1F8), (3, 0x1F8), (3, 0x207)],
)
def test_a_reserved_field_that_is_set(version, offset):
    sim = SimulatedSnp()
    sim.version, sim.cpuid = version, (0, 0, 0) if version == 2 else sim.cpuid
    patched(offset, b"\1")(sim)
    refused(sim, "T4.4")


@pytest.mark.parametrize("offset", [0x330, 0x49F])
def test_a_byte_behind_the_signature_that_no_key_covers(offset):
    sim = SimulatedSnp()
    sim.late_patches[offset] = b"\1"
    refused(sim, "T4.4")


@pytest.mark.parametrize("place", range(64))
def test_a_report_for_somebody_else(place):
    sim = SimulatedSnp()
    expected = bytearray(sim.report_data)
    expected[place] ^= 0x80
    refused(sim, "T1.1", report_data=bytes(expected))


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_an_expectation_of_another_size_is_never_met(size):
    sim = SimulatedSnp()
    vek = verified_vek(sim)
    with pytest.raises(VerificationError, match=r"\[T1.1\]"):
        snp.verify_report(sim.report(), vek, report_data=sim.report_data.ljust(65, b"\0")[:size], ledger=Ledger())


@pytest.mark.parametrize("part", ["report", "vek", "ask", "crl"])
def test_no_byte_can_change(part):
    sim = SimulatedSnp()
    parts = {"report": sim.report(), "vek": sim.certificate(), "ask": sim.ask.der, "crl": sim.ark.crl()}

    @cache
    def chain(vek, ask, crl):
        revocation = amd_chain.RevocationList(crl, 400 * DAY)
        return amd_chain.verify_vek(vek, (ask,), sim.arks, revocation=revocation, now=NOW, ledger=Ledger())

    def run(report, **others):
        return snp.verify_report(report, chain(**others), report_data=sim.report_data, ledger=Ledger())

    assert run(**parts)
    data, survivors = parts[part], []
    # Two ways to write a list's signature do no harm: nothing is known by a list's fingerprint.
    end = x509.load_der_x509_crl(data).tbs_certlist_bytes if part == "crl" else data
    for place in range(len(end)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        try:
            run(**parts | {part: bytes(changed)})
            survivors.append(place)
        except AttestationError:
            pass
    assert survivors == []


def test_a_certificate_of_another_chip():
    sim, other = SimulatedSnp(), SimulatedSnp()
    other.key, other.hwid = chip_key("other chip"), b"\x77" * 64
    other.extensions["4"] = other.hwid
    with pytest.raises(VerificationError, match=r"\[T2.13\]"):
        snp.verify_report(sim.report(), verified_vek(other), report_data=sim.report_data, ledger=Ledger())


def test_integers_of_the_control_are_written_as_amd_writes_them():
    assert integer(219) == bytes.fromhex("020200db")


def test_every_rule_of_these_files_has_an_attack():
    kept = {keeper.rule for keeper in keepers() if keeper.module in {amd_chain.__name__, snp.__name__}}
    tree = ast.parse(Path(__file__).read_text())
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert sorted(kept - words) == []
    assert len(kept) == 30
