"""A server in front of a simulated VM, and what a client is given to judge it by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client_sdk.policy import SimulatedPlatform
from client_sdk.publisher import Publisher
from tests.fakes import vendors as fake_vendors
from tests.fakes.loopback import lead, only_loopback
from tests.fakes.refusals import REFUSED, listen
from tests.fakes.simulated_server import serving
from tests.fakes.simulated_vm import SimulatedVm, default_ca, publisher_key, release, signed
from tests.vectors.behaviour import due

listen()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Hold a test that is named for a rule (``tests/vectors/behaviour.json``) to it: something was refused by it."""
    REFUSED.clear()
    result = yield
    missing = due().get(item.nodeid, set()) - REFUSED
    assert not missing, f"this test is named for {sorted(missing)} in behaviour.json and saw no such refusal"
    return result


@dataclass(frozen=True, slots=True)
class Pins:
    """The files of a deployment."""

    release: Path
    publisher: Path
    tpm_ca: Path

    @property
    def options(self) -> dict:
        """What the library is given."""
        return {
            "releases": self.release,
            "publisher": Publisher(keys=(self.publisher,)),
            "policy": SimulatedPlatform(tpm_ca=self.tpm_ca),
        }

    @property
    def words(self) -> tuple[str, ...]:
        """What the command is given."""
        return ("--release", str(self.release), "--publisher", str(self.publisher), "--simulated", str(self.tpm_ca))


@pytest.fixture
def pins(tmp_path):
    found = Pins(tmp_path / "release.json", tmp_path / "publisher.pub", tmp_path / "tpm-ca.pem")
    found.release.write_bytes(signed(release()))
    public = publisher_key().public_key()
    found.publisher.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    found.tpm_ca.write_bytes(default_ca().pem)
    return found


@pytest.fixture
def server():
    with serving(SimulatedVm()) as running:
        yield running


@pytest.fixture
def impostor():
    """A machine with keys of its own, somewhere else."""
    with serving(SimulatedVm("impostor")) as running:
        yield running


@pytest.fixture
def vendors(monkeypatch, tmp_path):
    """Every vendor, on loopback; no test that has them can leave it."""
    only_loopback(monkeypatch)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    roots = tmp_path / "system-roots.pem"
    roots.write_bytes(fake_vendors.web_ca().pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    served = fake_vendors.Vendors()
    with fake_vendors.serving(served) as ports:
        served.ports = ports
        served.led = lead(monkeypatch, ports)
        yield served
