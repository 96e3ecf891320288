"""By which files a deployment is judged, and what is missing on a cloud before there can be a release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioner import target
from provisioner.clouds import Image, Vm
from provisioner.errors import CloudError, SpecError
from provisioner.launch import write_policy
from provisioner.target import Deployment, target_of
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.clouds.gcp.conftest import CPU

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


def test_a_candidate_is_judged_by_the_policy_that_comes_with_it_and_a_release_by_its_own(cloud):
    deployment, _ = cloud
    for name in ("release.candidate.json", "release.json"):
        (deployment.root / name).write_bytes(b"{}")
    (deployment.root / "policy.candidate.toml").write_text("version = 1\n")
    assert judged(deployment).trust.file == deployment.root / "policy.candidate.toml"
    assert judged(replace(deployment, candidate=False)).trust.file == deployment.root / "policy.toml"


@pytest.mark.parametrize(
    ("published", "given", "written"),
    [
        (False, None, "policy.toml"),
        (False, "another", "policy.toml"),
        (True, "another", "policy.candidate.toml"),
        (True, None, "policy.candidate.toml"),
        (True, "the same", "policy.toml"),
    ],
)
def test_a_policy_that_clients_were_given_stays_until_the_next_release(tmp_path, published, given, written):
    image = Image(key="1a2b" * 16, boot_disk=tmp_path, model_disk=tmp_path, gateway_port=8443, firmware=tmp_path)
    if published:
        (tmp_path / "release.json").write_text("{}")
    text = write_policy(CPU, image, tmp_path / "elsewhere").read_text()
    if given is not None:
        (tmp_path / "policy.toml").write_text(text if given == "the same" else given)
    (tmp_path / "policy.candidate.toml").write_text("of a run before")
    assert write_policy(CPU, image, tmp_path) == tmp_path / written
    assert (tmp_path / written).read_text() == text
    if written != "policy.toml":
        assert not (tmp_path / "policy.toml").exists() or (tmp_path / "policy.toml").read_text() == given
    assert (tmp_path / "policy.candidate.toml").exists() == (written != "policy.toml")


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
