"""Real TDX quotes and event logs, each judged at its instant. They are not in this repository (VITRINE_EVIDENCE)."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from client_sdk.conformance.__main__ import ACCEPTED, MALFORMED, REFUSED, judge
from client_sdk.conformance.tdx import ccel, quote

FOLDER = os.environ.get("VITRINE_EVIDENCE", "")
if not FOLDER:
    pytest.skip("VITRINE_EVIDENCE names no folder of real evidence", allow_module_level=True)
ROOT = Path(FOLDER)
CASES = [case for case in json.loads((ROOT / "CASES.json").read_text()) if case["family"] == "tdx"]
GOOD = [case for case in CASES if case["expect"] == "accept"]
# TDs on Azure: the same quotes, inside a bundle whose other parts belong to other stages.
AZURE = [
    c for c in json.loads((ROOT / "CASES.json").read_text()) if "td_quote" in c["inputs"] and c["expect"] == "accept"
]
COLLATERAL = ("tcb_info", "tcb_info_issuer_chain", "qe_identity", "qe_identity_issuer_chain", "pck_crl", "root_ca_crl")
# What a layer's refusal may be called: the beginnings of rule ids.
LAYERS = {
    "chain": ("T7.1.", "T7.2", "T7.6."),
    "signature": ("T6.5", "T6.6"),
    "binding": ("T6.7",),
    "freshness": ("T1.1",),
    "time": ("T7.3.2", "T7.4.2", "T7.9", "T7.12"),
    "collateral": ("T7.15", "T7.16"),
    "tcb": ("T7.20",),
    "policy": ("T6.2", "T7.21", "T8.5"),
}


def read(path):
    return base64.b64encode((ROOT / path).read_bytes()).decode()


def request(case):
    """Map a case to a request: its roles are the stage's names, but for the root."""
    inputs, params = case["inputs"], case["params"]
    is_log = "ccel" in inputs
    names = ("ccel", "quote") if is_log else ("quote", *COLLATERAL)
    found = {name: read(inputs[name]) for name in names if name in inputs}
    root = inputs.get("root") or inputs.get("intel_root")
    found["roots"] = [read(root)] if root else []
    if "td_quote" in inputs:
        found["quote"] = read(inputs["td_quote"])
    if case["time"]:
        found["now"] = case["time"]
    if "report_data_hex" in params:
        found["expected"] = {"report_data": params["report_data_hex"]}
    return (ccel if is_log else quote), found


def judged(case, **changes):
    stage, fields = request(case)
    return judge(stage, json.dumps(fields | changes).encode())


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_real_case(case):
    status, verdict = judged(case)
    print(case["id"], case["expect"], case["layer"], "->", verdict["verdict"], verdict.get("rules") or "")
    if case["expect"] == "accept":
        assert status == ACCEPTED, verdict.get("message")
        return
    if case["layer"] == "parse":
        assert status in (MALFORMED, REFUSED)
        return
    assert status == REFUSED, verdict
    assert any(rule.startswith(LAYERS[case["layer"]]) for rule in verdict["rules"]), verdict["message"]


@pytest.mark.parametrize("case", GOOD, ids=[case["id"] for case in GOOD])
def test_what_a_real_case_says(case):
    """Compare with the facts that came with the evidence."""
    status, verdict = judged(case)
    assert status == ACCEPTED
    facts, known = verdict["facts"], case["facts"]
    if "ccel" in case["inputs"]:
        assert {key: facts["rtmr_replay"][key] for key in known["rtmr_replay"]} == known["rtmr_replay"]
        assert (facts["events"] + 1, facts["used"], facts["total"]) == (known["events"], known["used"], known["total"])
        return
    assert (facts["mr_td"], facts["rtmrs"], facts["mr_seam"]) == (known["mrtd"], known["rtmr"], known["mrseam"])
    assert (facts["fmspc"], facts["pce_id"], facts["cpu_svn"]) == (known["fmspc"], known["pceid"], known["pck_cpusvn"])
    assert (facts["tee_tcb_svn"], facts["qe_isv_svn"]) == (known["tee_tcb_svn"], known["qe_isvsvn"])
    assert (facts["platform_status"], facts["qe_status"]) == (known["tcb"]["platform"], known["tcb"]["qe"])
    assert (facts["module_status"] or None) == known["tcb"]["module"]


@pytest.mark.parametrize("case", AZURE, ids=[case["id"] for case in AZURE])
def test_a_quote_from_azure(case):
    status, verdict = judged(case)
    assert status == ACCEPTED, verdict["message"]


def test_real_quotes_chain_to_the_root_that_ships():
    (case,) = [case for case in CASES if case["id"] == "tdx-gtg-v5"]
    assert judged(case, roots=None)[0] == ACCEPTED


@pytest.mark.parametrize("case", [c for c in CASES if "ccel" in c["inputs"]], ids=lambda case: case["id"])
def test_a_real_log_follows_the_grammar_of_rtmr0(case):
    status, verdict = judged(case, params={"grammar": "rtmr0"})
    assert status == ACCEPTED, verdict["message"]
    assert verdict["facts"]["secure_boot"] == "off"
