"""Vectors of the stages ``snp`` and ``snp-cert``: the attack tables of the tests, sent to the stages."""

from __future__ import annotations

from client_sdk.parse.snp import Product
from tests.client_sdk.test_clauses_snp import GUESTS, lower
from tests.client_sdk.test_conformance_snp import pem, roots
from tests.client_sdk.test_verify_amd_chain import CHAIN_ATTACKS, CRL_ATTACKS, under
from tests.client_sdk.test_verify_snp import REPORT_ATTACKS, RESERVED
from tests.fakes.judging_snp import CONTROL_IDS, CONTROLS
from tests.fakes.simulated_snp import DAY, NOW, SimulatedSnp
from tests.vectors.case import Case, Family, Request, b64, merged

MILAN, TURIN = Product.MILAN, Product.TURIN
INSTANT = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
STRICT = {
    "max_vmpl": 0,
    "smt": "required",
    "single_socket": "forbidden",
    "minimum_abi": "0.31",
    "minimum_firmware": "1.55.29",
    "alias_check": "required",
    "ciphertext_hiding": "forbidden",
    "tcb_floors": {"milan": {"bootloader": 4, "snp": 24, "microcode": 219}},
}
# Attack, rule, what the caller asks for that the control does not have.
KNOBS = [
    ("a caller who expects other report data", "T1.1", {"expected": {"report_data_hex": "00" * 64}}),
    ("a caller who forbids SMT", "T4.10", {"smt": "forbidden"}),
    ("a caller who wants one socket", "T4.11", {"single_socket": "required"}),
    ("a caller who wants a newer ABI", "T4.12", {"minimum_abi": "1.0"}),
    ("a caller who forbids the alias check", "T4.14", {"alias_check": "forbidden"}),
    ("a caller who wants ciphertext hiding", "T4.15", {"ciphertext_hiding": "required"}),
    ("a caller who wants newer firmware", "T4.16", {"minimum_firmware": "1.55.30"}),
    ("a caller who wants a revocation list", "T11.amd.4", {"require_crl": True}),
    ("a caller who denies a serial number", "T11.amd.7", {"deny_vek_serials": [3, 0]}),
    ("a caller who expects another id key", "T5.3", {"expected": {"id_key_digest_hex": "34" * 48}}),
    ("a caller who expects an author key", "T5.4", {"expected": {"author_key_digest_hex": "35" * 48}}),
]


def chain(sim: SimulatedSnp, **changes) -> Request:
    others = sim.others()
    request = {
        "vek": b64(sim.certificate()),
        "amd_chain": b64(pem(*others)) if others else None,
        "roots": roots(sim),
        "now": INSTANT,
    }
    return merged(request, **changes)


def report(sim: SimulatedSnp, **changes) -> Request:
    expected = {"report_data_hex": sim.report_data.hex()}
    return merged(chain(sim), **{"report": b64(sim.report()), "expected": expected} | changes)


def guest(product: Product = MILAN, *, vlek: bool = False, **knobs) -> SimulatedSnp:
    sim = SimulatedSnp(product, vlek=vlek)
    for name, value in knobs.items():
        setattr(sim, name, value)
    return sim


def cases() -> list[Case]:
    """Return the cases of both stages."""
    return [*_reports().cases, *_certificates().cases]


def _reports() -> Family:
    family = Family("snp")
    for name, (product, vlek) in zip(CONTROL_IDS, CONTROLS, strict=True):
        if (product, vlek) not in {(MILAN, False), (MILAN, True), (TURIN, False)}:
            family.control(f"{name}", report(guest(product, vlek=vlek)))
    family.control("Milan-VLEK", report(guest(vlek=True)))
    family.attack("a VCEK's flag under a VLEK", "T3.3", report(guest(vlek=True, flags=0)))
    family.attack("a VLEK that nobody named", "T3.7", report(guest(vlek=True), allow_vlek=False))
    _turin(family)
    family.control("Milan-VCEK", report(guest()))
    for attack, rule, change in REPORT_ATTACKS:
        sim = guest()
        change(sim)
        family.attack(attack, rule, report(sim))
    for byte in range(8):
        tcb = bytearray(guest().reported_tcb)
        tcb[byte] ^= 1
        family.attack(f"byte {byte} of the reported TCB", "T3.6", report(guest(reported_tcb=bytes(tcb))))
    for offset in (RESERVED[0], RESERVED[-1]):
        patched = guest(version=5, patches={offset: b"\1"})
        family.attack(f"a reserved field at {offset:#x}", "T4.4", report(patched))
    family.attack("a byte behind the signature", "T4.4", report(guest(late_patches={0x330: b"\1"})))
    _clauses(family)
    return family


def _turin(family: Family) -> None:
    family.control("Turin-VCEK", report(guest(TURIN)))
    milan_order, committed = bytes([1, 1, 0, 0, 0, 0, 4, 81]), bytes([2, 1, 1, 4, 0, 0, 0, 81])
    hwid = guest(TURIN).hwid
    family.attack("a Turin TCB in the order of Milan", "T3.6", report(guest(TURIN, reported_tcb=milan_order)))
    family.attack("a FMC committed above what runs", "T4.6", report(guest(TURIN, committed_tcb=committed)))
    family.attack("a Turin chip id with more behind", "T3.5", report(guest(TURIN, chip_id=hwid + bytes(55) + b"\1")))


def _clauses(family: Family) -> None:
    control = guest()
    expected = {
        "report_data_hex": control.report_data.hex(),
        "measurement_hex": control.measurement.hex(),
        "host_data_hex": control.host_data.hex(),
    }
    strict = STRICT | {"expected": expected}
    good = report(control, **strict)
    family.control("everything named", good)
    for attack, rule, knobs in GUESTS:
        family.attack(f"{attack}, refused by policy", rule, report(guest(**knobs), **strict))
    old = guest(reported_tcb=lower(7))
    old.levels[8] = 218
    family.attack("an old microcode reported", "T4.17", report(old, **strict))
    for attack, rule, change in KNOBS:
        family.attack(attack, rule, merged(good, **change))
    family.attack("a chip on the deny-list", "T11.amd.6", merged(good, deny_chip_ids_hex=[control.hwid.hex()]))
    family.control("with a revocation list", merged(good, amd_crl=b64(control.ark.crl(number=7)), require_crl=True))
    listed = merged(good, require_crl=True)
    family.attack(
        "a revocation list that went back",
        "T11.amd.5",
        merged(listed, amd_crl=b64(control.ark.crl(number=5)), minimum_crl_number=7),
    )


def _certificates() -> Family:
    family = Family("snp-cert")
    family.control("a VLEK", chain(guest(vlek=True)))
    wrong = guest(vlek=True)
    under("SEV-Milan")(wrong)
    family.attack("a VLEK under the chips' intermediate", "T2.8", chain(wrong))
    family.control("Turin", chain(guest(TURIN)))
    few = guest(TURIN)
    few.levels = {number: few.levels.get(number, 0) for number in range(1, 9)}
    family.attack("a Turin certificate with the levels of Milan", "T3.2", chain(few))
    family.control("Milan", chain(guest()))
    for attack, rule, change in CHAIN_ATTACKS:
        sim = guest()
        change(sim)
        if sim.arks:  # the stage takes no empty list of roots
            family.attack(attack, rule, chain(sim))
    family.attack("no revocation list where one is due", "T11.amd.4", chain(guest(), require_crl=True))
    sim = guest()
    family.control("with a revocation list", chain(sim, amd_crl=b64(sim.ark.crl())))
    for attack, rule, crl in CRL_ATTACKS:
        family.attack(attack, rule, chain(sim, amd_crl=b64(crl(sim))))
    aged = b64(sim.ark.crl(dates=(NOW - 10 * DAY, NOW + DAY)))
    family.attack("an older list than the caller takes", "T11.amd.2", chain(sim, amd_crl=aged, crl_max_age_days=9))
    family.attack(
        "a list whose number went back", "T11.amd.5", chain(sim, amd_crl=b64(sim.ark.crl()), minimum_crl_number=6)
    )
    return family
