"""The command ``rules``: each rule once a place, in words, with its vectors where there are any."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from client_sdk.cli import main
from client_sdk.cli import rules as command
from client_sdk.rules import keepers
from tests.vectors.behaviour import registered
from tests.vectors.manifest import FOLDER, vectors

# A text is a statement, so one of these is in it.
VERB = re.compile(
    r"\b(is|are|was|were|has|have|did|does|can|cannot|may|must|holds?|names?|states|says|signed|answers|answered|asked|logged|"
    r"ran|extended|activated|stay|leads|reports|claims|fits?|judges)\b"
)


def printed(capsys, *words) -> dict:
    assert main(["rules", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)["rules"]


def test_every_rule_of_the_registry_is_there_in_words(capsys):
    found = printed(capsys)
    assert {row["id"] for row in found} == registered()
    ours = [keeper for keeper in keepers() if keeper.module.startswith("client_sdk.")]
    known = {(keeper.rule, keeper.module.replace(".", "/") + ".py", keeper.function) for keeper in ours}
    assert [(row["id"], row["file"], row["function"]) for row in found if not row["check"]] == []
    assert {(row["id"], row["file"], row["function"]) for row in found} == known
    words = {row["id"]: row["check"] for row in found}
    assert words["T2.13"] == "the certified key signed the report"
    assert words["L2.7"] == "PCR 7 holds only what belongs there, in order"
    chain = "chain of the PCK certificate: "
    assert words["T7.1.3"] == f"{chain}each issuer is a CA by basicConstraints, with room in its pathlen"
    chain = "chain of the OCSP responder for the device's certificate: "
    assert words["G1.6.responder.6"] == f"{chain}signatures are over SHA-256 or stronger"
    said = {(row["id"], row["function"]): row["check"] for row in found}
    assert said["T1.ak", "verify_hcl"] == "the runtime data names an attestation key"
    sizes, values = "each quoted PCR has a value of its bank's size", "the PCR values are the quoted ones"
    assert said["Q3", "verify_quote"] == f"{sizes}; {values}"
    assert said["C3", "_refuse"] == "no option leads requests away from the verified service"


def test_every_text_is_a_sentence_about_what_must_hold(capsys):
    texts = {(row["id"], row["function"]): row["check"] for row in printed(capsys)}
    assert {place: text for place, text in texts.items() if "…" in text or not VERB.search(text)} == {}


def test_one_rule_and_those_that_begin_with_an_id(capsys):
    assert [row["id"] for row in printed(capsys, "T8.5")] == ["T8.5"]
    assert {row["id"].partition(".")[0] for row in printed(capsys, "T8", "R4")} == {"T8", "R4"}
    assert {row["id"] for row in printed(capsys, "T1")} == {i for i in registered() if i.startswith("T1.")}
    assert {row["id"][0] for row in printed(capsys, "G")} == {"G"}
    assert main(["rules", "T8.5"]) == 0
    said = capsys.readouterr().out
    assert "the TD cannot be debugged or profiled" in said
    assert said.splitlines()[-1].strip() == "1 rule, checked at 1 place in 1 file"


def test_a_rule_at_many_places_has_all_its_texts(capsys):
    found = printed(capsys, "C3")
    texts = {row["check"] for row in found}
    assert {"the origin is a scheme, a host and a port", "the peer answers itself and does not redirect"} <= texts


@pytest.mark.parametrize("rule", ["T99", "T8.99", "t8", "", "T8.", "Z"])
def test_a_rule_that_is_none_is_a_usage_error(capsys, rule):
    assert main(["rules", rule]) == 2
    said = capsys.readouterr()
    assert (said.out, "there is no rule" in said.err) == ("", True)


def test_the_vectors_of_the_working_tree_are_counted(capsys):
    counted = Counter(rule for vector in vectors() for rule in vector.rules)
    assert {row["id"]: row["vectors"] for row in printed(capsys)} == {rule: counted[rule] for rule in registered()}
    assert printed(capsys, "--vectors", str(FOLDER)) == printed(capsys)


def test_rules_are_in_the_order_of_their_numbers(capsys):
    ids = [row["id"] for row in printed(capsys)]
    assert ids.index("T2.9") < ids.index("T2.10") < ids.index("T3.1")


def test_the_table_has_a_dash_where_there_are_no_vectors(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "_TREE", tmp_path)
    assert main(["rules"]) == 0
    said = capsys.readouterr().out
    assert "T2.13" in said
    assert f"{len(registered())} rules, checked at {len(printed(capsys))} places in " in said
    assert {row["vectors"] for row in printed(capsys)} == {None}


@pytest.mark.parametrize("content", [None, "", "[]", '{"vectors": [{}]}', '{"vectors": 1}'])
def test_a_folder_without_a_manifest_is_a_usage_error(capsys, tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    assert main(["rules", "--vectors", str(tmp_path)]) == 2
    assert "--vectors: " in capsys.readouterr().err


def test_a_module_of_an_extra_that_is_missing_is_named(capsys, monkeypatch):
    def imported(name):
        raise ModuleNotFoundError(name="openai")

    monkeypatch.setattr(command.importlib, "import_module", imported)
    monkeypatch.setattr(command, "_words", lambda _: ())
    assert command.rows(None)
    assert "because openai is not installed" in capsys.readouterr().err
