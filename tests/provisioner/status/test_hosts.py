"""Nodes as hosts: what is known of each, in groups; what is not known is an error, never an empty list."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from provisioner.clouds import Node, Vm
from provisioner.errors import CloudError, SpecError
from provisioner.status import hosts
from provisioner.status.deployment import Deployment
from provisioner.status.hosts import aged, require_others, survey
from provisioner.status.local import Local, Released
from provisioner.verdict import Verdict
from tests.provisioner.status.conftest import DAY, KEY, NOW

WHEN = NOW.replace(microsecond=0)


def node(name, **changes):
    return Node(**({"name": name, "address": "10.0.0.2", "running": True, "image": KEY[:40]} | changes))


def deployment(name="my-llm", nodes=(), cloud="gcp", verdict="accepted", **changes):
    vm = Vm(name=name, endpoint="https://192.0.2.1:443", running=True, nodes=nodes)
    judged = Verdict(when=WHEN, verdict=verdict, origin=vm.endpoint, policy="p", release=4, checks=9)
    release = Released(number=4, service="s", debug=False, not_before=WHEN - DAY, not_after=WHEN + 90 * DAY)
    local = Local(image=KEY, release=release, verdict=judged if verdict else None, faults=())
    return Deployment(**({"name": name, "cloud": cloud, "local": local, "vm": vm} | changes))


@pytest.fixture
def there(monkeypatch, tmp_path):
    """Let each inventory have the deployments that a test names."""
    found = {}
    monkeypatch.setattr(hosts, "deploy_vm", lambda source: {"source": source})
    monkeypatch.setattr(hosts, "look", lambda wanted: found[wanted.told["source"]])

    def surveyed(*deployments):
        found.clear()
        found.update({tmp_path / str(number): value for number, value in enumerate(deployments)})
        return survey(found, tmp_path, NOW)

    return surveyed


def test_every_node_is_a_host_with_what_is_known_of_it(there):
    told = there((deployment(nodes=(node("a"), node("b", running=False))),))
    assert list(told["hosts"]) == ["a.gcp", "b.gcp"]
    about = told["hosts"]["b.gcp"]
    assert about["vitrine_wrong"] == ["not running: b; run playbooks/deploy.yml"]
    wanted = {
        "ansible_connection": "sealed", "vitrine_deployment": "my-llm", "vitrine_endpoint": "https://192.0.2.1:443",
        "vitrine_address": "10.0.0.2", "vitrine_image": KEY[:40], "vitrine_running": False, "vitrine_release": 4,
        "vitrine_release_window": "valid", "vitrine_verdict": "accepted",
    }  # fmt: skip
    assert wanted.items() <= about.items()
    assert told["groups"] == {
        name: ["a.gcp", "b.gcp"] for name in ("cloud_gcp", "deployment_my_llm", "verdict_accepted")
    }
    assert json.loads(json.dumps(told)) == told  # it can be cached


def test_ages_are_of_now_whatever_is_cached(there):
    told = there((deployment(nodes=(node("a"),)), deployment("other", (node("b"),), verdict="")))
    later = aged(told["hosts"], WHEN + timedelta(hours=5))
    assert later["a.gcp"]["vitrine_verdict_age_seconds"] == 5 * 3600
    assert later["b.gcp"]["vitrine_verdict_age_seconds"] is None
    assert later["b.gcp"]["vitrine_verdict"] == "none"


def test_a_refused_node_is_in_a_group_of_its_own(there):
    told = there((deployment(nodes=(node("a"),)), deployment("other", (node("b"),), verdict="refused")))
    assert (told["groups"]["verdict_refused"], told["groups"]["verdict_accepted"]) == (["b.gcp"], ["a.gcp"])


def test_a_machine_that_is_not_made_yet_is_no_host(there):
    waiting = node("prod-1 (no such machine in this zone now)", address="", running=False, image="")
    assert there((deployment(nodes=(waiting,)),))["hosts"] == {}


def test_a_deployment_without_machines_has_groups_without_hosts(there):
    told = there((deployment(vm=None),))
    assert (told["hosts"], told["groups"]["deployment_my_llm"]) == ({}, [])


def test_a_cloud_that_cannot_be_asked_is_an_error(there):
    with pytest.raises(CloudError, match="my-llm: no credentials"):
        there((deployment(nodes=(node("a"),)),), (deployment(vm=None, refusal="no credentials"),))


def test_a_deployment_that_two_inventories_have_is_an_error(there):
    one = deployment(nodes=(node("a"),))
    with pytest.raises(SpecError, match=r"inventories: expected each deployment once, got a\.gcp twice"):
        there((one,), (one,))


@pytest.mark.parametrize("where", [".", "..", "nodes.vitrine.yml"])
def test_an_inventory_that_would_read_itself_is_refused(tmp_path, where):
    config = tmp_path / "inventory" / "nodes.vitrine.yml"
    with pytest.raises(SpecError, match=r"inventories that nodes\.vitrine\.yml does not lie in"):
        require_others(config, [config.parent / where])
    require_others(config, [tmp_path / "other"])
