"""Reading ``deploy_vm`` outside a playbook: with Ansible's own precedence, and nothing else of the inventory."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from provisioner.errors import SpecError
from provisioner.status import inventory
from provisioner.status.inventory import CHECKOUT, default_inventory, deploy_vm

HOSTS = "all:\n  hosts:\n    localhost:\n"


@pytest.fixture
def source(tmp_path):
    def write(text, hosts=HOSTS, host_vars=""):
        folder = tmp_path / "inventory"
        (folder / "group_vars").mkdir(parents=True)
        (folder / "host_vars").mkdir()
        (folder / "hosts.yml").write_text(hosts)
        (folder / "group_vars/all.yml").write_text(text)
        if host_vars:
            (folder / "host_vars/localhost.yml").write_text(host_vars)
        return folder

    return write


@pytest.mark.parametrize(("name", "cloud"), [("local", "qemu"), ("gcp", "gcp"), ("azure", "azure")])
def test_our_own_inventories(name, cloud):
    assert deploy_vm(CHECKOUT / "inventories" / name)["cloud"] == cloud


def test_the_default_is_what_ansible_cfg_names(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANSIBLE_INVENTORY", raising=False)
    assert default_inventory() == CHECKOUT / "inventories/local"


def test_outside_a_checkout_an_inventory_must_be_named(monkeypatch, tmp_path):
    monkeypatch.setattr(inventory, "CHECKOUT", tmp_path)
    with pytest.raises(SpecError, match="-i: expected an inventory: this code is in no checkout"):
        default_inventory()


def test_a_name_is_what_deploy_name_is_on_the_command_line():
    told = deploy_vm(CHECKOUT / "inventories/azure", "other")
    assert (told["name"], told["resource_group"]) == ("other", "vitrine-other")


def test_a_host_says_more_than_its_groups_and_values_have_plain_types(source):
    folder = source("deploy_vm: {name: a}\n", host_vars="size: 3\ndeploy_vm: {name: b, size: '{{ size }}'}\n")
    told = deploy_vm(folder)
    assert told == {"name": "b", "size": 3}
    assert {type(value) for value in told.values()} == {str, int}


def test_nothing_else_is_resolved(source):
    folder = source('deploy_vm: {name: a}\nother: \'{{ lookup("ansible.builtin.pipe", "touch ran") }}\'\n')
    deploy_vm(folder)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("fault", "text", "said"),
    [
        ("no deploy_vm", "x: 1\n", "deploy_vm: expected a mapping .* got NoneType"),
        ("a list", "deploy_vm: [1]\n", "deploy_vm: expected a mapping .* got list"),
        ("what nobody says", "deploy_vm: {name: '{{ nobody }}'}\n", "'nobody' is undefined"),
        ("a file that is not there", "deploy_vm: {name: \"{{ lookup('file', '/nowhere') }}\"}\n", "/nowhere|lookup"),
        ("broken YAML", "deploy_vm: {name: [}\n", "inventory"),
    ],
)
def test_an_inventory_that_does_not_say_it(source, fault, text, said):
    with pytest.raises(SpecError, match=said):
        deploy_vm(source(text))


def test_an_inventory_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match=r"-i: expected an inventory, such as inventories/local, got .*nowhere"):
        deploy_vm(tmp_path / "nowhere")


def test_a_name_that_the_inventory_does_not_follow_is_refused(source):
    with pytest.raises(SpecError, match=r"--name: expected a deploy_vm\.name that follows deploy_name, got 'fixed'"):
        deploy_vm(source("deploy_vm: {name: fixed}\n"), "other")


def test_the_command_is_found_and_loading_it_loads_neither_ansible_nor_a_cloud():
    (entry,) = [one for one in entry_points(group="vitrine.commands") if one.name == "status"]
    script = f"import sys, {entry.module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert not {"ansible", "azure", "google.cloud", "yaml", "provisioner.clouds"} & set(loaded.stdout.split())
