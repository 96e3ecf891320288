"""Real SEV-SNP evidence, and copies of it that were tampered with, through the conformance stages.

``VITRINE_EVIDENCE`` names a folder with the evidence and its ``CASES.json``.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from client_sdk.conformance import snp
from client_sdk.conformance.__main__ import judge
from client_sdk.parse.pem import parse_pem_or_der
from client_sdk.parse.snp import parse_report

FAMILY = "sev-snp"
FOLDER = os.environ.get("VITRINE_EVIDENCE", "")
CASES = [
    case
    for case in (json.loads((Path(FOLDER) / "CASES.json").read_bytes()) if FOLDER else [])
    if case["family"] == FAMILY
]
# Which rules may refuse a case that is said to fail in a layer.
LAYERS = {
    "chain": {*(f"T2.{number}" for number in range(1, 11)), "T3.1", "T3.2"},
    "signature": {"T2.11", "T2.12", "T2.13"},
    "binding": {f"T3.{number}" for number in range(3, 7)},
    "freshness": {"T1.1"},
    "collateral": {f"T11.amd.{number}" for number in range(1, 6)},
    "time": {"T2.2", "T11.amd.2"},
    "tcb": {"T3.6", "T4.6", "T4.7", *(f"T4.{number}" for number in range(16, 20))},
    "policy": {*(f"T3.{number}" for number in range(7, 11)), *(f"T4.{number}" for number in range(8, 20))},
}
KNOBS = ("max_vmpl",)


def blob(name: str) -> bytes:
    return (Path(FOLDER) / name).read_bytes()


def request(case: dict) -> dict:
    """Say what a case says in the words of the stages."""
    params, told = case["params"], {role: blob(name) for role, name in case["inputs"].items()}
    if "trust_anchor" in params:
        told["roots"] = parse_pem_or_der(told["amd_chain"], "amd_chain")[-1:]  # the ARK
    fields = {
        role: [base64.b64encode(item).decode() for item in data]
        if isinstance(data, tuple)
        else base64.b64encode(data).decode()
        for role, data in told.items()
    }
    fields["now"] = case["time"]
    if "report_data_hex" in params:
        fields["expected"] = {"report_data_hex": params["report_data_hex"]}
    return fields | {name: params[name] for name in KNOBS if name in params}


@pytest.mark.skipif(not FOLDER, reason="VITRINE_EVIDENCE names no folder with real evidence")
def test_there_are_cases():
    assert {case["expect"] for case in CASES} >= {"accept", "reject"}


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_real_case(case):
    if case["expect"] == "parse-only":
        report = parse_report(blob(case["inputs"]["report"]))
        assert report.measurement.hex() == case["facts"]["measurement"]
        return
    stage = snp.report if "report" in case["inputs"] else snp.certificate
    _status, verdict = judge(stage, json.dumps(request(case)).encode())
    if case["expect"] == "accept":
        assert verdict["verdict"] == "accepted", verdict
        assert_facts(verdict["facts"], case["facts"])
    elif case["layer"] == "parse":
        assert verdict["verdict"] in {"malformed", "refused"}, verdict
    else:
        assert verdict["verdict"] == "refused", verdict
        assert set(verdict["rules"]) <= LAYERS[case["layer"]], verdict


def assert_facts(got: dict, known: dict) -> None:
    """Compare what the verdict says with what is known about the case."""
    for name in ("version", "vmpl", "measurement", "host_data", "chip_id", "id_key_digest", "policy", "platform_info"):
        assert name not in known or got[name] == known[name], name
    extensions = known.get("vek_extensions", known)
    names = {"bl": "bootloader", "tee": "tee", "snp": "snp", "ucode": "microcode", "fmc": "fmc"}
    levels = {names[short]: extensions[short] for short in names if short in extensions}
    assert {name: got["tcb"][name] for name in levels} == levels
    assert "hwid" not in extensions or got["hwid"] == extensions["hwid"]
    assert got["csp_id"] == extensions.get("csp_id", "")


@pytest.mark.parametrize(
    "case", [case for case in CASES if "host_data_preimage" in case["inputs"]], ids=lambda c: c["id"]
)
def test_another_preimage_of_the_host_data(case):
    told = request(case) | {"host_data_preimage": base64.b64encode(b"another").decode()}
    assert judge(snp.report, json.dumps(told).encode())[1]["rules"] == ["T5.2"]
