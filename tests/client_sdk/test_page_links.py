"""The picture of the chain: every rule has a place in it, no link is green by omission, and it can be looked at."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

import client_sdk
from client_sdk.page.faults import State, fault
from client_sdk.page.layout import NARROW, WIDE, Place, route
from client_sdk.page.links import LINKS, findings, place
from client_sdk.page.picture import description, picture
from client_sdk.report import Check, Report
from client_sdk.rules import broader, keepers
from client_sdk.sources import WHAT, source_of
from tests.client_sdk.test_page import Page, made, rendered
from tests.fakes.judging_cloud import accepted
from tests.fakes.reports import CLOUD, GPU, SNP, TDX, confidential, judged, refused
from tests.fakes.simulated_cloud_vm import KINDS, SimulatedCloudVm

PACKAGE = Path(client_sdk.__file__).parent
TABLES = {PACKAGE / "sources.py", *(PACKAGE / "page").rglob("*.py")}  # they list ids, and record nothing
RULE = re.compile(r"([CDFGKLPQRT]\d{1,2}(?:\.\w+)*)\.?(?:: .*)?", re.DOTALL)
DESIGN = {"C": 8, "D": 2, "F": 3, "G": 5, "K": 5, "L": 11, "P": 3, "Q": 8, "R": 6, "T": 11}
"""How many rules each family of the design has."""


def literals(source):
    """Return the rule ids that stand in a file as strings, whole or as the beginning of one that is put together."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := RULE.fullmatch(node.value)):
            found.add(match[1])
    return found


USED = {rule for path in PACKAGE.rglob("*.py") if path not in TABLES for rule in literals(path.read_text())}


def test_ids_are_found_in_every_form():
    source = """
ledger.equal("Q1.1", "x", expected=1, got=1)
raise VerificationError("K5", "x")
Failure("R4: a release", "x", "y")
ChainRules("T7.1", "x")
ledger.equal(f"L1.{pcr}", "x", expected=1, got=1)
rules = {2: "L9"}
"""
    assert literals(source) == {"Q1.1", "K5", "R4", "T7.1", "L1", "L9"}
    assert {"C2.2", "K1", "L7", "L11.3", "Q6.2", "R1", "D2", "P1"} <= USED


@pytest.mark.parametrize("rule", sorted(USED | {keeper.rule for keeper in keepers()} | {*SNP, *TDX, *GPU, *CLOUD}))
def test_every_rule_that_a_check_has_a_place_in_the_picture(rule):
    assert place(rule) is not None, "give it a place in client_sdk/page/links.py"


@pytest.mark.parametrize("rule", [f"{family}{n}" for family, count in DESIGN.items() for n in range(1, count + 1)])
def test_every_rule_of_the_design_has_a_place(rule):
    assert place(rule) is not None


@pytest.mark.parametrize("rule", ["Z1", "Q9", "T12.1", "L", "", "l1", "\ud800"])
def test_what_is_no_rule_has_none(rule):
    assert place(rule) is None


@pytest.mark.parametrize("rule", sorted(USED))
def test_every_rule_that_a_check_has_is_about_some_source(rule):
    held_by_conduct = {"C4", "C7", "C8"}
    assert source_of(rule, frozenset(WHAT)) or rule in held_by_conduct


def test_the_longest_part_of_an_id_decides():
    keys = {
        "L1.4": "logs",
        "L1.pcr4": "measurements",
        "L7.12": "logs",
        "L7.pcr12": "measurements",
        "T2.1": "tee-root",
        "T2.13": "tee-signature",
        "G1.1.4": "gpu-root",
        "G1.4": "gpu-signature",
        "K3.2": "tpm-root",
        "K3.4": "policy",
        "T1.user": "tee-binding",
        "T1.vm": "policy",
        "G3.7": "gpu-values",
        "G4.1": "gpu-policy",
        "P2": "prediction",
        "T7.20": "tee-values",
        "T11.1": "tee-root",
    }
    assert {rule: place(rule).key for rule in keys} == keys


def test_keys_are_unique_and_no_rule_has_two_places():
    assert len({link.key for link in LINKS}) == len(LINKS)
    rules = [rule for link in LINKS for rule in link.rules]
    assert len(set(rules)) == len(rules)


def states(report):
    return {item.link.key: item.state for item in findings(report)}


LOCAL = {"publisher", "prediction", "measurements", "logs", "quote", "signature", "key", "tpm-root"}
LOCAL |= {"freshness", "connection"}


def test_an_accepted_local_report():
    found = states(judged().report)
    assert {key for key, state in found.items() if state is State.HOLDS} == LOCAL
    assert {state for key, state in found.items() if key not in LOCAL} == {State.ABSENT}


@pytest.mark.parametrize("cpu", [SNP, TDX])
def test_an_accepted_confidential_report(cpu):
    assert set(states(confidential(cpu)).values()) == {State.HOLDS}


def test_a_confidential_report_without_a_gpu():
    found = states(confidential(gpu=()))
    assert found["gpu-policy"] is State.ABSENT
    assert {key for key, state in found.items() if state is State.ABSENT} == {k for k in found if k.startswith("gpu")}


@pytest.mark.parametrize(
    ("attack", "broken", "held", "unknown"),
    [
        ("publisher", "publisher", set(), {"prediction", "measurements", "tpm-root", "quote"}),
        ("certificate", "connection", {"publisher"}, {"freshness", "tpm-root", "key", "signature", "quote", "logs"}),
        ("sign", "signature", {"publisher", "connection", "tpm-root", "key"}, {"freshness", "quote", "logs"}),
        ("release", "measurements", LOCAL - {"measurements"}, set()),
    ],
)
def test_a_refusal_breaks_one_link_and_the_later_ones_stay_unknown(attack, broken, held, unknown):
    found = states(refused(attack))
    assert {key for key, state in found.items() if state is State.FAILED} == {broken}
    assert {key for key, state in found.items() if state is State.HOLDS} == held
    assert {found[key] for key in unknown} <= {State.OPEN}


@pytest.mark.parametrize("rule", [*SNP, *GPU, *CLOUD])
def test_each_failed_check_breaks_its_link_and_no_other(rule):
    found = states(confidential(failed=rule))
    assert {key for key, state in found.items() if state is not State.HOLDS} == {place(rule).key}
    assert found[place(rule).key] is fault(rule).state


NEEDS = [
    pytest.param(link, group, id=f"{link.key}-{'-or-'.join(group)}")
    for link in LINKS
    for group in link.needs
    if link.key != "prediction"  # it needs what its neighbour checks
]


@pytest.mark.parametrize(("link", "group"), NEEDS)
def test_no_link_holds_by_omission(link, group):
    report = confidential()
    left = tuple(check for check in report.checks if not set(broader(check.id)) & set(group))
    assert len(left) < len(report.checks)
    found = states(replace(report, checks=left))
    assert found[link.key] is not State.HOLDS


@pytest.mark.parametrize("verdict", ["accepted", "verified", "refused", "no verdict", "?"])
def test_nothing_holds_in_an_empty_report(verdict):
    assert set(states(Report(verdict, ())).values()) == {State.OPEN}


def test_only_what_a_link_needs_makes_it_absent():
    report = Report("refused", (), (("L6", "there is an event log"), ("K3 to K5, L8", "they are about cloud TPMs")))
    assert set(states(report).values()) == {State.OPEN}
    assert states(Report("x", (), (("T1 to T11", "none"),)))["tee-root"] is State.ABSENT
    assert states(Report("x", (), (("T6 to T9", "not Intel's"),)))["tee-root"] is State.OPEN
    assert set(states(Report("x", (), (("L1.pcr0", "unpinned"), ("L1.acpi", "too")))).values()) == {State.OPEN}


def test_a_link_that_was_checked_is_never_absent():
    check = Check("T1.1", "x", 1, 2, passed=False)
    report = Report("refused", (check,), (("T1 to T11", "there is no CPU TEE"),))
    assert states(report)["tee-binding"] is State.FAILED
    passed = replace(report, checks=(check._replace(passed=True, id="T6.1"),))
    assert states(passed)["tee-signature"] is State.OPEN


@pytest.mark.parametrize("rules", ["T1 to T99999999999", "T99999999999 to T1", "", "to", "\ud800", "T1 to G5"])
def test_what_was_not_run_may_be_anything(rules):
    assert states(Report("x", (), ((rules, "why"),)))


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
def test_boxes_fit_and_do_not_overlap(layout):
    places = layout.places
    assert places.keys() == {node for link in LINKS for node in (link.start, link.end)}
    for at in places.values():
        assert at.x >= 0
        assert at.y >= 0
        assert at.x + at.width <= layout.width
        assert at.y + at.height <= layout.height
    for one, other in combinations(places.values(), 2):
        assert not overlap(one, other)


def overlap(one, other):
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def segment(found):
    numbers = re.fullmatch(r"M([\d.]+) ([\d.]+)([HV])([\d.]+)", found.path)
    x, y, end = float(numbers[1]), float(numbers[2]), float(numbers[4])
    x2, y2 = (end, y) if numbers[3] == "H" else (x, end)
    return Place(min(x, x2), min(y, y2), abs(x2 - x), abs(y2 - y))


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
def test_lines_cross_neither_boxes_nor_each_other(layout):
    lines = {}
    for link in LINKS:
        found = route(layout.places[link.start], layout.places[link.end])
        lines[link.key] = segment(found)
        length = max(lines[link.key].width, lines[link.key].height)
        assert length >= 40, "there is room for the badge between the heads"
        for at in layout.places.values():
            assert not overlap(lines[link.key], at)
    for one, other in combinations(lines.values(), 2):
        assert not overlap(one, other)


def test_both_pictures_have_every_link_with_its_state_in_words():
    for name in ("accepted", "confidential-refused", "refused-sign", "empty"):
        page, found = Page(rendered(name)), findings(made(name)[0])
        for drawing in ("picture-wide", "picture-narrow"):
            assert page.by_id(f"{drawing}-title")["text"] == "The chain of trust"
            assert page.by_id(f"{drawing}-desc")["text"] == description(found)
        for item in found:
            drawn = [a for a in page.all("a", href=f"#link-{item.link.key}") if "svg" in a["path"]]
            assert len(drawn) == 2
            for a in drawn:
                assert a["attrs"]["aria-label"].startswith(f"{item.link.title}: {item.state.value}")
                assert item.why in a["attrs"]["aria-label"]
            section = page.by_id(f"link-{item.link.key}")
            assert item.link.means in section["text"]
            assert item.why in section["text"]


def test_what_does_not_apply_is_drawn_as_absent_with_the_reason():
    drawn = Page(picture(judged().report, findings(judged().report)).encode())
    absent = [g["text"] for g in drawn.all("g", class_="node absent")]
    assert len(absent) == 2 * 10
    assert "there is no CPU TEE on this platform" in " ".join(absent).replace("onthis", "on this")
    full = Page(picture(confidential(), findings(confidential())).encode())
    assert full.all("g", class_="node absent") == []
    assert len(full.all("g", class_="node pinned")) == 2 * 4


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("accepted", ("EK certificate", "VCEK or PCK", "AMD or Intel root", "of a simulated", "1 of vitrine")),
        ("confidential", ("AK certificate", "VCEK", "AMD's root", "NVIDIA's root")),
        ("confidential-tdx-without-gpu", ("AK certificate", "PCK certificate", "Intel's root")),
    ],
)
def test_boxes_are_named_after_the_platform(report, words):
    value = made(report)[0]
    shown = [" ".join(t["text"] for t in [g]) for g in Page(picture(value, findings(value)).encode()).all("g")]
    joined = re.sub(r"\s+", " ", " ".join(shown))
    for word in words:
        assert word.replace(" ", "") in joined.replace(" ", "")


def test_signs_differ_in_shape():
    report = replace(confidential(failed="T2.13"), not_run=(("G1 to G5", "none"),))
    kept = tuple(check for check in report.checks if not check.id.startswith(("G", "L11")))
    drawn = Page(picture(report, findings(replace(report, checks=kept))).encode())
    shapes = {e["attrs"]["class"]: e["attrs"]["d"] for e in drawn.all("path") if "sign" in e["attrs"]["class"]}
    assert shapes.keys() == {"sign ok", "sign bad", "sign absent", "sign open"}
    assert len(set(shapes.values())) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gpus", [0, 1])
def test_an_accepted_report_of_a_cloud(kind, gpus):
    found = states(accepted(SimulatedCloudVm(kind, gpus=gpus)).report)
    absent = {key for key, state in found.items() if state is State.ABSENT}
    assert absent == (set() if gpus else {"gpu-binding", "gpu-signature", "gpu-root", "gpu-values"})
    left = {"connection", "publisher"}  # nobody connected, and no signed file was opened
    assert {key for key, state in found.items() if state is State.OPEN} == left
    assert {state for key, state in found.items() if key not in absent | left} == {State.HOLDS}
