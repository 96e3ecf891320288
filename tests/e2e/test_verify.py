"""The command's verdicts on a real VM: who is pinned decides, and nobody else (rules R1, D1, K1, C1)."""

from __future__ import annotations

import json
import shutil
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from client_sdk.dsse import sign
from client_sdk.encoding import from_base64, to_base64
from provisioner.clouds.tpm_ca import ensure_ca
from provisioner.keys import load_or_create, public_pem
from tests.e2e.machine import vitrine


def test_accepted(vm):
    outcome = vitrine("verify", vm.origin, *vm.pins, "--json")
    report = json.loads(outcome.out)
    assert outcome.status == 0
    assert report["verdict"] == "accepted"
    assert len(report["checks"]) > 20


def test_an_edited_payload_is_refused(vm):
    envelope = json.loads(vm.release.read_bytes())
    payload = from_base64(envelope["payload"], "payload").replace(b'"number":1', b'"number":9')
    assert b'"number":9' in payload
    vm.release.write_text(json.dumps(envelope | {"payload": to_base64(payload)}))
    outcome = vitrine("verify", vm.origin, *vm.pins)
    assert (outcome.status, "R1" in outcome.out + outcome.err) == (1, True)


def test_a_release_re_signed_with_a_fresh_key_that_it_embeds_is_refused(vm, tmp_path):
    fresh = load_or_create(tmp_path / "fresh" / "publisher.key")
    envelope = json.loads(vm.release.read_bytes())
    forged = json.loads(sign(from_base64(envelope["payload"], "payload"), (fresh,)))
    forged["signatures"][0]["keyid"] = public_pem(fresh).decode().replace("\n", " ")
    vm.release.write_text(json.dumps(forged))
    # Wherever a client could be tempted to look for a key, the attacker's lies there.
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "publisher.pub").write_bytes(public_pem(fresh))
    outcome = vitrine("verify", vm.origin, *vm.pins, cwd=tmp_path / "cwd")
    assert (outcome.status, "R1" in outcome.out + outcome.err) == (1, True)


def test_another_publishers_key_is_refused(vm, tmp_path):
    other = tmp_path / "other.pub"
    other.write_bytes(public_pem(load_or_create(tmp_path / "other" / "publisher.key")))
    outcome = vitrine("verify", vm.origin, "--release", vm.release, "--publisher", other, "--simulated", vm.tpm_ca)
    assert (outcome.status, "R1" in outcome.out + outcome.err) == (1, True)


def test_another_tpm_ca_is_refused(vm, tmp_path):
    ensure_ca(tmp_path / "other")
    pins = ("--release", vm.release, "--publisher", vm.publisher, "--simulated", tmp_path / "other" / "tpm-ca.pem")
    outcome = vitrine("verify", vm.origin, *pins)
    assert (outcome.status, "K1" in outcome.out + outcome.err) == (1, True)


def test_without_simulated_a_simulated_platform_is_refused(vm):
    outcome = vitrine("verify", vm.origin, "--release", vm.release, "--publisher", vm.publisher)
    assert (outcome.status, "D1" in outcome.out + outcome.err) == (1, True)
    assert "--simulated" in outcome.out + outcome.err


@pytest.mark.parametrize("missing", ["--release", "--publisher"])
def test_what_decides_about_trust_has_no_default(vm, missing):
    pins = [word for pair in zip(vm.pins[::2], vm.pins[1::2], strict=True) if pair[0] != missing for word in pair]
    assert vitrine("verify", vm.origin, *pins, cwd=vm.root).status == 2


def test_a_plain_http_url_is_refused_before_anything_is_sent(vm):
    outcome = vitrine("ask", vm.origin.replace("https", "http"), "secret", *vm.pins)
    assert outcome.status == 2
    assert "https://" in outcome.err


def test_nobody_there_is_no_verdict(vm):
    outcome = vitrine("verify", "https://127.0.0.1:9", *vm.pins)
    assert outcome.status == 3


def test_saved_evidence_gives_the_same_verdict_later_and_an_edited_one_does_not(vm, tmp_path):
    saved = tmp_path / "saved.json"
    assert vitrine("verify", vm.origin, *vm.pins, "--save", saved).status == 0
    again = vitrine("verify", vm.origin, *vm.pins, "--evidence", saved, "--json")
    assert (again.status, json.loads(again.out)["verdict"]) == (0, "accepted")
    text = saved.read_text()
    document = json.loads(text)
    document["nonce"] = "00" * 32
    saved.write_text(json.dumps(document))
    refused = vitrine("verify", vm.origin, *vm.pins, "--evidence", saved)
    assert (refused.status, "C2" in refused.out + refused.err) == (1, True)


def test_observe_prints_measurements_without_a_release(vm):
    outcome = vitrine("observe", vm.origin, "--simulated", vm.tpm_ca, "--json")
    assert outcome.status == 0
    assert {"4", "9", "11", "15"} <= set(json.loads(outcome.out)["pcrs"])


class _Impostor(BaseHTTPRequestHandler):
    """Hands on the real VM's evidence over its own TLS, and remembers every body that it is sent."""

    evidence = b"{}"
    bodies: list[bytes] = []  # noqa: RUF012  one server a test

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.evidence)))
        self.end_headers()
        self.wfile.write(self.evidence)

    def do_POST(self):
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_error(404)

    def log_message(self, *args):
        pass


@pytest.fixture
def impostor(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = builder.not_valid_before(start).not_valid_after(start + timedelta(days=9)).sign(key, hashes.SHA256())
    pem = tmp_path / "impostor.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Impostor)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_impostor_with_the_real_evidence_gets_no_prompt(vm, impostor, tmp_path):
    saved = tmp_path / "saved.json"
    assert vitrine("verify", vm.origin, *vm.pins, "--save", saved).status == 0
    document = json.loads(saved.read_text())
    _Impostor.evidence = from_base64(document["evidence"], "evidence")
    _Impostor.bodies.clear()
    outcome = vitrine("ask", f"https://127.0.0.1:{impostor.server_address[1]}", "my secret question", *vm.pins)
    assert outcome.status == 1
    assert "C3" in outcome.out + outcome.err or "C2" in outcome.out + outcome.err
    assert not any(b"secret" in body for body in _Impostor.bodies)


def test_an_edited_evidence_file_is_refused(vm, tmp_path):
    saved = tmp_path / "saved.json"
    assert vitrine("verify", vm.origin, *vm.pins, "--save", saved).status == 0
    document = json.loads(saved.read_text())
    evidence = json.loads(from_base64(document["evidence"], "evidence"))
    evidence["pcrs"]["sha256"]["4"] = "00" * 32
    document["evidence"] = to_base64(json.dumps(evidence).encode())
    edited = shutil.copyfile(saved, tmp_path / "edited.json")
    edited.write_text(json.dumps(document))
    outcome = vitrine("verify", vm.origin, *vm.pins, "--evidence", edited)
    assert (outcome.status, "Q3" in outcome.out + outcome.err) == (1, True)
