"""Real GPUs, switches and RIM files, and copies that were tampered with: each through its conformance stage."""

from __future__ import annotations

import base64
import json
import os
from functools import cache
from pathlib import Path

import pytest

from client_sdk.conformance import nvidia
from client_sdk.conformance.__main__ import ACCEPTED, MALFORMED, REFUSED, judge
from client_sdk.encoding import strict_json

FOLDER = os.environ.get("VITRINE_EVIDENCE")
# Layer → the rules that belong to it, by the beginnings of their ids.
LAYERS = {
    "chain": ("G1.1.", "G1.2.", "G3.4.", "G3.5."),
    "signature": ("G1.3", "G1.4", "G3.1", "G3.2", "G3.3"),
    "freshness": ("G2.",),
    "binding": ("G1.5", "G3.6", "G3.7", "G3.8"),
    "policy": ("G3.12", "G4."),
}


@cache
def cases():
    if FOLDER is None:
        return {}
    found = json.loads((Path(FOLDER) / "CASES.json").read_text())
    return {case["id"]: case for case in found if case["family"] == "nvidia-gpu"}


def need(case_id):
    if FOLDER is None:
        pytest.skip("VITRINE_EVIDENCE does not name a folder with real evidence")
    return cases()[case_id]


def blob(name):
    return base64.b64encode((Path(FOLDER) / name).read_bytes()).decode()


def request(case):
    """Turn a case's files into the stage that judges them and its request."""
    files, params = case["inputs"], case["params"]
    now = case["time"] or "2026-06-01T00:00:00Z"
    if "rim" in files:
        return nvidia.rim, {"rim": blob(files["rim"]), "roots": [blob(files["rim_root"])], "now": now}
    fields = {"roots": [blob(files["device_root"])], "expected": {"nonce": params["nonce_hex"]}, "now": now}
    if "evidence_json" in files:
        listed = json.loads((Path(FOLDER) / files["evidence_json"]).read_text())
        fields["devices"] = [{"evidence": one["evidence"], "certificates": [one["certificate"]]} for one in listed]
    else:
        fields |= {"evidence": blob(files["evidence"]), "certificates": [blob(files["cert_chain"])]}
    if "rims" in files:
        fields |= {"rims": [{"rim": blob(name)} for name in files["rims"]], "rim_roots": [blob(files["rim_root"])]}
    if "min_distinct_devices" in params:
        fields["policy"] = {"min_distinct_devices": params["min_distinct_devices"]}
    return nvidia.gpu, fields


def judged(case):
    stage, fields = request(case)
    return judge(stage, json.dumps(fields).encode())


IDS = [case_id for case_id, case in cases().items() if case["expect"] != "parse-only"] or ["no real evidence"]


@pytest.mark.parametrize("case_id", IDS)
def test_real_case(case_id):
    case = need(case_id)
    status, verdict = judged(case)
    if case["expect"] == "accept":
        assert status == ACCEPTED, verdict["message"]
        assert {check["verdict"] for check in verdict["checks"]} == {"ok"}
        return
    assert status in ((MALFORMED, REFUSED) if case["layer"] == "parse" else (REFUSED,)), verdict
    if status == REFUSED and case["layer"] != "parse":
        assert all(rule.startswith(LAYERS[case["layer"]]) for rule in verdict["rules"]), verdict["message"]


@pytest.mark.parametrize("case_id", IDS)
def test_facts_are_those_of_the_collection(case_id):
    case = need(case_id)
    if case["expect"] != "accept":
        return
    facts = judged(case)[1]["facts"]
    if "rim" in case["inputs"]:
        assert (facts["version"], facts["edition"]) == (case["facts"]["colloquialVersion"], case["facts"]["edition"])
        assert facts["active"] == case["facts"]["active"]
        return
    for told, known in zip(facts["devices"], case["facts"].get("devices", [case["facts"]]), strict=True):
        for name in ("driver_version", "vbios_version", "chip_sku", "project", "project_sku", "fwid"):
            assert told[name] == known.get(name, told[name]), name


def test_four_times_the_same_device_is_refused():
    stage, fields = request(need("gpu-multi-hopper-x4"))
    fields["devices"] = [fields["devices"][0]] * 4
    status, verdict = judge(stage, json.dumps(fields).encode())
    assert (status, verdict["rules"]) == (REFUSED, ["G3.12"])


def test_a_detached_eat_is_what_it_says_it_is():
    """NRAS's tokens are signed by keys that are in no public file: their structure is read and nothing is believed."""
    case = need("gpu-nras-hopperclaimsv3-detached-eat")
    (kind, outer), inner = strict_json((Path(FOLDER) / case["inputs"]["eat"]).read_bytes())
    assert kind == "JWT"
    for token in (outer, *inner.values()):
        header, claims, signature = [
            base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")
        ]
        assert strict_json(header)["alg"] == "ES384"
        assert strict_json(claims)["iss"] == case["facts"]["iss"]
        assert len(signature) == 96


def test_shipped_roots_are_those_of_the_collection():
    case = need("gpu-hopper-sdk-590.12")
    stage, fields = request(case)
    del fields["roots"]
    assert judge(stage, json.dumps(fields).encode())[0] == ACCEPTED
    stage, fields = request(need("gpu-rim-nv_gpu_driver_gh100_550.144.03"))
    del fields["roots"]
    assert judge(stage, json.dumps(fields).encode())[0] == ACCEPTED
