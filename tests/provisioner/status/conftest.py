"""A build folder with deployments of which only this machine's part is real: no VM is started."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provisioner.atomic import replace_link
from provisioner.image.artefacts import ARTEFACTS, FILES, MANIFEST, VERSION
from provisioner.publish import IMAGE, PUBLISHER, RELEASE
from provisioner.verdict import Verdict, keeper
from tests.fakes.simulated_vm import default_ca, publisher_key, release, signed
from tests.provisioner.clouds.conftest import quiet

KEY = "1a2b" * 16
NOW = datetime.now(UTC)


def public_pem(key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def publish(root: Path, **changes) -> None:
    """Write what a deployment leaves for clients."""
    root.mkdir(parents=True, exist_ok=True)
    (root / RELEASE).write_bytes(signed(release(**changes)))
    (root / PUBLISHER).write_bytes(public_pem(publisher_key()))
    (root / "tpm-ca.pem").write_bytes(default_ca().pem)


def keep(root: Path, **changes) -> None:
    told = {"when": NOW, "verdict": "accepted", "origin": "https://127.0.0.1:8443", "policy": "simulated platform"}
    keeper(root, quiet)(Verdict(**(told | {"release": 1, "checks": 43} | changes)))


def bake(root: Path, folder: Path, key: str = KEY) -> Path:
    """Let a deployment's link lead to an image whose disks are small."""
    image = folder / key
    image.mkdir(parents=True)
    for name in FILES.values():
        (image / name).write_bytes(bytes(4096))
    (image / MANIFEST).write_bytes(b"{}")
    service = {"port": 8443}
    (image / ARTEFACTS).write_text(json.dumps({"version": VERSION, "service": service}))
    root.mkdir(parents=True, exist_ok=True)
    replace_link(root / IMAGE, image)
    return image


@pytest.fixture
def build(tmp_path):
    return tmp_path / "build"


DAY = timedelta(days=1)
