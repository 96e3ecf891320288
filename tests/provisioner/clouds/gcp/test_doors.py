"""Every door that somebody can open afterwards, in the console or in the project's own settings, stops publication."""

from __future__ import annotations

import json

import pytest

from provisioner.errors import CloudError
from tests.fakes.cloud_api import Answer, Fault
from tests.provisioner.clouds.gcp.conftest import CPU, GROUP

SHUT = "open doors, nothing is published"


def machine(lab):
    return next(one for url, one in lab.project.resources.items() if "/instances/" in url)


def metadata(key, value):
    def opened(lab):
        items = machine(lab)["metadata"]["items"]
        items[:] = [one for one in items if one["key"] != key] + [{"key": key, "value": value}]

    return opened


def change(path, value):
    def opened(lab):
        *inner, last = path
        found = machine(lab)
        for step in inner:
            found = found[step] if not isinstance(found, dict) or step in found else found.setdefault(step, {})
        found[last] = value

    return opened


def rule(name, **changes):
    return lambda lab: lab.project.resources[f"global/firewalls/{name}"].update(changes)


def added(name, **body):
    def opened(lab):
        network = "projects/my-project/global/networks/prod"
        lab.project.resources[f"global/firewalls/{name}"] = {"name": name, "network": network, **body}

    return opened


def policy(**told):
    return lambda lab: lab.project.policies.append({"shortName": "org", "rules": [told]})


def second_card(lab):
    """Put a machine into another network, which lets everything in."""
    network = "projects/my-project/global/networks/default"
    machine(lab)["networkInterfaces"].append({"name": "nic1", "network": network, "networkIP": "10.128.0.9"})
    lab.project.resources["global/firewalls/wide"] = {"name": "wide", "network": network, **INGRESS}


def forged_group(lab):
    """Say that a group had made the machine, so that it needs no address of its own and health checks are let in."""
    machine(lab)["metadata"]["items"].append({"key": "created-by", "value": "projects/1/zones/z/x/prod"})


def port_22(lab):
    """Have the label and the rule say 22: each is right by the other."""
    machine(lab)["labels"]["vitrine-port"] = "22"
    rule("prod-service", allowed=[{"IPProtocol": "tcp", "ports": ["22"]}])(lab)


def third_disk(lab):
    source = "projects/my-project/zones/europe-west4-a/disks/x"
    machine(lab)["disks"].append({"boot": False, "deviceName": "x", "source": source})


CARD = ("networkInterfaces", 0)
ALL, TCP = [{"IPProtocol": "all"}], [{"IPProtocol": "tcp", "ports": ["8443"]}]
OURS = "vitrine deployment=prod digest=" + "0" * 40
THEIRS = "vitrine deployment=other digest=" + "0" * 40
INTO, STAYS_OPEN = "firewall prod-service lets more into", "no firewall rule of priority 0 denies"
INGRESS = {"direction": "INGRESS", "allowed": TCP}
DOORS = {
    "project keys are let in": (metadata("block-project-ssh-keys", "FALSE"), "block-project-ssh-keys is in effect"),
    "a console that takes input": (metadata("serial-port-enable", "TRUE"), "serial-port-enable is in effect TRUE"),
    "the console is logged": (metadata("serial-port-logging-enable", "true"), "serial-port-logging-enable is in"),
    "guest attributes": (metadata("enable-guest-attributes", "TRUE"), "enable-guest-attributes is in effect TRUE"),
    "OS Login": (metadata("enable-oslogin", "TRUE"), "enable-oslogin is in effect TRUE"),
    "OS Config": (metadata("enable-osconfig", "TRUE"), "enable-osconfig is in effect TRUE"),
    "OS inventory": (metadata("enable-os-inventory", "TRUE"), "enable-os-inventory is in effect TRUE"),
    "a container to run": (metadata("gce-container-declaration", "x"), "gce-container-declaration is in effect TRUE"),
    "an SSH key": (metadata("ssh-keys", "me:ssh-ed25519 x"), "metadata ssh-keys was added: `gcloud compute instances"),
    "a startup script": (metadata("startup-script", "#!/bin/sh"), "metadata startup-script was added"),
    "a script by URL": (metadata("startup-script-url", "gs://x"), "metadata startup-script-url was added"),
    "a shutdown script": (metadata("shutdown-script", "x"), "metadata shutdown-script was added"),
    "user data": (metadata("user-data", "#cloud-config"), "metadata user-data was added"),
    "an identity of Google's": (change(["serviceAccounts"], [{"email": "sa@x"}]), "acts as sa@x"),
    "no address": (change(["networkInterfaces", 0, "accessConfigs"], []), "has 0 external addresses instead of 1"),
    "sends as others": (change(["canIpForward"], True), "may send as others"),
    "a display": (change(["displayDevice", "enableDisplay"], True), "has a display"),
    "no vTPM": (change(["shieldedInstanceConfig", "enableVtpm"], False), "vTPM or integrity monitoring is off"),
    "no integrity monitoring": (
        change(["shieldedInstanceConfig", "enableIntegrityMonitoring"], False), "integrity monitoring is off"),
    "clients from everywhere": (rule("prod-service", sourceRanges=["0.0.0.0/0"]), INTO),
    "clients by tag": (rule("prod-service", sourceRanges=[], sourceTags=["x"]), INTO),
    "another port": (
        rule("prod-service", allowed=[{"IPProtocol": "tcp", "ports": ["22"]}]), INTO),
    "every port": (rule("prod-service", allowed=ALL), INTO),
    "our rule without our mark": (rule("prod-service", description="x"), INTO),
    "another deployment's mark": (rule("prod-service", description=THEIRS), INTO),
    "a rule for SSH": (
        added("ssh", direction="INGRESS", allowed=[{"IPProtocol": "tcp", "ports": ["22"]}], sourceRanges=["0.0.0.0/0"]),
        "firewall ssh lets more into the machines"),
    "a forged mark with a wider range": (
        added("more", description=OURS, sourceRanges=["198.51.100.0/24"], **INGRESS), "firewall more lets more into"),
    "a way out": (
        added("out", direction="EGRESS", allowed=ALL, destinationRanges=["0.0.0.0/0"]), "out lets more out of"),
    "the way out is not denied any more": (rule("prod-no-egress", disabled=True), STAYS_OPEN),
    "the way out is denied to some": (rule("prod-no-egress", targetTags=["x"]), STAYS_OPEN),
    "the way out is denied later": (rule("prod-no-egress", priority=1000), STAYS_OPEN),
    "the way out is denied in part": (
        rule("prod-no-egress", destinationRanges=["10.0.0.0/8"]), STAYS_OPEN),
    "only TCP is denied": (
        rule("prod-no-egress", denied=[{"IPProtocol": "tcp"}]), STAYS_OPEN),
    "connections are logged": (rule("prod-service", logConfig={"enable": True}), "prod-service logs connections"),
    "the organisation lets others in": (
        policy(action="allow", direction="INGRESS", priority=1), "policy org allows INGRESS"),
    "the organisation lets out": (policy(action="allow", direction="EGRESS", priority=1), "policy org allows EGRESS"),
}  # fmt: skip


@pytest.fixture
def deployed(lab):
    lab.launch(CPU)
    return lab


@pytest.mark.parametrize("door", DOORS)
def test_a_door_that_is_opened_afterwards(deployed, door):
    opened, said = DOORS[door]
    assert deployed.ready(CPU).running
    opened(deployed)
    with pytest.raises(CloudError, match=SHUT) as caught:
        deployed.ready(CPU)
    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["enable-oslogin", "serial-port-enable", "enable-guest-attributes"])
def test_the_projects_own_metadata_does_not_reach_a_machine_that_says_otherwise(deployed, key):
    deployed.project.metadata[key] = "TRUE"
    assert deployed.ready(CPU).running


@pytest.mark.parametrize("key", ["enable-oslogin", "serial-port-enable", "enable-guest-attributes"])
def test_a_door_that_the_project_opens_once_the_machines_own_word_is_gone(deployed, key):
    items = machine(deployed)["metadata"]["items"]
    items[:] = [one for one in items if one["key"] != key]
    deployed.project.metadata[key] = "TRUE"
    with pytest.raises(CloudError, match=f"{key} is in effect TRUE"):
        deployed.ready(CPU)


def test_a_policy_that_passes_on_or_is_off_is_no_door(deployed):
    deployed.project.policies.append(
        {
            "shortName": "org",
            "rules": [{"action": "goto_next"}, {"action": "allow", "disabled": True}, {"action": "deny"}],
        }
    )
    assert deployed.ready(CPU).running


@pytest.mark.parametrize(
    "text", ["VITRINE ready\r\nlogin: ", "VITRINE initrd\nKernel panic\n", "VITRINE ready\n\x1b[31mroot@"]
)
def test_another_image_that_talks_on_the_serial_port(deployed, text):
    deployed.project.serial = f"BdsDxe: starting\r\n{text}"
    with pytest.raises(CloudError, match="writes on the serial port, which administrators can read") as caught:
        deployed.ready(CPU)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", ["VITRINE initrd\r\nVITRINE ready\r\n", "anything of the firmware's\nVITRINE ready\n"])
def test_firmware_and_marker_lines_are_no_door(deployed, text):
    deployed.project.serial = text
    assert deployed.ready(CPU).running


@pytest.mark.parametrize(
    "text", ["", "BdsDxe: starting\n", "Debian GNU/Linux 12 prod ttyS0\nprod login: root\n", "VITRINE hello\n"]
)
def test_a_machine_that_never_says_what_our_image_says(deployed, text):
    deployed.project.serial = text
    with pytest.raises(CloudError, match="runs and has said nothing of our image"):
        deployed.ready(CPU)


@pytest.mark.parametrize("line", ["VITRINE prompt: a secret", "VITRINE-REFUSED no /proc", "VITRINE ready x"])
def test_a_line_that_only_looks_like_a_marker(deployed, line):
    deployed.project.serial = f"VITRINE ready\n{line}\n"
    with pytest.raises(CloudError, match="writes on the serial port") as caught:
        deployed.ready(CPU)
    assert repr(line) in str(caught.value)


def test_a_machine_that_still_boots_is_given_time(deployed):
    said = iter(["", "BdsDxe: starting\n"])
    deployed.project.console = lambda _: next(said, "BdsDxe: starting\nVITRINE initrd\n")
    assert deployed.ready(CPU).running


def test_a_machine_that_does_not_run_has_no_console(deployed):
    machine(deployed)["status"] = "TERMINATED"
    deployed.project.serial = ""
    assert deployed.cloud().open_doors("prod") == ()


@pytest.mark.parametrize("text", ["abc", "²", "99999", "-1", ""])
def test_a_label_that_is_no_port_leads_nowhere_else(deployed, text):
    machine(deployed)["labels"]["vitrine-port"] = text
    assert deployed.cloud().find("prod").endpoint == ""
    (door,) = deployed.cloud().open_doors("prod")
    assert "its label vitrine-port is not the image's port 8443" in door


def test_created_by_without_a_value_stops_neither_looking_nor_destroying(deployed):
    machine(deployed)["metadata"]["items"].append({"key": "created-by"})
    (door,) = deployed.cloud().open_doors("prod")
    assert "metadata created-by was added" in door
    deployed.destroy()
    assert deployed.project.leftovers() == []


def test_every_machine_of_a_group_is_looked_at(lab):
    lab.launch(GROUP)
    assert len(lab.ready(GROUP).nodes) == 2
    *_, last = (one for url, one in lab.project.resources.items() if "/instances/" in url)
    last["networkInterfaces"][0]["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "natIP": "192.0.2.1"}]
    last["serviceAccounts"] = [{"email": "sa@x"}]
    with pytest.raises(CloudError, match=f"{last['name']}: acts as sa@x.*{last['name']}: has 1 external addresses"):
        lab.ready(GROUP)


def looked_at(name):
    return lambda call: call.method == "GET" and call.path.endswith(f"/instances/{name}")


GONE = Answer(404, json.dumps({"error": {"code": 404, "message": "gone", "errors": [{"reason": "notFound"}]}}).encode())


def test_an_older_machine_that_goes_away_between_the_list_and_the_look_has_no_doors(lab):
    lab.launch(GROUP)
    lab.ready(GROUP)
    first, second = (one for url, one in lab.project.resources.items() if "/instances/" in url)
    for one in (first, second):
        one["serviceAccounts"] = [{"email": f"{one['name']}@x"}]
    lab.api.faults.append(Fault(looked_at(first["name"]), GONE))
    (door,) = lab.cloud(GROUP).open_doors("prod")
    assert door.startswith(f"{second['name']}: acts as")
    assert lab.api.faults[0].times == 0, "the machine was not looked at"


def test_machines_that_all_go_away_are_no_shut_doors(deployed):
    deployed.api.faults.append(Fault(looked_at("prod"), GONE))
    with pytest.raises(CloudError, match="there is no machine to look at"):
        deployed.cloud().open_doors("prod")


def test_all_open_doors_are_told_at_once(deployed):
    for door in ("OS Login", "clients from everywhere", "a display"):
        DOORS[door][0](deployed)
    with pytest.raises(CloudError, match=r"enable-oslogin.*display.*prod-service"):
        deployed.ready(CPU)


def test_health_checks_are_let_in_to_groups_alone(lab):
    lab.launch(CPU)
    added("health", description=OURS, sourceRanges=["35.191.0.0/16"], **INGRESS)(lab)
    with pytest.raises(CloudError, match="firewall health lets more into"):
        lab.ready(CPU)
