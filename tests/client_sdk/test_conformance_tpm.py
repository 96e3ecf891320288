"""The stages about TPMs: requests read strictly, verdicts with the rule that failed, documents that say the same."""

from __future__ import annotations

import base64
import copy
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.conformance import azure, gce, tpm
from client_sdk.conformance.__main__ import ACCEPTED, MALFORMED, REFUSED, STAGES, judge
from client_sdk.conformance.describe import SCHEMAS
from client_sdk.fields import format_instant
from client_sdk.verify.gce import gce_pcr0
from tests.fakes.boot_log import boot_log, serialise
from tests.fakes.simulated_cloud_tpm import NOW, AzureTpm, GoogleTpm, gce_log, replayed
from tests.fakes.simulated_vm import ec_key, rsa_key

DOCS = Path(__file__).resolve().parents[2] / "docs" / "conformance"
FUNCTIONS = {
    "tpm-quote": tpm.quote,
    "event-log": tpm.event_log,
    "azure-hcl": azure.hcl,
    "azure-ak": azure.ak,
    "gce-ak": gce.ak,
}
NONCE = b"\x90\x09"


def b64(data):
    return base64.b64encode(data).decode()


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def certificate_of(cloud):
    return {
        "ak_cert": b64(cloud.certificate()),
        "ak_intermediates": [b64(der) for der in cloud.others],
        "roots": [b64(cloud.root.pem)],
        "now": format_instant(NOW),
    }


def quote_of(cloud, **changes):
    attest = cloud.attest(NONCE)
    return {
        "attest": b64(attest),
        "signature": b64(cloud.signature(attest)),
        "pcrs": {"sha256": {str(pcr): value.hex() for pcr, value in cloud.pcrs.items()}},
        "expected": {"nonce_hex": NONCE.hex()},
    } | changes


def requests():
    """Return an accepted request for each stage."""
    google, on_azure, events = GoogleTpm(), AzureTpm(), gce_log()
    google.pcrs |= replayed(events) | dict.fromkeys((8, 12, 13, 14, 15), bytes(32))
    pcrs = {str(pcr): value.hex() for pcr, value in replayed(events).items()}
    hcl = {
        "hcl_report": b64(on_azure.hcl_report()),
        **quote_of(on_azure),
        **certificate_of(on_azure),
        "ak_pub": b64(on_azure.public()),
        "expected": {
            "nonce_hex": NONCE.hex(),
            "user_data_hex": bytes(range(64)).hex(),
            "console_enabled": False,
            "vm_id": "390CBCF5-6C67-4D9B-98EF-C3F1699CC8FC",
        },
    }
    project = {"project_number": 117478743145, "zone": ["us-central1-a", "us-central1-b"]}
    quote = quote_of(google) | certificate_of(google)
    return {
        "tpm-quote": quote | {"ak_pub": b64(google.public()), "vendor": "google", "eventlog": b64(serialise(events))},
        "event-log": {
            "call": "replay",
            "eventlog": b64(serialise(events)),
            "expected": {"pcrs": pcrs, "technology": "tdx"},
        },
        "azure-hcl": hcl,
        "azure-ak": certificate_of(on_azure) | {"ak_pub_pem": b64(pem(on_azure.ak))},
        "gce-ak": certificate_of(google) | {"ak_pub": b64(google.public()), "expected": project},
    }


GOOD = requests()


def run(stage, request):
    return judge(FUNCTIONS[stage], json.dumps(request).encode())


def changed(stage, path, value):
    """Return the stage's good request with one field changed, or removed."""
    request = copy.deepcopy(GOOD[stage])
    *parents, last = path.split(".")
    target = request
    for name in parents:
        target = target[name]
    if value is None:
        target.pop(last)
    else:
        target[last] = value
    return request


@pytest.mark.parametrize("stage", GOOD)
def test_control_is_accepted(stage):
    status, verdict = run(stage, GOOD[stage])
    assert (status, verdict.get("message")) == (ACCEPTED, None)
    assert verdict["checks"]
    assert verdict["facts"]
    json.dumps(verdict)
    module, function = STAGES[stage]
    assert (FUNCTIONS[stage].__module__, FUNCTIONS[stage].__name__) == (f"client_sdk.conformance.{module}", function)


REQUIRED = {
    "tpm-quote": ("attest", "signature", "pcrs", "expected.nonce_hex", "vendor", "now"),
    "event-log": ("call", "eventlog", "expected.pcrs"),
    "azure-hcl": ("hcl_report", "signature", "pcrs", "expected.nonce_hex", "now"),
    "azure-ak": ("ak_cert", "now"),
    "gce-ak": ("ak_cert", "now"),
}


@pytest.mark.parametrize(("stage", "path"), [(stage, path) for stage, paths in REQUIRED.items() for path in paths])
def test_a_missing_field_is_named(stage, path):
    status, verdict = run(stage, changed(stage, path, None))
    assert status == MALFORMED
    assert path.split(".")[-1] in verdict["where"]


@pytest.mark.parametrize("stage", GOOD)
def test_unknown_fields_are_refused(stage):
    assert run(stage, GOOD[stage] | {"nonce": "00"})[1]["message"].startswith("$: unknown field 'nonce'")
    if "expected" in GOOD[stage]:
        assert run(stage, changed(stage, "expected.nonce", "00"))[0] == MALFORMED


GARBAGE = b64(b"garbage")


@pytest.mark.parametrize(
    ("stage", "path", "value"),
    [
        ("tpm-quote", "attest", GARBAGE),
        ("tpm-quote", "signature", GARBAGE),
        ("tpm-quote", "sig_format", "der"),
        ("tpm-quote", "sig_format", "raw-rsassa-sha256"),
        ("tpm-quote", "pcr_bank", "md5"),
        ("tpm-quote", "pcrs", {"sha256": {"24": "00" * 32}}),
        ("tpm-quote", "pcrs", {"0": "00" * 20}),
        ("tpm-quote", "pcrs", {"0": "AA" * 32}),
        ("tpm-quote", "pcrs", [1]),
        ("tpm-quote", "ak_pub", GARBAGE),
        ("tpm-quote", "ak_pub_pem", b64(pem(rsa_key("x")))),
        ("tpm-quote", "ak_cert", GARBAGE),
        ("tpm-quote", "roots", []),
        ("tpm-quote", "vendor", "amazon"),
        ("tpm-quote", "eventlog", GARBAGE),
        ("tpm-quote", "elsewhere", [24]),
        ("tpm-quote", "expected.nonce_hex", "9"),
        ("tpm-quote", "expected.selection", [True]),
        ("tpm-quote", "now", "2026-01-01"),
        ("event-log", "call", "both"),
        ("event-log", "expected.technology", "cca"),
        ("event-log", "pcr_bank", "sha384"),
        ("event-log", "eventlog", b64(b"")),
        ("azure-hcl", "hcl_report", GARBAGE),
        ("azure-hcl", "td_quote", b64(bytes(5000))),
        ("azure-hcl", "expected.user_data_hex", "00" * 63),
        ("azure-hcl", "expected.secure_boot", 1),
        ("azure-ak", "ak_cert", b64(b"\x30\x03\x02\x01\x05")),
        ("azure-ak", "ak_pub_pem", GARBAGE),
        ("gce-ak", "expected.zone", []),
        ("gce-ak", "expected.instance_id", 2**64),
        ("gce-ak", "expected.project_number", "117478743145"),
    ],
)
def test_malformed_fields(stage, path, value):
    status, verdict = run(stage, changed(stage, path, value))
    assert status == MALFORMED, verdict


@pytest.mark.parametrize(
    ("stage", "path", "value", "rule"),
    [
        ("tpm-quote", "expected.nonce_hex", "9010", "C2.3"),
        ("tpm-quote", "expected.selection", [0, 1], "Q2"),
        ("tpm-quote", "pcr_bank", "sha384", "Q4.1"),
        ("tpm-quote", "ak_pub", b64(GoogleTpm("another").public()), "K5.2"),
        ("tpm-quote", "ak_cert", b64(GoogleTpm("another").certificate()), "K5.2"),
        ("tpm-quote", "elsewhere", [], "L1.replay"),
        ("tpm-quote", "eventlog", b64(serialise(gce_log()[:-1])), "L1.replay"),
        ("event-log", "expected.technology", "snp", "L8.1"),
        ("event-log", "eventlog", b64(serialise(boot_log())), "L1.replay"),
        ("azure-hcl", "expected.nonce_hex", "", "C2.3"),
        ("azure-hcl", "expected.user_data_hex", "00" * 64, "T1.user"),
        ("azure-hcl", "expected.console_enabled", True, "T1.console"),
        ("azure-hcl", "expected.vm_id", "0", "T1.vm"),
        ("azure-hcl", "ak_pub", b64(GoogleTpm("another").public()), "T1.ak"),
        ("azure-hcl", "ak_cert", b64(AzureTpm("another").certificate()), "K5.2"),
        ("azure-ak", "ak_intermediates", [], "K1.1"),
        ("azure-ak", "ak_pub_pem", b64(pem(rsa_key("x"))), "K5.2"),
        ("azure-ak", "roots", None, "K1.1"),
        ("gce-ak", "now", "2090-01-01T00:00:00Z", "K1.2"),
        ("gce-ak", "ak_pub", b64(AzureTpm().public()), "K5.2"),
        ("gce-ak", "expected.zone", "us-central1-c", "K3.5"),
        ("gce-ak", "expected.instance_name", ["a", "b"], "K3.7"),
        ("gce-ak", "roots", None, "K1.1"),
    ],
)
def test_refusals_name_their_rule(stage, path, value, rule):
    request = changed(stage, path, value)
    if path == "pcr_bank":
        request["pcrs"] = {"sha384": {str(pcr): "00" * 48 for pcr in range(24)}}
    status, verdict = run(stage, request)
    assert (status, verdict["rules"]) == (REFUSED, [rule]), verdict["message"]
    assert verdict["checks"]


def test_the_key_may_come_alone_or_by_its_certificate():
    for key in ({"ak_pub": GOOD["tpm-quote"]["ak_pub"]}, {"ak_pub_pem": b64(pem(GoogleTpm().ak))}):
        assert run("tpm-quote", quote_of(GoogleTpm()) | key)[0] == ACCEPTED
    status, verdict = run("tpm-quote", quote_of(GoogleTpm()))
    assert (status, verdict["where"]) == (MALFORMED, "$.ak_pub")
    assert run("tpm-quote", quote_of(GoogleTpm()) | {"ak_pub_pem": b64(pem(ec_key("x")))})[0] == REFUSED


@pytest.mark.parametrize("stage", ["tpm-quote", "azure-hcl"])
def test_raw_signatures_are_read_where_they_are_announced(stage):
    cloud = AzureTpm()
    raw = cloud.raw_signature(cloud.attest(NONCE))
    request = quote_of(cloud, signature=b64(raw), sig_format="raw-rsassa-sha256")
    request |= {"hcl_report": b64(cloud.hcl_report())} if stage == "azure-hcl" else {"ak_pub_pem": b64(pem(cloud.ak))}
    assert run(stage, request)[0] == ACCEPTED
    request["signature"] = b64(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert run(stage, request)[1]["rules"] == ["Q6.2"]
    del request["sig_format"]
    assert run(stage, request)[0] == MALFORMED


@pytest.mark.parametrize("version", [4, 5])
def test_a_td_quote_is_what_hardware_signs_on_tdx(version):
    cloud = AzureTpm(report_type=4)
    request = {"hcl_report": b64(cloud.hcl_report()), "td_quote": b64(cloud.td_quote(version))}
    assert run("azure-hcl", request)[0] == ACCEPTED
    other = AzureTpm(report_type=4)
    other.claims["user-data"] = "00" * 64
    assert run("azure-hcl", request | {"td_quote": b64(other.td_quote(version))})[1]["rules"] == ["T1.report"]
    assert run("azure-hcl", request | {"td_quote": b64(b"\4\0")})[0] == MALFORMED


def test_the_grammar_is_a_call_of_its_own():
    ours, googles = b64(serialise(boot_log())), b64(serialise(gce_log()))
    assert run("event-log", {"call": "grammar", "eventlog": ours})[0] == ACCEPTED
    assert run("event-log", {"call": "grammar", "eventlog": googles})[1]["rules"] == ["L2.0"]
    status, verdict = run("event-log", {"call": "grammar", "eventlog": googles, "firmware": "gce", "boot": "any"})
    assert (status, [image["pcr"] for image in verdict["facts"]["images"]]) == (ACCEPTED, [2, 4])
    for unknown in ({"firmware": "azure"}, {"boot": "grub"}, {"pcr_bank": "sha1"}):
        assert run("event-log", {"call": "grammar", "eventlog": ours} | unknown)[0] == MALFORMED


def test_googles_firmware_of_before_confidential_machines_is_told():
    events = gce_log(technology=1, version="1")
    expected = {"pcrs": {str(pcr): v.hex() for pcr, v in replayed(events).items()}, "technology": "sev"}
    assert expected["pcrs"]["0"] == gce_pcr0(1, 1).hex()
    request = {"call": "replay", "eventlog": b64(serialise(events)), "expected": expected}
    assert run("event-log", request)[1]["facts"]["gce_firmware"] == 1


# --- the documents


def fields_of(schema):
    found = dict(schema.get("properties", {}))
    for branch in schema.get("oneOf", ()):
        found |= branch.get("properties", {})
    return found


@pytest.mark.parametrize("stage", GOOD)
def test_the_schema_takes_what_the_stage_takes(stage):
    schema = json.loads((SCHEMAS / f"{stage}.schema.json").read_text())
    for name in GOOD[stage]:
        assert name in fields_of(schema), name
    for name in fields_of(schema):
        call = {"call": "grammar", "eventlog": ""} if name in ("firmware", "boot") else GOOD[stage]
        field = {name: call.get(name, "x")}
        assert "unknown field" not in run(stage, call | field)[1].get("message", ""), name
    for name in GOOD[stage].get("expected", {}):
        assert name in json.dumps(schema), name


@pytest.mark.parametrize("stage", GOOD)
def test_the_document_names_every_field_and_its_example_is_a_request(stage):
    text = (DOCS / f"{stage}.md").read_text()
    schema = json.loads((SCHEMAS / f"{stage}.schema.json").read_text())
    for name in fields_of(schema):
        assert f"`{name}`" in text, name
    example = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
    assert example.keys() <= fields_of(schema).keys()
