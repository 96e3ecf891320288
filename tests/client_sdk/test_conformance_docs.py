"""The documentation of the conformance command names every stage, and each has a page and a schema that is JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from client_sdk.conformance.__main__ import STAGES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_index_names_exactly_the_stages():
    text = (DOCS / "conformance.md").read_text()
    assert {path.stem for path in (DOCS / "conformance").glob("*.md")} == set(STAGES)
    assert all(f"[{stage}](conformance/{stage}.md)" in text for stage in STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_schema_describes_a_request_whose_unknown_fields_are_refused(stage):
    schema = json.loads((DOCS / "conformance" / f"{stage}.schema.json").read_text())
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["type"] == "object"
