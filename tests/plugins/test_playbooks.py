"""What the playbooks hand to our actions: arguments that exist, from variables that the inventory names."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provisioner.keys import public_pem
from provisioner.variables import MADE, OPERATOR

REPOSITORY = Path(__file__).resolve().parents[2]
INVENTORY = yaml.safe_load((REPOSITORY / "inventories/local/group_vars/all.yml").read_text())
ACTIONS = {path.stem: path for path in (REPOSITORY / "plugins/action").glob("*.py")}


ISSUER = public_pem(Ed25519PrivateKey.generate()).decode()


def tasks():
    for path in sorted((REPOSITORY / "playbooks").rglob("*.yml")):
        for play in yaml.safe_load(path.read_text()):
            # A file of tasks is a list of them.
            yield from ((path.name, task) for task in play.get("tasks", () if "hosts" in play else (play,)))


OURS = [
    pytest.param(name, task[name], id=f"{page}-{name}") for page, task in tasks() for name in set(task) & set(ACTIONS)
]


def arguments(name):
    """The specification in a plugin's source: importing it would need Ansible's loader."""
    for node in ast.parse(ACTIONS[name].read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ARGUMENTS":
            return {
                key.value: ast.unparse(value) for key, value in zip(node.value.keys, node.value.values, strict=True)
            }
    raise AssertionError(f"{name} has no ARGUMENTS")


@pytest.mark.parametrize(("name", "given"), OURS)
def test_every_argument_exists_and_none_that_is_required_is_missing(name, given):
    wanted = arguments(name)
    assert set(given) <= set(wanted)
    assert {key for key, value in wanted.items() if "'required': True" in value} <= set(given)


@pytest.mark.parametrize(("name", "given"), OURS)
def test_every_variable_of_the_operators_is_in_the_inventory(name, given):
    used = set(re.findall(r"\b((?:bake|deploy|rollout)_[a-z_]+)", str(given)))
    of_other_inventories = set(re.findall(r"\b([a-z_]+) \| default\(omit(?:, true)?\)", str(given)))
    assert used - set(MADE) <= set(INVENTORY) | (of_other_inventories & set(OPERATOR))


def play(page, *options, inventory="local", **variables):
    ours = {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "1000"}
    argv = [Path(sys.executable).with_name("ansible-playbook"), REPOSITORY / "playbooks" / page]
    argv += ["-i", REPOSITORY / "inventories" / inventory, "-e", json.dumps(variables), *options]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **ours}, cwd=REPOSITORY)


@pytest.mark.parametrize(
    ("page", "variables", "said"),
    [
        ("destroy.yml", {"deploy_vm": {"name": "../x"}}, "inventory: deploy_vm.name: expected a lower-case letter"),
        ("destroy.yml", {"deploy_vm": {"name": "x", "cloud": "nimbus"}}, "inventory: deploy_vm.cloud: expected one of"),
        (
            "verify.yml",
            {"deploy_name": "nobody-made-this"},
            "acceptance: there is no deployment nobody-made-this: deploy it first",
        ),
        ("bake.yml", {"bake_mode": "production"}, "inventory: bake_mode: expected release or test"),
        (
            "bake.yml",
            {"gateway_access": "tokens"},
            "inventory: gateway_token_issuer_key: expected the issuer's public key",
        ),
        (
            "bake.yml",
            {"gateway_access": "tokens", "gateway_token_issuer_key": ISSUER, "gateway_token_service": "another"},
            "inventory: gateway_token_service: expected 'vitrine-local', as deploy_service is",
        ),
    ],
)
def test_a_mistake_of_an_operator_is_said_once_and_not_as_a_traceback(page, variables, said):
    done = play(page, **variables)
    text = " ".join((done.stdout + done.stderr).split())
    (told,) = re.findall(r"\[ERROR\]: (Task failed: .*?) Origin:", text)
    assert re.match(f"Task failed: {said}", told)
    assert told.count(said.rpartition(": ")[2]) == 1
    assert "Traceback" not in text


def refused(done):
    """The one thing that a play said was wrong, and that no later step was tried."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "ok=0" in done.stdout
    (told,) = re.findall(r"\[ERROR\]: (Task failed: .*?)\nOrigin:", done.stdout + done.stderr, re.DOTALL)
    return told.removeprefix("Task failed: ")


@pytest.mark.parametrize("page", ["bake.yml", "deploy.yml", "rollout.yml", "verify.yml", "destroy.yml"])
@pytest.mark.parametrize("options", [(), ("--check",)], ids=["really", "in check mode"])
def test_every_playbook_begins_with_the_inventory_and_tells_every_fault_at_once(page, options):
    wrong = {"deploy_prot": 1, "deploy_seconds": "soon", "deploy_platform_values": "/nowhere/values.json"}
    wrong |= {"deploy_name": "nobody-made-this"}
    told = refused(play(page, *options, **wrong)).splitlines()
    assert told[0] == "inventory:"
    for said in (
        "  deploy_prot: expected deploy_port, got a variable that nothing reads",
        "  deploy_seconds: expected a number of seconds, at least 1, got 'soon'",
        "  deploy_platform_values: expected the path of a file that is there, or nothing, got '/nowhere/values.json'",
    ):
        assert said in told


@pytest.mark.parametrize(
    ("inventory", "options", "said"),
    [
        ("nowhere", (), "-i: expected an inventory, such as inventories/local .*nowhere, which is not there"),
        ("gcp", ("-i", str(REPOSITORY / "inventories/azure")), "-i: expected one inventory: of several the last"),
        ("local", ("-e", "deploy_vm={name: x}"), "deploy_vm: expected a mapping with a name"),
        ("local", ("-e", "{deploy_vm: {cloud: qemu}}"), "deploy_vm.name: expected a value, got nothing"),
        ("local", ("-e", "{deploy_vm: {name: '{{ nobody }}'}}"), "deploy_vm: expected a value that can be resolved"),
        ("local", ("-e", "memory_mib=2048"), "-e memory_mib: expected a change of memory_mib in the inventory's"),
        ("gcp", ("-e", "replicas=3"), "-e replicas: expected a change of replicas in the inventory's deploy_vm"),
        ("gcp", ("-e", "deploy_port=443"), "-e deploy_port: expected a variable that the inventory's deploy_vm"),
        ("azure", ("-e", "deploy_secure_boot=true"), "-e deploy_secure_boot: expected a variable that the"),
        ("gcp", ("-e", "{deploy_vm: {name: prod, cloud: gcp}}"), "deploy_vm.project: expected a value, got nothing"),
        ("gcp", ("-e", "reservation=mine"), "-e reservation: expected a change of reservation in the inventory's"),
    ],
)
def test_what_the_command_line_cannot_mean_is_said_before_the_bake(inventory, options, said):
    assert re.search(said, refused(play("deploy.yml", "--check", *options, inventory=inventory)))


@pytest.mark.parametrize(("inventory", "key"), [("gcp", "project"), ("azure", "subscription")])
def test_an_inventory_that_nobody_changed_is_refused_in_a_real_run(inventory, key):
    told = refused(play("deploy.yml", inventory=inventory, bake_output="/nowhere"))
    assert re.search(rf"deploy_vm\.{key}: expected a value of your own, got .*, which stands there as an example", told)


OPEN = {
    "name": "nobody-made-this", "cloud": "azure", "subscription": "00000000-0000-0000-0000-00000000feed",
    "resource_group": "x", "location": "eastus2", "size": "Standard_DC4as_v5", "client_networks": ["0.0.0.0/0"],
    "secure_boot": True,
}  # fmt: skip


def test_a_plan_says_first_what_it_comes_to_and_last_what_to_be_warned_of():
    done = play("deploy.yml", "--check", "--diff", inventory="azure", deploy_vm=OPEN)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout.partition("Launch what the inventory says")[2].splitlines()[1:]
    assert shown[0].startswith("nobody-made-this: eastus2, in the resource group x of subscription")
    assert shown[1:3] == ["  machines: 1 x Standard_DC4as_v5", "  may connect: 0.0.0.0/0"]
    assert shown[3].startswith("nobody-made-this has ")
    first = next(number for number, line in enumerate(shown) if line.startswith("resourceGroup "))
    assert "  costs while it exists, by meter:" in shown[:first]
    assert any(re.search("uploads .*boot.raw", line) for line in shown[:first])
    last = next(number for number, line in enumerate(shown) if line.startswith("changed: "))
    assert any(line.startswith("warning: ") and "Internet" in line for line in shown[:first])
    assert any(line.startswith("warning: ") and "Internet" in line for line in shown[last - 4 : last])
    assert "keys would be made in" in shown[last - 1]
    assert not (REPOSITORY / "build" / OPEN["name"]).exists()


def test_warnings_are_said_without_the_plan_too():
    done = play("deploy.yml", "--check", inventory="azure", deploy_vm=OPEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^  warning: .*Internet", done.stdout, re.MULTILINE)
    assert "keys would be made in" in done.stdout


@pytest.mark.parametrize("cloud", ["azure"])
def test_a_deployment_on_a_cloud_is_shown_whole_without_login_and_without_image(cloud):
    done = play("deploy.yml", "--check", "--diff", inventory=cloud)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in (
        "resourceGroup",
        "networkSecurityGroup",
        "loadBalancer",
        "disk",
        "galleryImageVersion",
        "virtualMachine",
    ):
        assert re.search(rf"^{kind} \S+", done.stdout, re.MULTILINE), kind


def test_one_time_limit_reaches_launch_and_acceptance():
    deploy = [task for page, task in tasks() if page == "deploy.yml"]
    waiting = [given for task in deploy for name, given in task.items() if name in ("vm_launch", "release_accept")]
    assert len(waiting) == 2
    assert all("deploy_seconds" in given["seconds"] for given in waiting)
