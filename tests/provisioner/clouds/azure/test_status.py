"""The status of a deployment on the fake of Azure, through the vendor's own session."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial

import pytest

from provisioner.clouds import choice
from provisioner.clouds.azure import AzureVendor, plan
from provisioner.clouds.azure.session import log_in
from provisioner.clouds.remote import RemoteCloud
from provisioner.clouds.resources import Key
from provisioner.errors import CloudError
from provisioner.status.deployment import exit_code, wrong
from provisioner.status.look import Wanted, look
from tests.fakes.azure.effects import VM
from tests.fakes.cloud_api import Answer, Fault
from tests.provisioner.clouds.azure.conftest import KEYS, VARIABLES
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.status.conftest import bake, keep, publish

NOW = datetime.now(UTC)


@pytest.fixture
def looked(azure, tmp_path, monkeypatch):
    """Look as a new process does."""
    monkeypatch.setattr(choice, "CLOUDS", {"azure": lambda *_: azure.remote()})
    build = tmp_path / "build"
    bake(build / "toy", tmp_path / "images", KEYS[0])
    publish(build / "toy")

    def call(**more):
        return look(Wanted(told=VARIABLES, build=build, **more))

    call.root = build / "toy"
    return call


def accepted(azure, looked):
    azure.apply()
    keep(looked.root, origin=azure.session().vm("toy").endpoint)


def test_a_deployment_that_is_as_planned(azure, looked):
    accepted(azure, looked)
    before = len(azure.api.calls)
    (one,) = looked()
    assert (one.state, one.doors, wrong(one, NOW), exit_code((one,), NOW)) == ("running", (), (), 0)
    assert (one.things.leftover, one.things.missing, one.things.unfinished) == ((), (), ())
    assert [(node.running, node.image) for node in one.vm.nodes] == [(True, KEYS[0])]
    changing = {call.path.rpartition("/")[2] for call in azure.api.calls[before:] if call.method != "GET"}
    assert changing <= {"effectiveNetworkSecurityGroups"}  # which is asked for by a POST


def test_nothing_is_there(looked):
    (one,) = looked()
    assert (one.state, exit_code((one,), NOW)) == ("not deployed", 1)


def test_an_open_door_is_wrong(azure, looked):
    accepted(azure, looked)
    azure.cloud.of(VM)[-1].body["properties"]["diagnosticsProfile"] = {"bootDiagnostics": {"enabled": True}}
    (one,) = looked()
    assert len(one.doors) == 1
    assert wrong(one, NOW) == one.doors
    assert looked(doors=False)[0].doors is None


def test_a_machine_whose_interface_is_elsewhere_has_no_address_and_open_doors(azure, looked):
    accepted(azure, looked)
    (machine,) = azure.cloud.of(VM)
    machine.properties["networkProfile"]["networkInterfaces"] = [{"id": f"{machine.id}/elsewhere"}]
    machine.properties["diagnosticsProfile"] = {"bootDiagnostics": {"enabled": True}}
    (one,) = looked()
    assert [node.address for node in one.vm.nodes] == [""]
    assert ["boot diagnostics are on" in door or "is not in this resource group" in door for door in one.doors] == [
        True,
        True,
    ]
    assert (wrong(one, NOW), exit_code((one,), NOW)) == (one.doors, 1)


def test_doors_that_could_not_be_looked_at_are_wrong(azure, looked):
    accepted(azure, looked)
    refusal = {"error": {"code": "AuthorizationFailed", "message": "no action 'x' for you"}}
    asked = lambda call: "runCommands" in call.path  # noqa: E731
    azure.api.faults.append(Fault(asked, Answer(403, json.dumps(refusal).encode()), times=9))
    (one,) = looked()
    assert (one.doors, exit_code((one,), NOW)) == (None, 1)
    (said,) = wrong(one, NOW)
    assert said.startswith("nobody knows which doors are open, because the cloud could not be asked: ")
    assert exit_code(looked(doors=False), NOW) == 0


def test_without_the_image_nobody_knows_which_port_may_be_open(azure, looked, monkeypatch):
    accepted(azure, looked)
    monkeypatch.setattr(choice, "CLOUDS", {"azure": choice._azure})
    cloud = choice.cloud_of(VARIABLES, looked.root)
    assert cloud.listens() == 8443
    (looked.root / "image").unlink()
    with pytest.raises(CloudError, match="no image of it is on this machine"):
        cloud.listens()


def test_a_machine_that_was_stopped_does_not_run(azure, looked):
    accepted(azure, looked)
    (machine,) = azure.cloud.of(VM)
    machine.body["_seen"]["statuses"] = [{"code": "PowerState/deallocated"}]
    (one,) = looked(doors=False)
    assert one.state == "not running"
    assert wrong(one, NOW) == ("not running: toy; run playbooks/deploy.yml",)


def test_an_old_image_that_stayed_is_left_over(azure, looked):
    accepted(azure, looked)
    driver = azure.session().driver()
    old = plan(azure.spec(image=1))
    disk = next(one for one in old.resources if one.key.kind == "disk")
    driver.create(disk, old.mark(disk), progress=quiet)
    (one,) = looked()
    assert one.things.leftover == (str(disk.key),)
    assert f"{disk.key} is left over and may cost: run playbooks/deploy.yml" in wrong(one, NOW)


def test_without_its_machine_it_is_half_of_a_deployment(azure, looked):
    accepted(azure, looked)
    azure.session().driver().delete(Key("virtualMachine", "toy"), progress=quiet)
    (one,) = looked()
    assert (one.state, one.things.missing) == ("half-made", ("virtualMachine toy",))
    assert wrong(one, NOW)[0].startswith("it is half-made and may cost")


def test_no_login_is_one_line_and_what_is_known_here_is_shown(looked, monkeypatch, capfd):
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    made = RemoteCloud(AzureVendor(VARIABLES, partial(log_in, progress=quiet)), lambda: 8443)
    monkeypatch.setattr(choice, "CLOUDS", {"azure": lambda *_: made})
    keep(looked.root)
    (one,) = looked()
    assert (one.state, exit_code((one,), NOW)) == ("not asked", 3)
    assert "log in (`az login`)" in one.refusal
    assert "\n" not in one.refusal
    assert one.local.verdict.verdict == "accepted"
    assert capfd.readouterr().err == ""


def test_a_cloud_that_refuses_is_said(azure, looked):
    accepted(azure, looked)
    refusal = {"error": {"code": "AuthorizationFailed", "message": "no action 'Microsoft.Compute/disks/read' for you"}}
    azure.api.faults.append(Fault(lambda _call: True, Answer(403, json.dumps(refusal).encode()), times=9))
    (one,) = looked()
    assert exit_code((one,), NOW) == 3
    assert "Microsoft.Compute/disks/read" in one.refusal
