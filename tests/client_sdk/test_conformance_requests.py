"""Requests of the conformance command: read in one way in all stages, and each with a whole example to copy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from client_sdk.conformance.__main__ import ACCEPTED, MALFORMED, REFUSED, STAGES, judge
from client_sdk.conformance.describe import SCHEMAS, of_stage
from client_sdk.conformance.request import MAX_DAYS, Request
from client_sdk.errors import EvidenceError
from tests import cases
from tests.vectors.manifest import stage as function
from tests.vectors.request import main, named

ROOT = Path(__file__).resolve().parents[2]
GARBAGE = b64encode(b"garbage").decode()
ROOTS = [
    (name, field)
    for name in STAGES
    for field in ("roots", "rim_roots")
    if re.search(rf"^  {field} ", of_stage(name), re.MULTILINE)
]


def verdict(name, **changes):
    """Judge the first control of a stage, changed."""
    return judge(function(name), json.dumps(named(name).request | changes).encode())


@pytest.mark.parametrize("name", STAGES)
def test_the_example_of_a_stage_is_accepted(name, capsysbinary):
    assert main([name]) == 0
    assert judge(function(name), capsysbinary.readouterr().out)[0] == ACCEPTED


@pytest.mark.parametrize("name", STAGES)
def test_page_and_help_of_a_stage_name_the_example(name):
    assert (
        f"$ python -m tests.vectors.request {name} > request.json" in (ROOT / f"docs/conformance/{name}.md").read_text()
    )
    assert f"python -m tests.vectors.request {name} | python -m client_sdk.conformance {name}" in of_stage(name)


@pytest.mark.parametrize("words", [["no-such-stage"], ["tdx/no-such-attack"], [""]])
def test_an_example_that_is_none(words):
    with pytest.raises(SystemExit, match="no vector"):
        main(words)


def test_the_example_needs_a_name(capsys):
    assert main([]) == 2
    assert "usage: python -m tests.vectors.request" in capsys.readouterr().err


def test_stages_have_roots():
    assert {name for name, _ in ROOTS} == set(STAGES) - {"binding", "event-log", "release"}


@pytest.mark.parametrize(("name", "field"), ROOTS)
@pytest.mark.parametrize(
    ("value", "place"),
    [([], ""), ([GARBAGE], "[0]"), ("text", ""), ([1], "[0]"), ([""], "[0]"), ({}, "")],
    ids=["empty", "no certificate", "text", "number", "no bytes", "object"],
)
def test_roots_that_are_none_are_malformed_in_every_stage(name, field, value, place):
    needed = {"expected": None} if name == "ccel" else {}  # roots are read where there is a quote
    if name == "ccel":
        needed |= {"quote": named("tdx").request["quote"], "now": named("tdx").request["now"]}
    if name in {"tpm-quote", "azure-hcl"} and "ak_cert" not in named(name).request:
        needed |= {"ak_cert": GARBAGE, "vendor": "azure"} if name == "tpm-quote" else {"ak_cert": GARBAGE}
        needed |= {"now": "2026-06-01T00:00:00Z"}
    status, found = verdict(name, **needed, **{field: value})
    assert (status, found["verdict"], found["where"]) == (MALFORMED, "malformed", f"$.{field}{place}"), found


@pytest.mark.parametrize("name", STAGES)
def test_a_schema_wants_a_root_where_there_are_roots(name):
    text = (SCHEMAS / f"{name}.schema.json").read_text()
    for field in re.findall(r'"((?:rim_)?roots)": \{(.*?)\n    \}', text, re.DOTALL):
        assert '"minItems": 1' in field[1]


@pytest.mark.parametrize(
    ("name", "changes", "place"),
    [
        ("tdx", {"expected": {"report_data_hex": "00" * 64}}, "$.expected"),
        ("tdx", {"params": {"max_age_days": -1}}, "$.params.max_age_days"),
        ("tdx", {"params": {"max_age_days": MAX_DAYS + 1}}, "$.params.max_age_days"),
        ("tdx", {"params": {"deny_ppids": ["00"]}}, "$.params.deny_ppids[0]"),
        ("tdx", {"params": {"graces": [{"status": "OutOfDate", "until": "soon"}]}}, "$.params.graces[0].until"),
        ("tdx", {"params": {"graces": [{"status": "Revoked", "until": "2026-06-01T00:00:00Z"}]}}, "status"),
        ("tdx", {"params": {"now": "2026-06-01T00:00:00Z"}}, "$.params"),
        ("tdx", {"tcb_info": GARBAGE}, "$.tcb_info"),
        ("tdx", {"qe_identity": GARBAGE}, "$.qe_identity"),
        ("tdx", {"pck_crl": b64encode(b"-----BEGIN X509 CRL-----").decode()}, "$.pck_crl"),
        ("tdx", {"quote": GARBAGE}, "$.quote"),
        ("ccel", {"ccel": GARBAGE}, "$.ccel"),
        ("ccel", {"expected": {"rtmrs": ["00"]}}, "$.expected.rtmrs[0]"),
        ("snp", {"tcb_floors": {"milan": {"snp": "1"}}}, "$.tcb_floors.milan.snp"),
        ("snp", {"deny_chip_ids_hex": "00"}, "$.deny_chip_ids_hex"),
        ("event-log", {"eventlog": ""}, "$.eventlog"),
        ("azure-hcl", {"hcl_report": GARBAGE}, "$.hcl_report"),
        ("azure-hcl", {"expected": {"secure_boot": 1}}, "$.expected.secure_boot"),
        ("gce-ak", {"expected": {"zone": []}}, "$.expected.zone"),
        ("gce-ak", {"expected": {"region": "x"}}, "$.expected"),
        ("nvidia-gpu", {"policy": {"max_ocsp_age_days": 10**12}}, "$.policy.max_ocsp_age_days"),
        ("nvidia-gpu", {"policy": {"require_ocsp": "yes"}}, "$.policy.require_ocsp"),
        ("nvidia-gpu", {"policy": {"modes": ["none"]}}, "$.policy.modes"),
        ("nvidia-gpu", {"expected": {"nonce": "XY"}}, "$.expected.nonce"),
        ("nvidia-rim", {"policy": {"max_ocsp_age_days": True}}, "$.policy.max_ocsp_age_days"),
        ("release", {"release": GARBAGE}, "$.release"),
        ("release", {"before": [GARBAGE]}, "$.before[0]"),
        ("release", {"before": GARBAGE}, "$.before"),
        ("release", {"release": b64encode(b'{"envelope":""}').decode()}, "$.release"),
        ("release", {"publisher": None}, "$.publisher.keys"),
        ("release", {"publisher": {"keys_hex": []}}, "$.publisher.keys"),
        ("release", {"publisher": {"keys_hex": ["00"]}}, "$.publisher.keys_hex[0]"),
        ("release", {"publisher": {"keys_hex": ["00" * 32], "threshold": 2}}, "$.publisher.threshold"),
        ("release", {"publisher": {"keys_hex": ["00" * 32], "log": "/etc/passwd"}}, "$.publisher.log"),
        ("release", {"publisher": {"keys_hex": ["00" * 32], "witnesses": [5]}}, "$.publisher.witnesses[0]"),
        ("release", {"publisher": {"keys_hex": ["00" * 32], "witness_quorum": 1}}, "$.publisher.log"),
        ("release", {"publisher": {"keys_hex": ["00" * 32], "memory": "x"}}, "$.publisher"),
    ],
)
def test_a_malformed_field_is_named_by_its_path(name, changes, place):
    status, found = verdict(name, **changes)
    assert (status, found["verdict"]) == (MALFORMED, "malformed"), found
    assert found["where"].startswith(place) or found["where"].endswith(f".{place}")
    assert found["message"].startswith(f"{found['where']}: ")


def test_missing_collateral_is_named():
    status, found = verdict("tdx", tcb_info=None, pck_crl=None)
    assert (status, found["rules"]) == (REFUSED, ["T11.1"])
    assert "missing: tcb_info, pck_crl" in found["message"]


def test_what_the_paravisor_states_is_an_object():
    configuration = verdict("azure-hcl")[1]["facts"]["vm_configuration"]
    assert configuration["tpm-enabled"] is True


@pytest.mark.parametrize("value", [None, 0, 1, "true", [], {}])
def test_a_flag_is_true_or_false(value):
    request = Request({"x": value}, "$.policy")
    if value is None:
        assert request.flag("x", default=True) is True
        return
    with pytest.raises(EvidenceError, match=r"^\$\.policy\.x: neither true nor false$"):
        request.flag("x", default=True)


@pytest.mark.parametrize("name", STAGES)
def test_every_field_of_a_stage_has_its_meaning_in_help(name):
    said = of_stage(name).partition("fields of the request")[2].partition("What each means")[0]
    rows = re.findall(r"^  (\S+)(?: \*)? {2,}(.*)$", said, re.MULTILINE)
    assert rows
    assert [field for field, about in rows if "; " not in about] == []


@pytest.mark.parametrize("content", [None, "{", "\xff"])
def test_a_folder_without_cases_is_told_in_one_line(tmp_path, monkeypatch, capsys, content):
    if content is not None:
        (tmp_path / "CASES.json").write_text(content, encoding="latin-1")
    monkeypatch.setenv("VITRINE_EVIDENCE", str(tmp_path))
    assert cases.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "VITRINE_EVIDENCE names no folder of real evidence" in line


def test_the_command_for_cases_ends_without_a_traceback():
    environment = {**os.environ, "VITRINE_EVIDENCE": "/nope", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.cases"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
