"""Manifest v2 names every content, and is read strictly (rule F1)."""

from __future__ import annotations

import json

import pytest

from client_sdk.errors import EvidenceError
from client_sdk.manifest import Boot, Manifest, Model, Package, Verity, digest

VERITY = Verity(b"\x01" * 32, b"\x02" * 32, 7, "11111111-2222-3333-4444-555555555555")
MANIFEST = Manifest(
    packages=(Package("libc6", "2.41-12", b"\x03" * 32),),
    files=(("roles/base/tasks/main.yml", b"\x04" * 32),),
    tools=(Package("erofs-utils", "1.8", b"\x05" * 32),),
    kernel="6.12.117+deb13-cloud-amd64",
    boot=Boot(b"\x06" * 32, b"\x07" * 32, b"\x08" * 32, b"\x09" * 32, b"\x0a" * 32, "quiet"),
    root=VERITY,
    models=(
        Model("m", "llamacpp", "pypi:x", "1", (("model.gguf", b"\x0b" * 32),)),
        Model("n", "vllm", "a/n", "2", (("config.json", b"\x0c" * 32),)),
    ),
    model_disk=VERITY,
    wheels=(),
    token_issuer_key="",
    source_commit="0" * 40,
)


def test_round_trip():
    data = MANIFEST.to_json()
    assert Manifest.from_json(data) == MANIFEST
    assert Manifest.from_json(data).to_json() == data


def test_the_digest_is_of_the_bytes_received():
    data = MANIFEST.to_json()
    assert digest(data) != digest(data + b"\n")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", 1, "version 2"),
        ("packages", {}, "packages: not a list"),
        ("packages", [{"name": "x", "version": "1"}], "missing sha256"),
        ("files", {"a": "00"}, "expected 32 bytes"),
        ("files", [], "files: not an object"),
        ("boot", {}, "boot: missing"),
        ("models", [{}], "models\\[0\\]: missing"),
        ("models", [], "at least one model"),
        ("models", {}, "models: not a list"),
        ("model_disk", {}, "model_disk: missing"),
        ("kernel", None, "kernel"),
        ("unknown", 1, "unknown key"),
    ],
)
def test_a_wrong_field_is_named(key, value, message):
    document = json.loads(MANIFEST.to_json()) | {key: value}
    with pytest.raises(EvidenceError, match=message):
        Manifest.from_json(json.dumps(document).encode())


def test_a_model_without_files_is_refused():
    document = json.loads(MANIFEST.to_json())
    document["models"][1]["files"] = {}
    with pytest.raises(EvidenceError, match="at least one file"):
        Manifest.from_json(json.dumps(document).encode())
