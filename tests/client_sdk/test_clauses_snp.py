"""Clauses over a verified SEV-SNP report (T3, T4, T5, T11): each refuses one thing that the control does not have."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from client_sdk.clauses import snp
from client_sdk.clauses.expected import AnyValue, MustBeZero, OneOf, Setting
from client_sdk.clauses.snp import SnpDenyList, SnpRevocation
from client_sdk.errors import EvidenceError
from client_sdk.parse.snp import FirmwareVersion, Product, parse_tcb
from client_sdk.report import Ledger
from client_sdk.rules import keepers
from tests.fakes.judging_snp import CLAUSES, CONTROL_IDS, CONTROLS, judged, verified
from tests.fakes.simulated_snp import TCBS, SimulatedSnp

MILAN, GENOA, TURIN = Product.MILAN, Product.GENOA, Product.TURIN
FORBIDDEN, REQUIRED, EITHER = Setting.FORBIDDEN, Setting.REQUIRED, Setting.EITHER
FLOORS = CLAUSES["platform"].tcb_floors


def failed(sim, *clause, **changes) -> list[str]:
    return [failure.clause.partition(":")[0] for failure in judged(sim, *clause, **changes)]


@pytest.mark.parametrize(("product", "vlek"), CONTROLS, ids=CONTROL_IDS)
def test_control_is_taken(product, vlek):
    ledger = Ledger()
    assert judged(SimulatedSnp(product, vlek=vlek), ledger=ledger) == ()
    assert all(check.passed for check in ledger.checks)


def guest(**knobs):
    sim = SimulatedSnp()
    for name, value in knobs.items():
        setattr(sim, name, value)
    return sim


ZEROS = [4, 0, 0, 0, 0, 0, 24, 219]


def lower(place):
    return bytes([value - (index == place) for index, value in enumerate(ZEROS)])


GUESTS = [
    ("the chip's key kept out of reports", "T3.10", {"flags": 2}),
    ("a chip that hides", "T3.9", {"chip_id": bytes(64)}),
    ("debugging", "T4.8", {"policy": 0xB001F}),
    ("a migration agent", "T4.9", {"policy": 0x7001F}),
    ("an SMT setting other than the policy's", "T4.10", {"policy": 0x2001F}),
    ("a single-socket setting other than the policy's", "T4.11", {"policy": 0x13001F}),
    ("an older ABI", "T4.12", {"policy": 0x3001E}),
    ("a lesser privilege level", "T4.13", {"vmpl": 1}),
    ("the least privilege level", "T4.13", {"vmpl": 3}),
    ("the host's own request", "T4.13", {"vmpl": 0xFFFFFFFF}),
    ("no alias check", "T4.14", {"platform_info": 0x05}),
    ("ciphertext hiding other than the policy's", "T4.15", {"platform_info": 0x35}),
    ("an old build committed", "T4.16", {"committed_version": (28, 55, 1)}),
    ("an old minor version committed", "T4.16", {"committed_version": (99, 54, 1)}),
    ("an old bootloader committed", "T4.18", {"committed_tcb": lower(0)}),
    ("old SNP firmware committed", "T4.18", {"committed_tcb": lower(6)}),
    ("old microcode committed", "T4.18", {"committed_tcb": lower(7)}),
    ("an old bootloader at launch", "T4.19", {"launch_tcb": lower(0)}),
    ("old SNP firmware at launch", "T4.19", {"launch_tcb": lower(6)}),
    ("old microcode at launch", "T4.19", {"launch_tcb": lower(7)}),
    ("another measurement", "T5.1", {"measurement": b"\x12" * 48}),
    ("other host data", "T5.2", {"host_data": bytes(32)}),
    ("an author key's digest without its flag", "T5.5", {"author_key_digest": b"\x01" + bytes(47)}),
    ("an author key's flag without its digest", "T5.5", {"flags": 1}),
]


@pytest.mark.parametrize(("attack", "rule", "knobs"), GUESTS, ids=[row[0] for row in GUESTS])
def test_a_guest_that_nobody_asked_for(attack, rule, knobs):
    expected = ["T5.4", rule] if "author_key_digest" in knobs else [rule]
    assert failed(guest(**knobs)) == expected


@pytest.mark.parametrize("component", ["fmc", "bootloader", "tee", "snp", "microcode"])
def test_every_component_has_a_floor_in_every_tcb(component):
    floor = parse_tcb(TCBS[TURIN], TURIN)
    raised = floor._replace(**{component: getattr(floor, component) + 1})
    found = failed(SimulatedSnp(TURIN), "platform", tcb_floors=dict(FLOORS) | {TURIN: raised})
    assert found == ["T4.17", "T4.18", "T4.19"]


def test_a_reported_tcb_below_the_floor():
    sim = guest(reported_tcb=lower(7))
    sim.levels[8] = 218
    assert failed(sim) == ["T4.17"]


def test_a_product_without_a_floor_is_refused():
    failures = judged(SimulatedSnp(), "platform", tcb_floors={GENOA: FLOORS[GENOA]})
    assert [str(failure.expected) for failure in failures] == ["a floor for this product in the policy"] * 3


def test_a_floor_of_zeros_is_a_statement():
    zeros = {product: parse_tcb(bytes(8), product) for product in Product}
    assert failed(SimulatedSnp(), "platform", tcb_floors=zeros) == []


@pytest.mark.parametrize(
    ("statement", "rule", "clause", "changes"),
    [
        ("no VLEK", "T3.7", "key", {"kinds": frozenset({"VCEK"})}),
        ("no key at all", "T3.7", "key", {"kinds": frozenset()}),
        ("another provider", "T3.8", "key", {"csp_id": OneOf((b"CN=cc-other.example",))}),
    ],
)
def test_a_loaded_key_that_is_not_named(statement, rule, clause, changes):
    assert failed(SimulatedSnp(vlek=True), clause, **changes) == [rule]


def test_a_masked_chip_id_where_the_policy_says_so():
    assert failed(guest(chip_id=bytes(64)), "key", masked_chip_id=True) == []


@pytest.mark.parametrize(
    ("statement", "rule", "clause", "changes"),
    [
        ("VLEKs alone", "T3.7", "key", {"kinds": frozenset({"VLEK"})}),
        ("no SMT", "T4.10", "guest", {"smt": FORBIDDEN}),
        ("one socket", "T4.11", "guest", {"single_socket": REQUIRED}),
        ("a newer ABI", "T4.12", "guest", {"minimum_abi": (1, 0)}),
        ("another VMPL", "T4.13", "guest", {"vmpls": frozenset({1, 2})}),
        ("no VMPL", "T4.13", "guest", {"vmpls": frozenset()}),
        ("no alias check", "T4.14", "platform", {"alias_check": FORBIDDEN}),
        ("ciphertext hiding", "T4.15", "platform", {"ciphertext_hiding": REQUIRED}),
        ("newer firmware", "T4.16", "platform", {"minimum_firmware": FirmwareVersion(1, 56, 0)}),
        ("another measurement", "T5.1", "identity", {"measurement": OneOf((b"\x11" * 47 + b"\0",))}),
        ("no measurement", "T5.1", "identity", {"measurement": MustBeZero()}),
        ("other host data", "T5.2", "identity", {"host_data": OneOf((bytes(32),))}),
        ("no host data", "T5.2", "identity", {"host_data": MustBeZero()}),
        ("another id key", "T5.3", "identity", {"id_key_digest": OneOf((b"\x34" * 48,))}),
        ("no id key", "T5.3", "identity", {"id_key_digest": MustBeZero()}),
        ("an author key", "T5.4", "identity", {"author_key_digest": OneOf((b"\x35" * 48,))}),
        ("a revocation list", "T11.amd.4", "revocation", {"required": True}),
    ],
)
def test_a_policy_that_the_control_does_not_meet(statement, rule, clause, changes):
    assert failed(SimulatedSnp(), clause, **changes) == [rule]


@pytest.mark.parametrize(
    ("clause", "changes"),
    [
        ("guest", {"smt": EITHER, "single_socket": EITHER, "minimum_abi": (0, 0)}),
        (
            "platform",
            {"alias_check": EITHER, "ciphertext_hiding": EITHER, "minimum_firmware": FirmwareVersion(1, 0, 0)},
        ),
        ("identity", {"measurement": OneOf((bytes(48), b"\x11" * 48)), "host_data": AnyValue("a test")}),
    ],
)
def test_a_policy_that_the_control_meets_too(clause, changes):
    assert failed(SimulatedSnp(), clause, **changes) == []


def test_an_author_key_that_is_named():
    sim = guest(flags=1, author_key_digest=b"\x35" * 48)
    assert failed(sim, "identity", author_key_digest=OneOf((b"\x35" * 48,))) == []


def test_a_list_whose_number_went_back():
    sim = SimulatedSnp()
    assert failed(sim, "revocation", required=True, highest_seen=6, crl=sim.ark.crl(number=5)) == ["T11.amd.5"]
    assert failed(sim, "revocation", required=True, highest_seen=5, crl=sim.ark.crl(number=5)) == []
    assert failed(sim, "revocation", required=False, highest_seen=9) == []


def test_a_chip_on_the_deny_list():
    for product, size in ((MILAN, 64), (TURIN, 64), (TURIN, 8)):
        sim = SimulatedSnp(product)
        chip = sim.hwid.ljust(64, b"\0")[:size]
        assert failed(sim, "deny", chips=frozenset({bytes(64), chip})) == ["T11.amd.6"]


def test_a_chip_on_the_deny_list_that_hides_in_the_report():
    sim = guest(chip_id=bytes(64))
    deny = SnpDenyList(frozenset({sim.hwid}), frozenset(), frozenset())
    assert [failure.clause.partition(":")[0] for failure in deny.judge(verified(sim), Ledger())] == ["T11.amd.6"]


def test_a_denied_chip_is_told_in_one_sentence():
    sim = SimulatedSnp()
    facts = verified(sim)
    deny = SnpDenyList(frozenset({sim.hwid}), frozenset(), frozenset({facts.vek.fingerprint}))
    chip, key = deny.judge(facts, Ledger())
    assert str(chip) == (
        "[T11.amd.6: the chip is not on the deny-list] "
        f"expected none of the 1 that the policy denies, got {sim.hwid.hex()}"
    )
    assert f"got serial 0 SHA-256 {facts.vek.fingerprint.hex()}" in str(key)


def test_a_list_that_went_back_is_told_without_stray_commas():
    (failure,) = SnpRevocation(required=True, highest_seen=6).judge_number(5, Ledger())
    assert (failure.expected, failure.got) == ("at least 6", "5")


def test_a_key_on_the_deny_list():
    sim = SimulatedSnp()
    assert failed(sim, "deny", serials=frozenset({0})) == ["T11.amd.7"]
    assert failed(sim, "deny", serials=frozenset({1})) == []
    facts = verified(sim)
    deny = SnpDenyList(frozenset(), frozenset(), frozenset({facts.vek.fingerprint}))
    assert [failure.clause.partition(":")[0] for failure in deny.judge(facts, Ledger())] == ["T11.amd.7"]


def test_every_failure_is_reported_and_says_what_was_found():
    sim = guest(policy=0xB001F, vmpl=2, measurement=bytes(48))
    failures = judged(sim)
    assert [failure.clause.partition(":")[0] for failure in failures] == ["T4.8", "T4.13", "T5.1"]
    assert [failure.got for failure in failures] == ["set", "2", "00" * 48]


def test_what_is_not_compared_stands_in_the_report_with_its_reason():
    ledger = Ledger()
    judged(SimulatedSnp(), "identity", ledger, measurement=AnyValue("the cloud vouches for it"))
    (row,) = [check.as_dict() for check in ledger.checks if check.id == "T5.1"]
    assert (row["expected"], row["got"]) == ("anything: the cloud vouches for it", "11" * 48)


@pytest.mark.parametrize("make", [lambda: OneOf(()), lambda: AnyValue(""), lambda: AnyValue("  ")])
def test_a_clause_that_says_nothing_cannot_be_made(make):
    with pytest.raises(EvidenceError, match="policy"):
        make()


@pytest.mark.parametrize("name", CLAUSES)
def test_no_clause_has_a_default(name):
    with pytest.raises(TypeError, match="missing"):
        type(CLAUSES[name])()


def test_a_revocation_list_is_never_skipped_by_omission():
    with pytest.raises(TypeError, match="highest_seen"):
        SnpRevocation(required=False)


def test_every_rule_of_the_clauses_has_an_attack():
    kept = {keeper.rule for keeper in keepers() if keeper.module == snp.__name__}
    tree = ast.parse(Path(__file__).read_text())
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert sorted(kept - words) == []
    assert len(kept) == 25
