"""SEV-SNP reports (T1 to T4): every attack breaks exactly one rule, on a guest that is verified without it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509

from client_sdk.errors import AttestationError, VerificationError
from client_sdk.parse.snp import Product
from client_sdk.report import Ledger
from client_sdk.rules import keepers
from client_sdk.verify import amd_chain, snp
from tests.fakes.judging_snp import CONTROL_IDS, CONTROLS, refused, to, verified, verified_vek
from tests.fakes.simulated_snp import DAY, NOW, SimulatedSnp, chip_key, integer

GENOA, TURIN = Product.GENOA, Product.TURIN


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


def test_a_masked_chip_id_is_genuine_and_the_certificate_names_the_chip():
    sim = SimulatedSnp()
    sim.chip_id = bytes(64)
    facts = verified(sim)
    assert (facts.chip_id_masked, facts.chip) == (True, sim.hwid)


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
    signed = x509.load_der_x509_crl(data).tbs_certlist_bytes if part == "crl" else data
    for place in range(len(signed)):
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
    files = (Path(__file__), Path(__file__).with_name("test_verify_amd_chain.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    words = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert sorted(kept - words) == []
    assert len(kept) == 30
