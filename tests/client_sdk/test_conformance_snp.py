"""Stages ``snp`` and ``snp-cert``: the fields, what each knob refuses, and that the documents name exactly these."""

from __future__ import annotations

import base64
import io
import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client_sdk.conformance import __main__ as command
from client_sdk.conformance import snp
from client_sdk.conformance.describe import SCHEMAS
from client_sdk.vendor import vendor_roots
from tests.fakes.simulated_snp import DAY, NOW, SimulatedSnp, ark_fields

DOCS = Path(__file__).parent.parent.parent / "docs" / "conformance"
STAGES = {"snp": (*snp.CHAIN_FIELDS, *snp.REPORT_FIELDS), "snp-cert": snp.CHAIN_FIELDS}


def told(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pem(*certificates: bytes) -> bytes:
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in certificates)


def roots(sim: SimulatedSnp) -> list[str]:
    return [told(root.certificate.public_bytes(Encoding.DER)) for root in sim.arks]


def chain_request(sim: SimulatedSnp, **changes) -> dict:
    fields = {
        "vek": told(sim.certificate()),
        "amd_chain": told(pem(sim.ark.der, sim.ask.der)),
        "roots": roots(sim),
        "now": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"),
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def report_request(sim: SimulatedSnp, **changes) -> dict:
    fields = {"report": told(sim.report()), "expected": {"report_data_hex": sim.report_data.hex()}}
    return chain_request(sim, **(fields | changes))


def judged(request: dict, stage=snp.report) -> dict:
    return command.judge(stage, json.dumps(request).encode())[1]


@pytest.fixture
def sim():
    return SimulatedSnp()


def test_control_is_accepted(sim):
    verdict = judged(report_request(sim))
    assert verdict["verdict"] == "accepted", verdict
    facts = verdict["facts"]
    assert (facts["product"], facts["signing_key"], facts["hwid"]) == ("Milan", "VCEK", sim.hwid.hex())
    assert facts["tcb"] == {"fmc": 0, "bootloader": 4, "tee": 0, "snp": 24, "microcode": 219}
    assert facts["measurement"] == sim.measurement.hex()
    assert {check["verdict"] for check in verdict["checks"]} == {"ok"}
    assert judged(chain_request(sim), snp.certificate)["facts"]["crl_number"] is None


def test_the_command_runs_both_stages(sim, capsys):
    for stage, request in (("snp", report_request(sim)), ("snp-cert", chain_request(sim))):
        assert command.main([stage], io.BytesIO(json.dumps(request).encode())) == command.ACCEPTED
        assert json.loads(capsys.readouterr().out)["verdict"] == "accepted"


def test_shapes_that_certificates_come_in(sim):
    vek, ask, root = sim.certificate(), sim.ask.der, ark_fields(sim.product).certificate.public_bytes(Encoding.DER)
    body = base64.encodebytes(vek)
    text = b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"
    shapes = [
        {"vek": told(text), "amd_chain": told(pem(ask, root))},
        {"vek": told(vek), "amd_chain": told(pem(root, ask))},
        {"vek": told(vek), "amd_chain": told(ask)},
        {"vek": told(text + pem(ask)), "amd_chain": None},
        {"vek": told(text.replace(b"\n", b"\r\n")), "roots": [told(pem(root))]},
    ]
    for shape in shapes:
        assert judged(report_request(sim, **shape))["verdict"] == "accepted", shape


def test_the_roots_that_ship_are_amds_and_know_no_simulation(sim):
    names = [root.certificate.subject.rfc4514_string() for root in vendor_roots("amd", "ark")]
    assert [re.search(r"CN=([\w-]+)", name)[1] for name in names] == ["ARK-Milan", "ARK-Genoa", "ARK-Turin"]
    assert [root.fingerprint.hex()[:8] for root in vendor_roots("amd", "ark")] == ["69d063b4", "4c6598d1", "1f084161"]
    assert judged(report_request(sim, roots=None))["rules"] == ["T2.1"]


REFUSALS = [
    ("T1.1", {"expected": {"report_data_hex": "00" * 64}}),
    ("T2.1", {"amd_chain": None}),
    ("T2.2", {"now": "2030-01-01T00:00:00Z"}),
    ("T4.10", {"smt": "forbidden"}),
    ("T4.11", {"single_socket": "required"}),
    ("T4.12", {"minimum_abi": "1.0"}),
    ("T4.14", {"alias_check": "forbidden"}),
    ("T4.15", {"ciphertext_hiding": "required"}),
    ("T4.16", {"minimum_firmware": "1.55.30"}),
    ("T11.amd.4", {"require_crl": True}),
    ("T11.amd.7", {"deny_vek_serials": [3, 0]}),
]


@pytest.mark.parametrize(("rule", "changes"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_a_knob_refuses(sim, rule, changes):
    assert judged(report_request(sim, **changes))["rules"] == [rule]


@pytest.mark.parametrize(
    ("rule", "name", "size"),
    [
        ("T5.1", "measurement", 48),
        ("T5.2", "host_data", 32),
        ("T5.3", "id_key_digest", 48),
        ("T5.4", "author_key_digest", 48),
    ],
)
def test_an_expected_value(sim, rule, name, size):
    for value, rules in ((getattr(sim, name), None), (b"\x01" * size, [rule])):
        expected = {"report_data_hex": sim.report_data.hex(), f"{name}_hex": value.hex()}
        assert judged(report_request(sim, expected=expected)).get("rules") == rules


def test_host_data_by_its_preimage(sim):
    sim.host_data = sha256(b"policy").digest()
    assert judged(report_request(sim, host_data_preimage=told(b"policy")))["verdict"] == "accepted"
    assert judged(report_request(sim, host_data_preimage=told(b"other")))["rules"] == ["T5.2"]


@pytest.mark.parametrize(
    ("rule", "knobs", "allowing"),
    [
        ("T3.9", {"chip_id": bytes(64)}, {"allow_masked_chip_id": True}),
        ("T3.10", {"flags": 2}, None),
        ("T4.8", {"policy": 0xB001F}, None),
        ("T4.9", {"policy": 0x7001F}, None),
        ("T4.13", {"vmpl": 1}, {"max_vmpl": 1}),
        ("T4.13", {"vmpl": 3}, {"max_vmpl": 3}),
        ("T5.5", {"flags": 1}, None),
    ],
)
def test_what_the_defaults_refuse(sim, rule, knobs, allowing):
    for name, value in knobs.items():
        setattr(sim, name, value)
    assert judged(report_request(sim))["rules"] == [rule]
    if allowing:
        assert judged(report_request(sim, **allowing))["verdict"] == "accepted"


def test_a_vlek_unless_it_is_refused():
    sim = SimulatedSnp(vlek=True)
    assert judged(report_request(sim))["verdict"] == "accepted"
    assert judged(report_request(sim, allow_vlek=False))["rules"] == ["T3.7"]


def test_floors(sim):
    assert (
        judged(report_request(sim, tcb_floors={"milan": {"snp": 24}, "turin": {"snp": 255}}))["verdict"] == "accepted"
    )
    assert judged(report_request(sim, tcb_floors={"milan": {"snp": 25}}))["rules"] == ["T4.17", "T4.18", "T4.19"]


def test_deny_lists(sim):
    certificate = sim.certificate()
    denied = {"deny_chip_ids_hex": [sim.hwid.hex()], "deny_vek_certificates_hex": [sha256(certificate).hexdigest()]}
    assert judged(report_request(sim, vek=told(certificate), **denied))["rules"] == ["T11.amd.6", "T11.amd.7"]


@pytest.mark.parametrize("stage", STAGES)
def test_revocation(sim, stage):
    function = getattr(snp, command.STAGES[stage][1])
    make = report_request if stage == "snp" else chain_request
    good, bad = sim.ark.crl(number=7), sim.ark.crl(revoked=(sim.ask.serial,))
    text = b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(good) + b"-----END X509 CRL-----\n"
    for crl in (good, text):
        verdict = judged(make(sim, amd_crl=told(crl), require_crl=True, minimum_crl_number=7), function)
        assert verdict["facts"]["crl_number"] == 7
    assert judged(make(sim, amd_crl=told(bad)), function)["rules"] == ["T11.amd.3"]
    assert judged(make(sim, amd_crl=told(good), minimum_crl_number=8), function)["rules"] == ["T11.amd.5"]
    assert judged(make(sim, require_crl=True), function)["rules"] == ["T11.amd.4"]
    old = sim.ark.crl(dates=(NOW - 10 * DAY, NOW + DAY))
    assert judged(make(sim, amd_crl=told(old), crl_max_age_days=9), function)["rules"] == ["T11.amd.2"]
    assert judged(make(sim, amd_crl=told(text + text)), function)["verdict"] == "malformed"


@pytest.mark.parametrize(
    ("where", "changes"),
    [
        ("$.report", {"report": None}),
        ("$.report", {"report": "no base64"}),
        ("$.vek", {"vek": None}),
        ("$.vek", {"vek": told(b"nothing")}),
        ("$.now", {"now": None}),
        ("$.now", {"now": "yesterday"}),
        ("$.expected.report_data_hex", {"expected": None}),
        ("$.expected.report_data_hex", {"expected": {"report_data_hex": "00" * 32}}),
        ("$.expected.report_data_hex", {"expected": {"report_data_hex": "AA" * 64}}),
        ("$.expected", {"expected": {"report_data_hex": "00" * 64, "report_data": "00"}}),
        ("$", {"max_vmlp": 1}),
        ("$.max_vmpl", {"max_vmpl": 4}),
        ("$.max_vmpl", {"max_vmpl": "1"}),
        ("$.allow_vlek", {"allow_vlek": "no"}),
        ("$.require_crl", {"require_crl": 1}),
        ("$.smt", {"smt": "maybe"}),
        ("$.minimum_abi", {"minimum_abi": "1"}),
        ("$.minimum_abi", {"minimum_abi": "1.256"}),
        ("$.minimum_firmware", {"minimum_firmware": "1.55"}),
        ("$.minimum_firmware", {"minimum_firmware": "1.55.\u00b2"}),
        ("$.tcb_floors", {"tcb_floors": {"rome": {}}}),
        ("$.tcb_floors.milan", {"tcb_floors": {"milan": {"ucode": 1}}}),
        ("$.tcb_floors.milan.snp", {"tcb_floors": {"milan": {"snp": 256}}}),
        ("$.deny_vek_serials", {"deny_vek_serials": ["0"]}),
        ("$.deny_chip_ids_hex[0]", {"deny_chip_ids_hex": ["XY"]}),
        ("$.roots", {"roots": []}),
        (
            "$.host_data_preimage",
            {"expected": {"report_data_hex": "00" * 64, "host_data_hex": "00" * 32}, "host_data_preimage": "AA=="},
        ),
        ("$.crl_max_age_days", {"amd_crl": told(b"\x30\x82"), "crl_max_age_days": 10**9}),
    ],
)
def test_a_request_that_is_not_one(sim, where, changes):
    verdict = judged(report_request(sim, **changes))
    assert (verdict["verdict"], verdict.get("where")) == ("malformed", where), verdict


@pytest.mark.parametrize("stage", STAGES)
def test_documents_name_the_fields_that_the_stage_takes(stage):
    schema = json.loads((SCHEMAS / f"{stage}.schema.json").read_text())
    assert set(schema["properties"]) == set(STAGES[stage])
    assert schema["additionalProperties"] is False
    text = (DOCS / f"{stage}.md").read_text()
    example = json.loads(text.split("```json\n")[1].split("```")[0])
    assert set(schema["required"]) <= set(example) <= set(STAGES[stage])
    words = set(re.findall(r"\w+", text))
    assert set(STAGES[stage]) <= words, set(STAGES[stage]) - words
