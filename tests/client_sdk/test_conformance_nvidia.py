"""Stages ``nvidia-gpu`` and ``nvidia-rim``: their requests, their policies and their verdicts."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from client_sdk.conformance import nvidia
from client_sdk.conformance.__main__ import ACCEPTED, MALFORMED, REFUSED, judge
from client_sdk.conformance.describe import SCHEMAS
from client_sdk.fields import format_instant
from tests.fakes.simulated_nvidia import NONCE, NOW, SimulatedGpu, SimulatedRim, device_root, rim_root

DOCS = Path(__file__).resolve().parents[2] / "docs/conformance"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def device(gpu: SimulatedGpu | None = None, *rims: SimulatedRim, answers: bool = False) -> dict:
    gpu = gpu or SimulatedGpu()
    found = {"evidence": b64(gpu.evidence()), "certificates": [b64(one) for one in gpu.certificates()]}
    if answers:
        found["ocsp"] = [b64(one) for one in gpu.ocsp()]
    if rims:
        found["rims"] = [
            {"rim": b64(rim.data())} | ({"ocsp": [b64(one) for one in rim.ocsp()]} if answers else {}) for rim in rims
        ]
    return found


def asked(**fields) -> dict:
    return {
        "roots": [b64(device_root().der)],
        "rim_roots": [b64(rim_root().der)],
        "expected": {"nonce": NONCE.hex()},
        "now": format_instant(NOW),
    } | fields


def gpu(request: dict):
    return judge(nvidia.gpu, json.dumps(request).encode())


def rim(**fields):
    request = {"rim": b64(SimulatedRim().data()), "roots": [b64(rim_root().der)], "now": format_instant(NOW)} | fields
    return judge(nvidia.rim, json.dumps(request).encode())


def test_control_of_one_device():
    status, verdict = gpu(asked(**device()))
    assert status == ACCEPTED
    (facts,) = verdict["facts"]["devices"]
    assert (facts["kind"], facts["mode"], facts["rims"], facts["trailing"]) == ("gpu", "single-gpu", [], 0)
    assert facts["ocsp"] == "not checked for every certificate"


def test_control_of_everything_demanded():
    policy = {"require_rims": ["driver", "vbios"], "require_ocsp": True, "modes": ["single-gpu"], "max_devices": 1}
    request = asked(**device(None, SimulatedRim(), SimulatedRim.firmware(), answers=True), policy=policy)
    status, verdict = gpu(request)
    assert status == ACCEPTED, verdict
    assert verdict["facts"]["devices"][0]["ocsp"] == "answered"


def test_control_of_a_bundle_in_pem_form():
    fields = device()
    one = SimulatedGpu()
    chain = (one.leaf, one.rom, one.factory, one.family)
    pem = b"".join(link.certificate.public_bytes(Encoding.PEM) for link in chain)
    fields["certificates"] = [b64(pem)]
    assert gpu(asked(**fields))[0] == ACCEPTED
    fields["certificates"] = [b64(pem.replace(b"MII", b"!!!"))]
    assert gpu(asked(**fields))[0] == MALFORMED


def test_a_list_of_devices():
    several = [device(SimulatedGpu(f"gpu {i}")) for i in range(3)]
    assert gpu(asked(devices=several, policy={"min_distinct_devices": 3}))[0] == ACCEPTED
    status, verdict = gpu(asked(devices=several, policy={"min_distinct_devices": 4}))
    assert (status, verdict["rules"]) == (REFUSED, ["G4.1"])
    status, verdict = gpu(asked(devices=several, policy={"max_devices": 2}))
    assert (status, verdict["rules"]) == (REFUSED, ["G4.1"])
    status, verdict = gpu(asked(devices=[*several, several[0]]))
    assert (status, verdict["rules"]) == (REFUSED, ["G3.12"])


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        ({"require_rims": ["vbios"]}, "G3.10"),
        ({"require_ocsp": True}, "G1.7"),
        ({"modes": ["multi-gpu", "protected-pcie"]}, "G4.4"),
    ],
)
def test_a_policy_that_is_not_met(policy, rule):
    status, verdict = gpu(asked(**device(), policy=policy))
    assert (status, verdict["rules"]) == (REFUSED, [rule])


def test_answers_that_are_too_old():
    status, verdict = gpu(asked(**device(answers=True), policy={"max_ocsp_age_days": 0}))
    assert (status, verdict["rules"]) == (REFUSED, ["G1.6.4"])


def test_another_nonce_and_another_root():
    assert gpu(asked(**device(), expected={"nonce": "00" * 32}))[1]["rules"] == ["G2.2"]
    assert gpu(asked(**device(), expected={"nonce": "00"}))[1]["rules"] == ["G2.1"]
    assert gpu(asked(**device(), roots=[b64(rim_root().der)]))[1]["rules"] == ["G1.1.1"]
    request = asked(**device())
    del request["roots"]
    assert gpu(request)[1]["rules"] == ["G1.1.1"]


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"expected": {}},
        {"expected": {"nonce": "00", "other": 1}},
        {"policy": {"devices": 1}},
        {"policy": {"require_ocsp": "yes"}},
        {"policy": {"require_ocsp": 1}},
        {"policy": {"modes": ["off"]}},
        {"policy": {"require_rims": "vbios"}},
        {"certificates": []},
        {"certificates": ["AA=="]},
        {"evidence": "AA=="},
        {"evidence": None},
        {"rims": [{"rim": "AA=="}]},
        {"rims": [{"rim": "AA==", "other": 1}]},
        {"devices": []},
        {"devices": [device()]},
        {"now": None},
    ],
    ids=str,
)
def test_requests_that_are_malformed(change):
    assert gpu(asked(**device()) | change)[0] == MALFORMED


def test_devices_that_are_malformed():
    assert gpu(asked(devices=[]))[0] == MALFORMED
    assert gpu(asked(devices=[device() | {"nonce": "00"}]))[0] == MALFORMED
    assert gpu(asked(devices=[{}] * 33))[0] == MALFORMED


def test_a_rim_file():
    status, verdict = rim()
    assert status == ACCEPTED
    assert (verdict["facts"]["version"], verdict["facts"]["edition"]) == ("590.12", "GPU")
    answers = [b64(one) for one in SimulatedRim().ocsp()]
    assert rim(ocsp=answers, policy={"require_ocsp": True})[0] == ACCEPTED
    assert rim(policy={"require_ocsp": True})[1]["rules"] == ["G3.11"]
    assert rim(roots=[b64(device_root().der)])[1]["rules"] == ["G3.4.1"]
    assert rim(rim="AA==")[0] == MALFORMED
    assert rim(expected={})[0] == MALFORMED
    assert rim(policy={"modes": []})[0] == MALFORMED


@pytest.mark.parametrize(("stage", "example"), [("nvidia-gpu", device()), ("nvidia-rim", {"rim": ""})])
def test_the_schema_names_the_fields_of_the_stage(stage, example):
    schema = json.loads((SCHEMAS / f"{stage}.schema.json").read_text())
    page = (DOCS / f"{stage}.md").read_text()
    assert schema["title"] == stage
    assert example.keys() <= schema["properties"].keys()
    knobs = schema["properties"]["policy"]["properties"]
    assert all(name in page for name in [*schema["properties"], *knobs])
    known = set(nvidia._KNOBS) if stage == "nvidia-gpu" else {"require_ocsp", "max_ocsp_age_days"}
    assert knobs.keys() == known
