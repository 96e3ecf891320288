"""The inventory of nodes as Ansible reads it, and the connection that leads to none of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGURATION = "plugin: vitrine\ninventories: [there]\n"
GROUP_VARS = "deploy_vm: {name: %s, cloud: qemu, port: 8443}\n"
BUILD = """
import pathlib, provisioner.status.run
provisioner.status.run.BUILD = pathlib.Path({build!r})
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout without tests, whose build is empty: sitecustomize says so to the processes that are started."""
    (tmp_path / "plugins").symlink_to(REPOSITORY / "plugins")
    (tmp_path / "sitecustomize.py").write_text(BUILD.format(build=str(tmp_path / "build")))
    shutil.copyfile(REPOSITORY / "ansible.cfg", tmp_path / "ansible.cfg")
    folder = tmp_path / "inventories"
    (folder / "there/group_vars").mkdir(parents=True)
    (folder / "there/hosts.yml").write_text("all: {hosts: {localhost: }}\n")
    (folder / "there/group_vars/all.yml").write_text(GROUP_VARS % "nobody-deployed-this")
    (folder / "nodes.vitrine.yml").write_text(CONFIGURATION)
    return tmp_path


def ansible(checkout, program, *words, **environment):
    ours = {"ANSIBLE_CONFIG": str(checkout / "ansible.cfg"), "PYTHONPATH": f"{checkout}:{REPOSITORY}", **environment}
    argv = [Path(sys.executable).with_name(program), "-i", checkout / "inventories/nodes.vitrine.yml", *words]
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, env={**os.environ, **ours}, cwd=checkout, timeout=120
    )


def test_a_deployment_that_is_not_there_has_groups_and_no_hosts(checkout):
    done = ansible(checkout, "ansible-inventory", "--list")
    told = json.loads(done.stdout)
    assert told["_meta"]["hostvars"] == {}
    assert {"cloud_qemu", "verdict_none", "deployment_nobody_deployed_this"} <= set(told["all"]["children"])


@pytest.mark.parametrize(
    ("fault", "text", "said"),
    [
        ("no inventory is named", "plugin: vitrine\n", "Required config 'inventories'"),
        ("one that is not there", "plugin: vitrine\ninventories: [nowhere]\n", "such as inventories/local"),
        ("itself", "plugin: vitrine\ninventories: [.]\n", "inventories that nodes.vitrine.yml does not lie in"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_said(checkout, fault, text, said):
    (checkout / "inventories/nodes.vitrine.yml").write_text(text)
    done = ansible(checkout, "ansible-inventory", "--list", ANSIBLE_INVENTORY_UNPARSED_FAILED="true")
    assert done.returncode != 0
    assert said in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stdout + done.stderr


def test_a_cloud_without_credentials_is_an_error_and_no_empty_list(checkout):
    (checkout / "inventories/there/group_vars/all.yml").write_text(
        "deploy_vm: {name: prod, cloud: gcp, project: my-project, zone: europe-west4-a}\n"
    )
    nobody = {"GOOGLE_APPLICATION_CREDENTIALS": "", "CLOUDSDK_CONFIG": str(checkout), "NO_GCE_CHECK": "true"}
    done = ansible(checkout, "ansible-inventory", "--list", ANSIBLE_INVENTORY_UNPARSED_FAILED="true", **nobody)
    assert done.returncode != 0
    assert "no credentials: run `gcloud auth application-default login`" in " ".join(done.stderr.split())


def test_other_files_are_left_to_other_plugins(checkout):
    (checkout / "inventories/nodes.vitrine.yml").rename(checkout / "inventories/nodes.yml")
    words = [Path(sys.executable).with_name("ansible-inventory"), "-i", checkout / "inventories/there", "--list"]
    ours = {**os.environ, "ANSIBLE_CONFIG": str(checkout / "ansible.cfg"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=ours, cwd=checkout)
    assert "localhost" in json.loads(done.stdout)["_meta"]["hostvars"]


NODE = "node.qemu"
SURVEY = """
import provisioner.status.hosts as hosts, pathlib
asked = pathlib.Path({asked!r})
def survey(inventories, build, now):
    asked.write_text(asked.read_text() + "." if asked.exists() else ".")
    told = dict(ansible_connection="sealed", vitrine_verdict="accepted", vitrine_verdict_when="2026-01-31T12:00:00Z")
    return dict(hosts={{"node.qemu": told}}, groups=dict(verdict_accepted=["node.qemu"]))
hosts.survey = survey
"""


@pytest.fixture
def node(checkout):
    """One node that exists in an answer alone; how often it was asked for is written down."""
    (checkout / "sitecustomize.py").write_text(SURVEY.format(asked=str(checkout / "asked")))

    def call(program, *words, **environment):
        return ansible(checkout, program, *words, **environment)

    call.asked = lambda: len((checkout / "asked").read_text())
    return call


def test_facts_of_a_node_reach_a_task_that_runs_here(node):
    done = node("ansible", "verdict_accepted", "-m", "debug", "-a", "var=vitrine_verdict_age_seconds")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vitrine_verdict_age_seconds" in done.stdout


@pytest.mark.parametrize("words", [("ping",), ("command", "-a", "true"), ("copy", "-a", "content=x dest=/tmp/x")])
def test_nothing_is_run_on_a_node_and_the_reason_is_said(node, words):
    done = node("ansible", NODE, "-m", *words)
    assert done.returncode != 0
    assert "nobody can log in" in " ".join((done.stdout + done.stderr).split())


def test_the_cloud_is_asked_once_where_ansible_caches(node, checkout):
    (checkout / "inventories/nodes.vitrine.yml").write_text(CONFIGURATION + "cache: true\n")
    cache = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(checkout / "cache")}
    answers = [json.loads(node("ansible-inventory", "--list", **cache).stdout) for _ in range(2)]
    assert node.asked() == 1
    assert [list(one["_meta"]["hostvars"]) for one in answers] == [[NODE], [NODE]]
    node("ansible-inventory", "--list", "--flush-cache", **cache)
    assert node.asked() == 2


def test_without_a_cache_it_is_asked_each_time(node):
    for number in (1, 2):
        node("ansible-inventory", "--list")
        assert node.asked() == number
