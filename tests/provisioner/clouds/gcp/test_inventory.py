"""The inventory that an operator copies, through Ansible as he runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from provisioner.clouds.gcp import GcpSpec
from provisioner.variables import OPERATOR
from tests.provisioner.clouds.gcp.conftest import CPU, GROUP, image

REPOSITORY = Path(__file__).resolve().parents[4]
VARIABLES = yaml.safe_load((REPOSITORY / "inventories/gcp/group_vars/all.yml").read_text())
SECRETS = re.compile(r"(?i)private_key|password|secret_|token:|BEGIN ")


def play(page, *arguments, **environment):
    ours = {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "PYTHONPATH": str(REPOSITORY)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "CLOUDSDK_"))}
    argv = [Path(sys.executable).with_name("ansible-playbook"), f"playbooks/{page}.yml", "-i", "inventories/gcp"]
    done = subprocess.run(
        [*argv, *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY,
        env={**kept, **ours, **environment}, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_check_run_prints_the_whole_plan_without_credentials_or_an_image(tmp_path):
    code, text = play("deploy", "--check", "--diff", "-e", f"bake_output={tmp_path}", HOME=str(tmp_path))
    assert code == 0, text
    for kind in ("bucket", "object", "image", "network", "subnetwork", "firewall", "address", "instance"):
        assert re.search(rf"^\+?{kind} \S+", text, re.MULTILINE), kind
    assert '"confidentialInstanceType": "TDX"' in text
    assert "would verify the endpoint of prod" in text or "failed=0" in text
    assert list(tmp_path.glob("*/boot.raw")) == []


def test_a_check_run_of_a_rollout_prints_what_will_be_there(tmp_path):
    told = json.dumps({"deploy_vm": GROUP, "attester_gpus": 1})
    code, text = play("rollout", "--check", "--diff", "-e", f"bake_output={tmp_path}", "-e", told, HOME=str(tmp_path))
    assert code == 0, text
    for kind in ("template", "group", "backend-service", "forwarding-rule"):
        assert re.search(rf"^\+?{kind} \S+", text, re.MULTILINE), kind


@pytest.mark.parametrize("inventory", [CPU, {"name": "toy", "cloud": "qemu", "port": 8443}], ids=["n2d", "local"])
def test_one_machine_is_not_rolled_over_and_that_is_one_sentence(inventory, tmp_path):
    told = json.dumps({"deploy_vm": inventory})
    code, text = play("rollout", "--check", "-e", f"bake_output={tmp_path}", "-e", told, HOME=str(tmp_path))
    assert code != 0
    assert "inventory: " in text
    assert "one machine is replaced, not rolled over: playbooks/deploy.yml" in " ".join(text.split())
    assert "Traceback" not in text


def test_a_check_run_of_a_wrong_inventory_lists_its_faults(tmp_path):
    wrong = json.dumps({"deploy_vm": CPU | {"machine_type": "g4-standard-48", "replicas": 0}})
    code, text = play("deploy", "--check", "-e", wrong, HOME=str(tmp_path))
    said = " ".join(text.split())
    assert code != 0
    assert "replicas: expected a whole number from 1 to 100" in said
    assert "g4 machines (Blackwell) are offered with SEV alone" in said
    assert "Traceback" not in said


def test_destroy_through_ansible_leaves_nothing_and_again_is_fine(lab):
    lab.launch(CPU)
    where = {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": lab.api.url,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": lab.api.url,
        "GOOGLE_APPLICATION_CREDENTIALS": str(lab.folder / "key.json"),
    }
    variables = json.dumps({"deploy_vm": CPU})
    code, text = play("destroy", "--check", "-e", variables, **where)
    assert (code, lab.has(CPU)) == (0, True), text
    code, text = play("destroy", "-e", variables, **where)
    assert (code, lab.project.leftovers()) == (0, []), text
    code, text = play("destroy", "-e", variables, **where)
    assert code == 0
    assert "there is nothing of prod in project" in text


def test_destroy_without_credentials_is_one_sentence(tmp_path):
    code, text = play("destroy", HOME=str(tmp_path), CLOUDSDK_CONFIG=str(tmp_path), NO_GCE_CHECK="true")
    assert code != 0
    assert "no credentials: run `gcloud auth application-default login`" in " ".join(text.split())
    assert "Traceback" not in text


def test_the_inventory_sets_what_an_operator_can_and_every_variable_of_a_machine(tmp_path):
    operators = {name for name in VARIABLES if not name.startswith("gateway_")}
    assert operators == set(OPERATOR) - {"deploy_port", "deploy_secure_boot"}  # both are of the machine here
    told = dict(VARIABLES["deploy_vm"]) | {"name": "prod"}
    spec = GcpSpec.from_vars(told, image(tmp_path))
    named = set(re.findall(r"\b[a-z_]+\b", (REPOSITORY / "inventories/gcp/group_vars/all.yml").read_text()))
    assert set(GcpSpec.__slots__) - {"place", "family", "port", "image"} <= named
    assert spec.replicas == 1


def test_no_secret_stands_in_the_inventory():
    for path in (REPOSITORY / "inventories/gcp").rglob("*.yml"):
        assert not SECRETS.search(path.read_text()), path
