"""The Makefile's own refusals: what it is not for, before it sets anything up."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def make(*words, cwd=REPOSITORY):
    argv = ["make", "-f", str(REPOSITORY / "Makefile"), *words]
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("cloud", ["gcp", "azure"])
@pytest.mark.parametrize("target", ["deploy", "destroy", "verify", "ask", "pcr-table"])
def test_the_inventory_of_a_cloud_is_refused_with_the_page_that_says_how(cloud, target, tmp_path):
    """In a folder of its own: should it go on all the same, it finds nothing to set up or to destroy."""
    (tmp_path / "inventories").symlink_to(REPOSITORY / "inventories")
    done = make(target, f"INVENTORY=inventories/{cloud}", cwd=tmp_path)
    assert done.returncode == 2
    assert f"INVENTORY='inventories/{cloud}' is of a cloud" in done.stderr
    assert "docs/clouds/gcp.md and docs/clouds/azure.md say how to deploy there" in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "inventories"]


@pytest.mark.parametrize("cloud", ["gcp", "azure"])
def test_an_image_for_a_cloud_is_baked(cloud):
    done = make("-n", "bake", f"INVENTORY=inventories/{cloud}")
    assert done.returncode == 0
    assert f"ansible-playbook playbooks/bake.yml -i inventories/{cloud}" in done.stdout
    assert "deploy_port" not in done.stdout


@pytest.mark.parametrize("name", ["", "Local", "../x", "a b", "a-", "-a", "1a", "a" * 32])
def test_a_name_that_no_deployment_can_have(name):
    done = make("named", f"NAME={name}")
    assert (done.returncode, "a lower-case letter, then at most 30" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ["a", "a-b", "a" * 31])
def test_a_name_that_a_deployment_can_have(name):
    assert make("named", f"NAME={name}").returncode == 0
