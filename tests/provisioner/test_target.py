"""By which files a deployment is judged, and what is missing on a cloud before there can be a release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioner import target
from provisioner.clouds import Vm
from provisioner.errors import CloudError, SpecError
from provisioner.target import Deployment, target_of
from tests.provisioner.clouds.conftest import quiet

ORIGIN = "https://198.51.100.7:443"


@pytest.fixture
def local(tmp_path):
    return Deployment(
        variables={"name": "toy", "cloud": "qemu"}, root=tmp_path, origin=ORIGIN, candidate=True, simulated_cloud=None
    )


@pytest.fixture
def cloud(local, monkeypatch):
    """A deployment on a cloud; gathering is recorded and finds a folder."""
    asked = []
    monkeypatch.setattr(target, "gather", lambda origin, root, **_: asked.append(origin) or root / "collateral")
    found = replace(local, variables={"name": "toy", "cloud": "gcp"})
    return found, asked


def judged(deployment):
    return target_of(deployment, seconds=1, progress=quiet)


def test_the_local_vm_is_judged_by_the_ca_of_its_tpm_and_no_collateral(local):
    found = judged(local)
    assert (found.trust.kind, found.trust.file) == ("simulated", local.root / "tpm-ca.pem")
    assert (found.origin, found.collateral) == (ORIGIN, None)
    assert found.release == local.root / "release.candidate.json"
    assert judged(replace(local, candidate=False)).release == local.root / "release.json"


def test_a_cloud_is_judged_by_its_policy_file_and_collateral(cloud):
    deployment, asked = cloud
    (deployment.root / "release.candidate.json").write_bytes(b"{}")
    found = judged(deployment)
    assert (found.trust.kind, found.trust.file) == ("policy", deployment.root / "policy.toml")
    assert found.collateral == deployment.root / "collateral"
    assert asked == [ORIGIN]


def test_a_cloud_without_platform_values_says_what_to_do_and_asks_nobody(cloud):
    deployment, asked = cloud
    with pytest.raises(
        SpecError, match=rf"deploy_platform_values: .*observe the machine at {ORIGIN}.*deploy once more"
    ):
        judged(deployment)
    assert asked == []


def test_a_pretended_cloud_without_platform_values_says_the_same(cloud):
    deployment, _ = cloud
    with pytest.raises(SpecError, match=r"deploy_platform_values: .*sign them with .*publisher.key"):
        judged(replace(deployment, simulated_cloud=Path("/tests/ca.pem")))


def test_a_pretended_cloud_is_judged_by_the_test_ca_that_was_named(cloud):
    deployment, asked = cloud
    (deployment.root / "release.candidate.json").write_bytes(b"{}")
    found = judged(replace(deployment, simulated_cloud=Path("/tests/ca.pem")))
    assert (found.trust.kind, found.trust.file, found.collateral) == ("simulated_cloud", Path("/tests/ca.pem"), None)
    assert asked == []


def test_without_an_origin_the_cloud_is_asked(local, monkeypatch):
    vm = Vm(name="toy", endpoint="https://203.0.113.5:443", running=True)
    monkeypatch.setattr(target, "find", lambda *_: vm)
    assert judged(replace(local, origin="")).origin == vm.endpoint


def test_a_deployment_that_is_not_there(local):
    with pytest.raises(CloudError, match="there is no deployment toy: deploy it first"):
        judged(replace(local, origin=""))
