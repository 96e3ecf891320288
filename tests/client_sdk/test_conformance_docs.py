"""The documentation of the conformance command names every stage, and each has a page and a schema that is JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from client_sdk.conformance.__main__ import STAGES, main
from client_sdk.conformance.describe import SCHEMAS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_index_names_exactly_the_stages():
    text = (DOCS / "conformance.md").read_text()
    assert {path.stem for path in (DOCS / "conformance").glob("*.md")} == set(STAGES)
    assert all(f"[{stage}](conformance/{stage}.md)" in text for stage in STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_schema_describes_a_request_whose_unknown_fields_are_refused(stage):
    schema = json.loads((SCHEMAS / f"{stage}.schema.json").read_text())
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["type"] == "object"


def helped(capsys, *words) -> str:
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out


def test_help_names_every_stage_and_what_it_judges(capsys):
    said = helped(capsys)
    assert "`" not in said
    assert re.findall(r"^  ([a-z][\w-]*) +\S.*$", said.partition("stages:")[2], re.MULTILINE) == list(STAGES)
    assert "an SEV-SNP report with its chain" in said
    assert "10 refused" in said


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_a_stage_has_every_field_and_an_example_that_has_the_required_ones(capsys, stage):
    said = helped(capsys, stage)
    schema = json.loads((SCHEMAS / f"{stage}.schema.json").read_text())
    assert schema["description"] in said
    assert f"| {schema['description']} |" in (DOCS / "conformance.md").read_text()
    for one in [schema] if "properties" in schema else schema["oneOf"]:
        for name in one["properties"]:
            star = r" \*" if name in one.get("required", ()) else ""
            assert re.search(rf"^  {name}{star} +\S", said, re.MULTILINE), name
    assert "30 malformed" in said
    example = json.loads(said.partition("example of a request:")[2])
    first = schema if "properties" in schema else schema["oneOf"][0]
    assert set(first["required"]) <= set(example) <= set(first["properties"])


def test_help_says_defaults_and_what_stands_inside(capsys):
    said = helped(capsys, "snp")
    assert re.search(r"expected\.report_data_hex \* +lower-case hex", said)
    assert re.search(r"max_vmpl +integer; default 0", said)
    assert re.search(r"devices\[\]\.evidence \* +base64", helped(capsys, "nvidia-gpu"))
    assert '{"evidence": "…", "certificates": ["…"], "expected": {"nonce": "…"}' in helped(capsys, "nvidia-gpu")


@pytest.mark.parametrize("words", [(), ("no-such-stage",), ("no-such-stage", "--help")])
def test_no_stage_is_a_usage_error(capsys, words):
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    assert stopped.value.code == 2
    assert "usage: python -m client_sdk.conformance" in capsys.readouterr().err
