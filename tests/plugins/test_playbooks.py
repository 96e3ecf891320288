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

from provisioner.variables import MADE, OPERATOR

REPOSITORY = Path(__file__).resolve().parents[2]
INVENTORY = yaml.safe_load((REPOSITORY / "inventories/local/group_vars/all.yml").read_text())
ACTIONS = {path.stem: path for path in (REPOSITORY / "plugins/action").glob("*.py")}


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
    ours = {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "PYTHONPATH": str(REPOSITORY)}
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
    ],
)
def test_a_mistake_of_an_operator_is_said_once_and_not_as_a_traceback(page, variables, said):
    done = play(page, **variables)
    text = " ".join((done.stdout + done.stderr).split())
    (told,) = re.findall(r"\[ERROR\]: (Task failed: .*?) Origin:", text)
    assert re.match(f"Task failed: {said}", told)
    assert told.count(said.rpartition(": ")[2]) == 1
    assert "Traceback" not in text


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
