"""What a client would be given of a deployment that is on no machine."""

from __future__ import annotations

import pytest

from provisioner.acceptance import Target, Trust
from tests.fakes.simulated_vm import default_ca, publisher_key, release, signed
from tests.provisioner.status.conftest import public_pem


@pytest.fixture
def target(tmp_path):
    """A deployment's files, and an address where nobody is."""
    found = Target(
        "https://127.0.0.1:9",
        tmp_path / "release.json",
        tmp_path / "publisher.pub",
        Trust("simulated", tmp_path / "tpm-ca.pem"),
    )
    found.release.write_bytes(signed(release()))
    found.publisher.write_bytes(public_pem(publisher_key()))
    found.trust.file.write_bytes(default_ca().pem)
    return found
