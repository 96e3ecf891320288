"""`vitrine status` and the inventory of nodes, about a VM that really runs."""

from __future__ import annotations

import json

from tests.e2e.machine import BIN, CHECKOUT, run, vitrine
from tests.fakes.simulated_vm import TestCa


def status(vm, *words):
    return vitrine("status", "--name", vm.name, *words)


def test_deploying_kept_its_verdict(deployment):
    kept = json.loads((deployment.root / "verdict.json").read_bytes())
    assert (kept["verdict"], kept["release"], kept["rule"], kept["why"]) == ("accepted", 1, "", "")
    assert kept["checks"] > 20


def test_a_vm_that_runs_is_shown_judged_and_shown_again(linked, deployment):
    before = status(linked)
    assert before.status == 1
    assert "nobody here has judged it yet: vitrine status --verify" in before.out

    judged = status(linked, "--verify", "--json")
    assert judged.status == 0, judged.out + judged.err
    (told,) = json.loads(judged.out)["deployments"]
    node = {"name": linked.name, "address": "127.0.0.1", "running": True, "image": deployment.image.name}
    assert (told["state"], told["endpoint"], told["nodes"]) == ("running", linked.origin, [node])
    assert (told["verdict"]["verdict"], told["release"]["number"], told["wrong"]) == ("accepted", 1, [])

    assert status(linked).status == 0
    words = ("-i", CHECKOUT / "inventories/nodes.vitrine.yml", "--list")
    listed = json.loads(run(BIN / "ansible-inventory", *words).out)
    host = listed["_meta"]["hostvars"][f"{linked.name}.qemu"]
    # Ansible marks text that it will never take for a template.
    said = {name: host[f"vitrine_{name}"]["__ansible_unsafe"] for name in ("verdict", "image")}
    assert said == {"verdict": "accepted", "image": deployment.image.name}
    assert f"{linked.name}.qemu" in listed["verdict_accepted"]["hosts"]

    linked.destroy()
    gone = status(linked)
    assert gone.status == 1
    assert "it is not deployed" in gone.out


def test_a_vm_of_another_tpm_maker_is_refused_and_that_is_kept(linked):
    linked.tpm_ca.write_bytes(TestCa("another").pem)
    refused = status(linked, "--verify")
    assert (refused.status, "the last verdict is a refusal by K1" in refused.out) == (1, True)
    assert status(linked).status == 1
