"""The plan, read as a whole once per kind of machine, and what every plan keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioner.clouds.gcp import GcpSpec
from provisioner.clouds.gcp.plan import HEALTH_RANGES, plan
from provisioner.clouds.gcp.secure_boot import SecureBootKeys
from provisioner.clouds.interface import Rolling
from provisioner.errors import PlanError
from tests.fakes.gcp import discovery, rules
from tests.provisioner.clouds.gcp.conftest import CPU, GPU, GROUP, KEY, OTHER_KEY, TDX, image

GOLDEN = Path(__file__).parents[2] / "golden"
FOLDER = Path("/images/k")
FLEX = GPU | {"provisioning": "flex_start", "hours": 12}
RESERVED = GPU | {"provisioning": "reservation", "reservation": "ours"}
PLANS = {
    "n2d": CPU,
    "c3": TDX,
    "a3-spot": GPU,
    "a3-flex": FLEX,
    "a3-reserved": RESERVED,
    "a3-group": GROUP,
}
SCHEMAS = {
    "image": "Image", "network": "Network", "subnetwork": "Subnetwork", "firewall": "Firewall", "address": "Address",
    "health-check": "HealthCheck", "template": "InstanceTemplate", "instance": "Instance",
    "group": "InstanceGroupManager", "backend-service": "BackendService", "forwarding-rule": "ForwardingRule",
}  # fmt: skip
every = pytest.mark.parametrize("name", PLANS)


def planned(variables, key=OTHER_KEY):
    return plan(GcpSpec.from_vars(variables, image(FOLDER, key)))


def digests(made):
    return [(resource.key, resource.digest) for resource in made.resources]


def machines(made):
    for one in made.resources:
        if one.key.kind == "instance":
            yield one.body
        if one.key.kind == "template":
            yield one.body["properties"]


def as_json(made):
    return [
        {"kind": one.key.kind, "name": one.key.name, "needs": [str(key) for key in one.needs], "meter": one.meter,
         "body": one.body} for one in made.resources
    ]  # fmt: skip


@every
def test_golden(name):
    # A change here changes what is had, what it costs, or who may reach it: review it as such.
    found = json.loads(json.dumps(as_json(planned(PLANS[name]))))
    assert found == json.loads((GOLDEN / f"gcp-{name}.json").read_text())


@every
def test_googles_own_schema_takes_every_body(name):
    for one in planned(PLANS[name]).resources:
        if one.key.kind in SCHEMAS:
            discovery.check(SCHEMAS[one.key.kind], json.loads(json.dumps(one.body)), asked=True)


@every
def test_what_every_machine_keeps(name):
    (body,) = machines(planned(PLANS[name]))
    assert body["confidentialInstanceConfig"]["enableConfidentialCompute"]
    assert body["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert body["serviceAccounts"] == []
    assert body["shieldedInstanceConfig"]["enableVtpm"]
    told = {item["key"]: item["value"] for item in body["metadata"]["items"]}
    assert {key for key, value in told.items() if value == "TRUE"} == {"block-project-ssh-keys"}
    assert not {"ssh-keys", "startup-script", "user-data", "gce-container-declaration"} & set(told)
    assert [(disk["boot"], disk["mode"]) for disk in body["disks"]] == [(True, "READ_WRITE"), (False, "READ_ONLY")]
    assert all(disk["interface"] == "NVME" and disk["autoDelete"] for disk in body["disks"])


@every
def test_nothing_goes_out_and_only_clients_come_in(name):
    firewalls = [one.body for one in planned(PLANS[name]).resources if one.key.kind == "firewall"]
    (egress,) = [one for one in firewalls if one["direction"] == "EGRESS"]
    assert (egress["priority"], egress["denied"]) == (0, [{"IPProtocol": "all"}])
    for one in firewalls:
        if one is not egress:
            assert one["allowed"] == [{"IPProtocol": "tcp", "ports": ["8443"]}]
            assert set(one["sourceRanges"]) <= {*PLANS[name]["client_ranges"], *HEALTH_RANGES}
    assert set(HEALTH_RANGES) == set(rules.HEALTH_RANGES)


def test_machines_behind_a_balancer_have_no_address_of_their_own():
    (alone,), (grouped,) = machines(planned(GPU)), machines(planned(GROUP))
    assert len(alone["networkInterfaces"][0]["accessConfigs"]) == 1
    assert grouped["networkInterfaces"][0]["accessConfigs"] == []


def test_another_image_is_another_name_and_the_address_stays():
    one, other = planned(CPU, "a" * 64), planned(CPU, "b" * 64)
    changed = {
        str(a.key)
        for a, b in zip(one.resources, other.resources, strict=True)
        if (a.key, a.digest) != (b.key, b.digest)
    }
    assert {key.split()[0] for key in changed} == {"object", "image", "instance"}


def test_secure_boot_puts_own_keys_into_the_boot_image_alone():
    spec = GcpSpec.from_vars(CPU, image(FOLDER))
    keys = SecureBootKeys("cGs=", "a2Vr", "ZGI=")
    made = plan(type(spec)(**{name: getattr(spec, name) for name in spec.__slots__} | {"secure_boot": keys}))
    boot, model = [one.body for one in made.resources if one.key.kind == "image"]
    assert boot["shieldedInstanceInitialState"]["dbs"] == [{"content": "ZGI=", "fileType": "X509"}]
    assert "shieldedInstanceInitialState" not in model
    assert any("must bear a signature" in text for text in made.warnings)


CHANGES = [
    {"name": "other"}, {"project": "other-project"}, {"zone": "europe-west4-b"}, {"machine_type": "n2d-standard-4"},
    {"provisioning": "spot"}, {"replicas": 2}, {"boot_disk_gib": 11},
    {"model_disk_gib": 11}, {"subnet": "10.65.0.0/24"},
    {"client_ranges": ["203.0.113.0/25"]}, {"bucket": "another-bucket"}, {"labels": {"team": "a"}},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_difference_shows_in_some_digest(change):
    assert digests(planned(CPU | change)) != digests(planned(CPU))
    assert digests(planned(CPU)) == digests(planned(CPU))


def test_what_people_should_know_is_a_warning():
    assert "CloudVouchedBoot" in " ".join(planned(CPU).warnings)
    assert "after 12 h" in " ".join(planned(FLEX).warnings)
    assert "delete a machine at any time" in " ".join(planned(GPU).warnings)


@every
def test_no_money_is_named(name):
    text = "\n".join(planned(PLANS[name]).lines())
    assert not any(sign in text for sign in "$€£")
    assert "costs while it exists: " in text


def rolled(step):
    return plan(GcpSpec.from_vars(GROUP, image(FOLDER, OTHER_KEY)), Rolling(old=KEY[:16], step=step))


OLD_GROUP, NEW_GROUP = f"prod-{KEY[:16]}", f"prod-{OTHER_KEY[:16]}"
STEPS = {"stage": [OLD_GROUP], "overlap": [OLD_GROUP, NEW_GROUP], "drain": [NEW_GROUP], "back": [OLD_GROUP]}


@pytest.mark.parametrize("step", STEPS)
def test_each_step_leads_clients_to_its_groups_and_keeps_the_old_one(step):
    made = rolled(step)
    bodies = {str(one.key): one.body for one in made.resources}
    service = bodies["backend-service europe-west4/prod"]
    assert [one["group"].rpartition("/")[2] for one in service["backends"]] == STEPS[step]
    assert (f"group europe-west4-a/{NEW_GROUP}" in bodies) == (step != "back")
    assert {str(key) for key in made.kept} == {
        *(f"object my-project-vitrine/prod-{disk}-{KEY[:16]}.tar.gz" for disk in ("boot", "model")),
        *(f"image prod-{disk}-{KEY[:16]}" for disk in ("boot", "model")),
        f"template {OLD_GROUP}",
        f"group europe-west4-a/{OLD_GROUP}",
    }


@pytest.mark.parametrize("step", STEPS)
def test_machines_on_trial_have_an_endpoint_of_their_own_and_no_other_time(step):
    names = {one.key.name: one.body for one in rolled(step).resources if one.key.name.endswith("/prod-staging")}
    assert bool(names) == (step == "stage")
    for one in rolled("stage").resources:
        if one.key.kind == "backend-service":
            # The same machine each time would be met; and clients shall meet few.
            expected = "NONE" if one.key.name.endswith("staging") else "CLIENT_IP"
            assert one.body["sessionAffinity"] == expected


@pytest.mark.parametrize("step", STEPS)
def test_googles_schema_takes_the_bodies_of_every_step(step):
    for one in rolled(step).resources:
        if one.key.kind in SCHEMAS:
            discovery.check(SCHEMAS[one.key.kind], json.loads(json.dumps(one.body)), asked=True)


def test_the_steps_differ_in_the_balancer_alone():
    found = {step: {one.key: one.digest for one in rolled(step).resources} for step in ("overlap", "drain")}
    differ = {key.kind for key, digest in found["overlap"].items() if found["drain"][key] != digest}
    assert (differ, found["overlap"].keys()) == ({"backend-service"}, found["drain"].keys())


def test_one_machine_is_not_rolled_over():
    with pytest.raises(PlanError, match="one machine is replaced, not rolled over"):
        plan(GcpSpec.from_vars(CPU, image(FOLDER)), Rolling(old=OTHER_KEY, step="stage"))
