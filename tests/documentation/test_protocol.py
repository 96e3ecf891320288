"""docs/protocol.md is enough for a second implementation: one that was written from it alone agrees with the first."""

from __future__ import annotations

import ast
import base64
import json
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.binding import merkle_tree
from client_sdk.dsse import sign
from client_sdk.encoding import canonical_json
from client_sdk.verify.activation import ActivationRequest
from tests.documentation import second_reader as second
from tests.fakes.simulated_vm import SimulatedVm, default_ca, publisher_key, release, signed

NONCE = bytes(range(32))
CA = x509.load_pem_x509_certificate(default_ca().pem)
NOW = release().not_before + timedelta(days=1)


@pytest.fixture(scope="module")
def vm():
    return SimulatedVm()


@pytest.fixture(scope="module")
def body(vm):
    return vm.evidence(NONCE).to_json()


def read(vm, body, *, nonce=NONCE, shown=None):
    return second.read_evidence(body, nonce, vm.tls_certificate if shown is None else shown, CA)


def opened(data=None, keys=None, threshold=1, now=NOW):
    keys = (publisher_key().public_key(),) if keys is None else keys
    return second.read_release(signed(release()) if data is None else data, keys, threshold, now)


def test_it_imports_nothing_of_the_project():
    tree = ast.parse(Path(second.__file__).read_text())
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in names if name.startswith(("client_sdk", "provisioner", "serving", "tests"))]


def test_it_accepts_what_the_first_accepts(vm, body):
    assert second.judge(read(vm, body), opened())["platform"] == "local-qemu"


def test_its_second_round_is_one_that_a_tpm_answers(vm, body):
    found = read(vm, body)
    secret = bytes(range(100, 132))
    request = second.make_credential(found["ek"], found["ak_name"], secret, bytes(range(32)))
    assert vm.activate(ActivationRequest(*request)) == secret


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 100])
def test_it_finds_a_nonce_among_others(size):
    nonces = tuple(number.to_bytes(32, "big") for number in range(size))
    root, places = merkle_tree(nonces)
    for nonce, place in zip(nonces, places, strict=True):
        quote = {"index": place.index, "tree_size": size, "path": [one.hex() for one in place.path]}
        named = second._extra_data(quote, nonce, b"s" * 32)
        lp = second.lp
        wanted = b"vitrine/quote/v1" + lp(root) + size.to_bytes(4, "big") + lp(b"s" * 32) + lp(b"")
        assert named == second.sha256(wanted).digest()


def changed(body, **fields):
    return canonical_json(json.loads(body) | fields)


def quote_with(body, **fields):
    return changed(body, quote=json.loads(body)["quote"] | fields)


def flipped(text, place):
    data = bytearray(base64.b64decode(text))
    data[place] ^= 1
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (lambda b: changed(b, more=1), "fields"),
        (lambda b: changed(b, version=2), "fields"),
        (lambda b: changed(b, platform="gcp"), "platform"),
        (lambda b: b.replace(b'"version":1', b'"version":1,"version":1'), "twice"),
        (lambda b: b.replace(b'"version":1', b'"version":1.0'), "number"),
        (lambda b: b[:-1], "no JSON"),
        (lambda b: quote_with(b, index=1), "place"),
        (lambda b: quote_with(b, tree_size=2), "too short"),
        (lambda b: quote_with(b, path=["00" * 32]), "too long"),
        (lambda b: quote_with(b, attest=flipped(json.loads(b)["quote"]["attest"], 40)), "signature"),
        (lambda b: quote_with(b, signature=flipped(json.loads(b)["quote"]["signature"], -1)), "signature"),
        (lambda b: changed(b, pcrs={"sha256": json.loads(b)["pcrs"]["sha256"] | {"4": "11" * 32}}), "digest"),
        (lambda b: changed(b, runtime_log=json.loads(b)["runtime_log"][::-1]), "run-time"),
        (lambda b: changed(b, event_log=flipped(json.loads(b)["event_log"], -1)), "other data"),
        (lambda b: changed(b, event_log=json.loads(b)["event_log"][:-40]), "too short"),
    ],
)
def test_it_refuses_what_the_first_refuses(vm, body, attack, told):
    with pytest.raises((second.Refused, ValueError), match=told):
        read(vm, attack(body))


def test_it_refuses_another_nonce_and_another_connection(vm, body):
    with pytest.raises(second.Refused, match="another nonce"):
        read(vm, body, nonce=bytes(32))
    with pytest.raises(second.Refused, match="another certificate"):
        read(vm, body, shown=SimulatedVm("impostor").tls_certificate)


def test_it_refuses_another_image(vm, body):
    other = opened()
    other["measurements"][0]["image"]["authenticode"] = "22" * 32
    with pytest.raises(second.Refused, match="no measurement"):
        second.judge(read(vm, body), other)
    other = opened()
    other["measurements"][0]["phases"] = ["another"]
    with pytest.raises(second.Refused, match="no measurement"):
        second.judge(read(vm, body), other)


def test_it_counts_keys_and_not_signatures():
    payload, mine, other = release().to_statement(), Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    keys = (mine.public_key(), other.public_key())
    assert opened(sign(payload, (mine, other)), keys, threshold=2)["number"] == release().number
    with pytest.raises(second.Refused, match="signatures"):
        opened(sign(payload, (mine, mine)), keys, threshold=2)
    with pytest.raises(second.Refused, match="signatures"):
        opened(sign(payload, (mine,)), (other.public_key(),))


@pytest.mark.parametrize("now", [release().not_before - timedelta(seconds=1), release().not_after])
def test_it_refuses_a_release_that_is_not_in_force(now):
    with pytest.raises(second.Refused, match="force"):
        opened(now=now)
    assert opened(now=release().not_before.astimezone(UTC))["number"] == release().number


def test_it_refuses_the_payload_of_something_else():
    envelope = json.loads(signed(release()))
    with pytest.raises(second.Refused, match="type"):
        opened(json.dumps(envelope | {"payloadType": "text/plain"}).encode())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    other = canonical_json(statement | {"predicateType": "urn:vitrine:something-else/v1"})
    with pytest.raises(second.Refused, match="predicate"):
        opened(sign(other, (publisher_key(),)))


def test_the_digest_of_a_key_is_of_its_subject_public_key_info(vm):
    key = x509.load_der_x509_certificate(vm.tls_certificate).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert second._spki(vm.tls_certificate) == second.sha256(spki).digest()
