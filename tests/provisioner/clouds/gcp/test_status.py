"""The status of a deployment on the fake of Google Cloud: asked through the ordinary choice of clouds, over TLS."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from provisioner.atomic import replace_link
from provisioner.clouds import choice
from provisioner.clouds.gcp import GcpVendor
from provisioner.clouds.remote import RemoteCloud
from provisioner.status.deployment import exit_code, wrong
from provisioner.status.look import Wanted, look
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.clouds.gcp.conftest import CPU, GROUP, KEY, OTHER_KEY, image
from tests.provisioner.status.conftest import bake, keep, publish

NOW = datetime.now(UTC)


@pytest.fixture
def looked(lab, monkeypatch):
    """Look as a new process does."""

    def cloud(told, root, _progress):
        return RemoteCloud(GcpVendor(told=told, folder=root / "uploads", connect=lab.login()), lambda: 8443)

    monkeypatch.setattr(choice, "CLOUDS", {"gcp": cloud})
    build = lab.folder / "build"
    bake(build / "prod", lab.folder / "images", KEY)
    publish(build / "prod")

    def call(variables=CPU, **more):
        return look(Wanted(told=variables, build=build, **more))

    call.root = build / "prod"
    return call


def accepted(lab, looked, variables=CPU):
    lab.launch(variables)
    keep(looked.root, origin=lab.cloud(variables).find("prod").endpoint)


@pytest.mark.parametrize("variables", [CPU, GROUP], ids=["one machine", "a group"])
def test_a_deployment_that_is_as_planned(lab, looked, variables):
    accepted(lab, looked, variables)
    changes = len(lab.changing())
    (one,) = looked(variables)
    assert (one.state, one.doors, wrong(one, NOW), exit_code((one,), NOW)) == ("running", (), (), 0)
    assert (one.things.leftover, one.things.missing, one.things.unfinished) == ((), (), ())
    facts = dict(one.vm.facts)
    count = variables.get("replicas", 1)
    # The fake says nothing of a disk's type.
    assert re.fullmatch(rf"{2 * count} x disk, [0-9]+ GiB together", facts["disks"])
    assert facts["addresses"] == "1 static"
    assert facts["images"] == facts["objects"] == "2, 0.00 GiB stored together"
    assert facts["balancers"] == ("none" if count == 1 else "1 forwarding rule")
    assert facts["provisioning"] == variables.get("provisioning", "standard").upper()
    assert len(lab.changing()) - changes == (count > 1)  # asking a group for its machines is a POST


def test_nothing_is_there(lab, looked):
    (one,) = looked()
    assert (one.state, exit_code((one,), NOW)) == ("not deployed", 1)


def test_an_open_door_is_wrong_and_says_how_to_shut_it(lab, looked):
    accepted(lab, looked)
    machine = next(one for url, one in lab.project.resources.items() if "/instances/" in url)
    machine["serviceAccounts"] = [{"email": "somebody@example.com"}]
    (one,) = looked()
    (told,) = wrong(one, NOW)
    assert "acts as somebody@example.com: `gcloud" in told
    assert looked(doors=False)[0].doors is None


def test_a_thing_that_is_in_no_plan_is_left_over(lab, looked):
    accepted(lab, looked)
    network = next(one for one in lab.project.resources.values() if one.get("autoCreateSubnetworks") is False)
    lab.project.resources["global/networks/prod-old"] = network | {"name": "prod-old", "id": "77"}
    (one,) = looked()
    assert one.things.leftover == ("network prod-old",)
    assert wrong(one, NOW) == ("network prod-old is left over and may cost: run playbooks/deploy.yml",)


def test_a_thing_that_somebody_removed_is_missing(lab, looked):
    accepted(lab, looked)
    del lab.project.resources["global/firewalls/prod-service"]
    (one,) = looked()
    assert one.things.missing == ("firewall prod-service",)


def test_a_machine_that_spot_took_back_does_not_run(lab, looked):
    accepted(lab, looked)
    next(one for url, one in lab.project.resources.items() if "/instances/" in url)["status"] = "TERMINATED"
    (one,) = looked(doors=False)
    assert one.state == "not running"
    assert any(text.startswith("not running: prod;") for text in wrong(one, NOW))
    assert any("stopped or half-made" in text for text in wrong(one, NOW))


def test_half_a_deployment(lab, looked):
    driver = lab.vendor().session().driver()
    plan = lab.vendor().plan(lab.vendor().spec(CPU, image(lab.disks)))
    network = next(one for one in plan.resources if one.key.kind == "network")
    driver.create(network, plan.mark(network), progress=quiet)
    (one,) = looked()
    assert one.state == "half-made"
    assert "network prod" not in one.things.missing
    assert wrong(one, NOW)[0].startswith("it is half-made")


def test_another_deployment_is_shown_without_doors_and_plan(lab, looked):
    accepted(lab, looked)
    lab.launch(CPU | {"name": "other", "bucket": "my-other-bucket"})
    first, second = looked()
    assert (first.name, second.name, second.state) == ("prod", "other", "running")
    assert (second.doors, second.things.leftover) == (None, None)
    assert [one.name for one in looked(alone=True)] == ["prod"]


def test_no_credentials_is_one_line_with_the_next_step(lab, looked, monkeypatch):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(lab.folder / "nothing"))
    keep(looked.root)
    (one,) = looked()
    assert (one.state, exit_code((one,), NOW)) == ("not asked", 3)
    assert "no credentials: run `gcloud auth application-default login`" in one.refusal
    assert "\n" not in one.refusal
    assert (one.local.release.number, one.local.verdict.verdict) == (1, "accepted")


def test_a_cloud_that_refuses_is_said_with_the_permission(lab, looked):
    accepted(lab, looked)
    lab.project.denied.add("compute.instances.list")
    (one,) = looked()
    assert exit_code((one,), NOW) == 3
    assert "compute.instances.list" in one.refusal


def test_without_an_image_here_nothing_is_called_left_over(lab, looked):
    accepted(lab, looked)
    (looked.root / "image").unlink()
    (one,) = looked()
    assert one.things.leftover is None
    assert "no image of it is on this machine" in one.things.why


def test_a_candidate_that_was_not_accepted_yet_is_what_is_planned(lab, looked):
    lab.launch(CPU)
    other = bake(lab.folder / "elsewhere", lab.folder / "images", OTHER_KEY)
    replace_link(looked.root / "image.candidate", (looked.root / "image").resolve())
    replace_link(looked.root / "image", other)
    (one,) = looked()
    assert one.things.leftover == ()
    assert any("and the published release of 5e6f5e6f5e6f" in text for text in wrong(one, NOW))
