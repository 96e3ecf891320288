"""Real evidence of clouds' TPMs, from the folder in VITRINE_EVIDENCE: quotes, logs, certificates, Azure's reports."""

from __future__ import annotations

import base64
import importlib
import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from client_sdk.conformance.__main__ import ACCEPTED, MALFORMED, REFUSED, STAGES, judge

FOLDER = os.environ.get("VITRINE_EVIDENCE")
FAMILIES = ("gcp-vtpm", "azure-vtpm", "eventlog")
# Where a case must fail, and the rules that say so here.
LAYERS = {
    "chain": ("K1",),
    "signature": ("Q6.2",),
    "binding": ("Q3", "K5.2", "T1", "L1.replay", "L3"),
    "freshness": ("C2.3",),
    "policy": ("Q4", "K2.5", "Q7"),
}
# They break a layer of the CPU's report: ``snp`` and ``tdx`` refuse them, by these rules. The TPM's part is genuine.
OF_THE_CPU = {
    "azure-tdx-trustee-2023": ("T7.21", "T8.8"),
    "azure-genoa-vcek-milan-chain": ("T2",),
    "azure-tamper-snp-measurement-flip": ("T2.13",),
}
# Where the paravisor's report has the CPU's (an SNP report), and after its size what the CPU's report names by hash.
HARDWARE_REPORT, RUNTIME_DATA = slice(32, 32 + 1184), 1236
COLLATERAL = ("tcb_info", "tcb_info_issuer_chain", "qe_identity", "qe_identity_issuer_chain", "pck_crl", "root_ca_crl")
# A token of Azure's attestation service: nothing here reads one, for its key is not public.
OTHER_KINDS = {"azure-maa-token-parse"}


def cases():
    if not FOLDER:
        return []
    found = json.loads(Path(FOLDER, "CASES.json").read_text())
    return [case for case in found if case["family"] in FAMILIES and case["id"] not in OTHER_KINDS]


def content(name):
    if isinstance(name, list):
        return [content(item) for item in name]
    return base64.b64encode(Path(FOLDER, name).read_bytes()).decode()


def requests(case):
    """Return the stages that a case exercises, each with its request."""
    inputs, params = case["inputs"], case["params"]
    if "eventlog" in inputs and "attest" not in inputs:
        return replays(case)
    certificate = {
        "ak_cert": inputs.get("leaf") or inputs.get("ak_cert"),
        "ak_intermediates": inputs.get("intermediates") or inputs.get("ak_intermediates"),
        "roots": [root] if (root := inputs.get("root") or inputs.get("ak_root")) else None,
    }
    request = {name: content(value) for name, value in certificate.items() if value}
    if "ak_cert" in request:
        request["now"] = case["time"]
    if "attest" not in inputs and "hcl_report" not in inputs:
        return [("gce-ak" if case["family"] == "gcp-vtpm" else "azure-ak", request)]
    for name in ("attest", "signature", "ak_pub", "ak_pub_pem", "hcl_report", "td_quote", "eventlog"):
        if name in inputs:
            request[name] = content(inputs[name])
    if "attest" in inputs:
        request["pcrs"] = json.loads(Path(FOLDER, inputs["pcrs"]).read_text())
        request |= {name: params[name] for name in ("pcr_bank", "sig_format")}
        request["expected"] = {"nonce_hex": params["nonce_hex"]}
    if "hcl_report" in inputs:
        return [("azure-hcl", request)]
    vendor = {"vendor": "google"} if "ak_cert" in request else {}
    return [("tpm-quote", request | vendor)]


def of_the_cpu(case):
    """Return the stage that judges the CPU's report of a VM on Azure, with its request; none where it has no chain."""
    inputs, now = case["inputs"], {"now": case["time"]}
    if "td_quote" in inputs:
        told = {name: content(inputs[name]) for name in COLLATERAL}
        root = content([inputs["intel_root"]])
        return [("tdx", {"quote": content(inputs["td_quote"]), "roots": root} | told | now)]
    if "vcek" not in inputs:
        return []
    hcl = Path(FOLDER, inputs["hcl_report"]).read_bytes()
    report, size = hcl[HARDWARE_REPORT], int.from_bytes(hcl[RUNTIME_DATA - 4 : RUNTIME_DATA], "little")
    runtime = sha256(hcl[RUNTIME_DATA : RUNTIME_DATA + size]).hexdigest()
    told = {name: content(inputs[name]) for name in ("amd_chain", "amd_crl") if name in inputs}
    told["vek"] = content(inputs["vcek"])
    return [
        (
            "snp",
            {"report": base64.b64encode(report).decode(), "expected": {"report_data_hex": runtime + "00" * 32}}
            | told
            | now,
        )
    ]


def replays(case):
    """Return one replay for each bank that a log has; where one must fail, the SHA-256 bank, which is believed."""
    values = case["params"].get("expected_replay") or case["params"].get("trusted_pcrs") or {"sha256": {}}
    banks = [bank for bank in values if values[bank]] or list(values)
    if case["expect"] == "reject":
        banks = ["sha256"]
    log = content(case["inputs"]["eventlog"])
    return [
        ("event-log", {"call": "replay", "eventlog": log, "pcr_bank": bank, "expected": {"pcrs": values[bank]}})
        for bank in banks
    ]


def verdicts(case):
    for stage, request in requests(case) + of_the_cpu(case):
        module, function = STAGES[stage]
        judged = getattr(importlib.import_module(f"client_sdk.conformance.{module}"), function)
        yield judge(judged, json.dumps(request).encode())


@pytest.mark.skipif(not FOLDER, reason="VITRINE_EVIDENCE names no folder of real evidence")
@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_real_case(case):
    found = list(verdicts(case))
    if case["id"] in OF_THE_CPU:
        (tpm, _), (cpu, verdict) = found
        assert (tpm, cpu) == (ACCEPTED, REFUSED)
        assert all(rule.startswith(OF_THE_CPU[case["id"]]) for rule in verdict["rules"]), verdict["rules"]
        return
    if case["expect"] == "accept":
        assert [(status, verdict.get("message")) for status, verdict in found] == [(ACCEPTED, None)] * len(found)
        return
    (status, verdict) = found[0]
    if case["layer"] == "parse":
        assert status in (MALFORMED, REFUSED), verdict
        return
    assert status == REFUSED, verdict
    assert all(rule.startswith(LAYERS[case["layer"]]) for rule in verdict["rules"]), verdict["rules"]


@pytest.mark.skipif(not FOLDER, reason="VITRINE_EVIDENCE names no folder of real evidence")
def test_there_are_cases():
    assert len(cases()) > 60
    assert OF_THE_CPU.keys() <= {case["id"] for case in cases()}
