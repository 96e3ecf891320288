"""A real VM's evidence, judged by the reader that was written from docs/protocol.md alone."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import secrets
import ssl
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.documentation import second_reader as second

ATTESTATION = "/.well-known/attestation"


def test_a_reader_that_was_written_from_the_page_accepts_a_real_vm(vm):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    where = urlsplit(vm.origin)
    made = http.client.HTTPSConnection(where.hostname, where.port, context=context, timeout=120)
    nonce, secret, seed = (secrets.token_bytes(32) for _ in range(3))
    ca = x509.load_pem_x509_certificate((vm.root / "tpm-ca.pem").read_bytes())
    with contextlib.closing(made) as connection:
        connection.request("GET", f"{ATTESTATION}?nonce={nonce.hex()}")
        body, shown = connection.getresponse().read(), connection.sock.getpeercert(binary_form=True)
        found = second.read_evidence(body, nonce, shown, ca)
        parts = second.make_credential(found["ek"], found["ak_name"], secret, seed)
        names = ("credential_blob", "encrypted_secret")
        request = {name: base64.b64encode(part).decode() for name, part in zip(names, parts, strict=True)}
        connection.request("POST", f"{ATTESTATION}/activate", json.dumps(request))
        assert base64.b64decode(json.loads(connection.getresponse().read())["secret"]) == secret
    key = load_pem_public_key((vm.root / "publisher.pub").read_bytes())
    release = second.read_release((vm.root / "release.json").read_bytes(), (key,), 1, datetime.now(UTC))
    assert second.judge(found, release)["platform"] == "local-qemu"
