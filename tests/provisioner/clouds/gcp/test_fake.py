"""The fake refuses what Google's description or documents refuse: else the tests against it would say nothing."""

from __future__ import annotations

import copy
import json
import re
import uuid

import pytest

from provisioner.clouds.gcp.driver import GcpDriver
from provisioner.clouds.resources import Key, Mark, Resource
from provisioner.errors import CloudError
from tests.fakes.cloud_api import Call, RefusedError
from tests.fakes.gcp import discovery, rules
from tests.fakes.gcp.google import TOKEN, Google
from tests.fakes.gcp.project import Project
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.clouds.gcp.conftest import CPU, GPU, GROUP, TDX, image
from tests.provisioner.clouds.gcp.test_plan import SCHEMAS

IMAGES = {"boot": {"diskSizeGb": "1", "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}, {"type": "GVNIC"}]}}


def ask(google, method, path, body=None, **query):
    raw = b"" if body is None else json.dumps(body).encode()
    answer = google(Call(method, path, query, {"Authorization": f"Bearer {TOKEN}"}, raw))
    return answer.status, json.loads(answer.body or b"{}")


@pytest.fixture
def google():
    return Google(Project())


NETWORKS = "/compute/v1/projects/my-project/global/networks"
UUID = "00000000-0000-4000-8000-000000000001"
SCHEMA = {
    "an unknown field": ({"name": "a", "mtuu": 1500}, 'Unknown name "mtuu"'),
    "an unknown field inside": ({"name": "a", "routingConfig": {"mode": "x"}}, 'Unknown name "mode"'),
    "text for a number": ({"name": "a", "mtu": "1500"}, "TYPE_INT32"),
    "a boolean for a number": ({"name": "a", "mtu": True}, "TYPE_DOUBLE"),
    "text for a boolean": ({"name": "a", "autoCreateSubnetworks": "no"}, "TYPE_BOOL"),
    "a number for text": ({"name": 7}, "TYPE_STRING"),
    "a list for an object": ({"name": "a", "routingConfig": []}, "expected an object"),
    "a bad name": ({"name": "Bad_Name"}, "Must be a match of regex"),
    "a bad word": ({"name": "a", "routingConfig": {"routingMode": "SOMEWHERE"}}, "No such enum constant"),
    "what Google alone writes": ({"name": "a", "creationTimestamp": "now"}, "output only"),
    "no body": (None, "missing its body"),
}


@pytest.mark.parametrize("fault", SCHEMA)
def test_a_body_that_the_schema_does_not_allow(google, fault):
    body, said = SCHEMA[fault]
    status, answer = ask(google, "POST", NETWORKS, body, requestId=UUID)
    assert status == 400
    assert said in answer["error"]["message"]
    assert answer["error"]["errors"][0]["reason"] == "invalid"
    assert google.project.resources == {}


def test_an_object_for_a_list_and_a_list_of_the_wrong_things():
    for ranges, said in (({}, "expected a list"), ([7], "TYPE_STRING")):
        with pytest.raises(RefusedError, match=said):
            discovery.check("Firewall", {"name": "a", "sourceRanges": ranges}, asked=True)


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("POST", "/compute/v1/projects/my-project/global/netwerks", {}, 404),
        ("PUT", NETWORKS, {}, 405),
        ("GET", NETWORKS, {"colour": "red"}, 400),
        ("GET", "/compute/v1/projects/other/global/networks", {}, 404),
        ("GET", "/compute/v1/projects/my-project/zones/nowhere/instances", {}, 400),
        ("GET", f"{NETWORKS}/absent", {}, 404),
        ("GET", NETWORKS, {"filter": "name ~ x"}, 400),
        ("GET", "/elsewhere", {}, 404),
    ],
)
def test_a_call_that_there_is_not(google, method, path, query, status):
    assert ask(google, method, path, **query)[0] == status


def test_a_request_id_that_is_none(google):
    with pytest.raises(ValueError, match="badly formed"):
        ask(google, "POST", NETWORKS, {"name": "a"}, requestId="x")


def test_the_same_request_id_is_the_same_operation_and_another_finds_the_name_taken(google):
    first = ask(google, "POST", NETWORKS, {"name": "a"}, requestId=UUID)
    assert ask(google, "POST", NETWORKS, {"name": "a"}, requestId=UUID)[1]["name"] == first[1]["name"]
    other = UUID.replace("1", "2")
    assert (
        ask(google, "POST", NETWORKS, {"name": "a"}, requestId=other)[1]["error"]["errors"][0]["reason"]
        == "alreadyExists"
    )


def test_an_operation_is_pending_then_running_then_done(google):
    name = ask(google, "POST", NETWORKS, {"name": "a"}, requestId=UUID)[1]["name"]
    wait = f"/compute/v1/projects/my-project/global/operations/{name}/wait"
    assert [ask(google, "POST", wait)[1]["status"] for _ in range(3)] == ["PENDING", "RUNNING", "DONE"]


def test_lists_come_in_pages(google):
    for number in range(5):
        google.project.resources[f"global/networks/n{number}"] = {"name": f"n{number}"}
    names, page = [], {}
    while True:
        _, found = ask(google, "GET", NETWORKS, **page)
        names += [one["name"] for one in found["items"]]
        if "nextPageToken" not in found:
            break
        page = {"pageToken": found["nextPageToken"]}
    assert names == ["n0", "n1", "n2", "n3", "n4"]


@pytest.fixture
def machine(disks):
    """A machine that Google takes, as our own plan has it, and what its disks are made from."""

    def made(variables=CPU):
        from provisioner.clouds.gcp import GcpSpec
        from provisioner.clouds.gcp.plan import plan

        (found,) = [
            one for one in plan(GcpSpec.from_vars(variables, image(disks))).resources if one.key.kind == "instance"
        ]
        body = copy.deepcopy(found.body)
        features = [{"type": word} for word in ("UEFI_COMPATIBLE", "GVNIC", "TDX_CAPABLE", "SEV_SNP_CAPABLE")]
        images = {
            one["initializeParams"]["sourceImage"]: {"diskSizeGb": "1", "guestOsFeatures": features}
            for one in body["disks"]
        }
        return body, images

    return made


def without(body, images, feature):
    for one in images.values():
        one["guestOsFeatures"] = [word for word in one["guestOsFeatures"] if word["type"] != feature]


UNSUPPORTED = "not supported for"
RULES = {
    "TDX on AMD": (
        CPU, lambda b, _: b["confidentialInstanceConfig"].update(confidentialInstanceType="TDX"), UNSUPPORTED),
    "SEV-SNP on Intel": (
        TDX, lambda b, _: b["confidentialInstanceConfig"].update(confidentialInstanceType="SEV_SNP"), UNSUPPORTED),
    "TDX on Blackwell": (GPU, lambda b, _: b.update(machineType="zones/z/machineTypes/g4-standard-48"), UNSUPPORTED),
    "SEV-SNP before Milan": (CPU, lambda b, _: b.pop("minCpuPlatform"), "minCpuPlatform AMD Milan"),
    "a move to another host": (
        TDX, lambda b, _: b["scheduling"].update(onHostMaintenance="MIGRATE"), "onHostMaintenance TERMINATE"),
    "no vTPM": (CPU, lambda b, _: b["shieldedInstanceConfig"].update(enableVtpm=False), "need the vTPM"),
    "an H100 on demand": (
        GPU, lambda b, _: b.update(scheduling={"onHostMaintenance": "TERMINATE"}, reservationAffinity={}), "use Spot"),
    "spot that restarts": (GPU, lambda b, _: b["scheduling"].update(automaticRestart=True), "automaticRestart false"),
    "an end without flex-start": (
        GPU, lambda b, _: b["scheduling"].update(maxRunDuration={"seconds": "60"}), "not expected here"),
    "a SCSI boot disk": (CPU, lambda b, _: b["disks"][0].update(interface="SCSI"), "interface NVME"),
    "an image without SEV-SNP": (CPU, lambda b, i: without(b, i, "SEV_SNP_CAPABLE"), "OS features: SEV_SNP_CAPABLE"),
    "an image without TDX": (TDX, lambda b, i: without(b, i, "TDX_CAPABLE"), "lacks guest OS features: TDX_CAPABLE"),
    "an image without UEFI": (TDX, lambda b, i: without(b, i, "UEFI_COMPATIBLE"), "UEFI_COMPATIBLE"),
    "an image without GVNIC": (TDX, lambda b, i: without(b, i, "GVNIC"), "GVNIC"),
    "a disk smaller than its image": (
        CPU, lambda _, i: [one.update(diskSizeGb="11") for one in i.values()], "cannot be smaller"),
}  # fmt: skip


@pytest.mark.parametrize("fault", RULES)
def test_a_machine_that_google_does_not_start(machine, fault):
    variables, spoil, said = RULES[fault]
    body, images = machine(variables)
    rules.machine(body, images)
    spoil(body, images)
    with pytest.raises(RefusedError, match=said):
        rules.machine(body, images)


def test_flex_start_has_an_end_within_seven_days(machine):
    flex = GPU | {"provisioning": "flex_start", "hours": 168}
    body, images = machine(flex)
    rules.machine(body, images)
    body["scheduling"]["maxRunDuration"]["seconds"] = str(169 * 3600)
    with pytest.raises(RefusedError, match="at most 7 days"):
        rules.machine(body, images)


ARCHIVES = [
    None, {"name": "disk.img", "size": 1 << 30, "format": b"ustar  \0"},
    {"name": "disk.raw", "size": (1 << 30) + 512, "format": b"ustar  \0"},
    {"name": "disk.raw", "size": 1 << 30, "format": b"ustar\x0000"},
]  # fmt: skip


@pytest.mark.parametrize("archive", ARCHIVES, ids=["no tar", "another name", "a broken size", "another format"])
def test_an_archive_that_google_does_not_import(archive):
    with pytest.raises(RefusedError):
        rules.image({"rawDisk": {"containerType": "TAR"}}, archive)


def test_what_is_in_use_cannot_go(lab):
    lab.launch(CPU)
    driver: GcpDriver = lab.vendor(CPU).session().driver()
    for key in (Key("network", "prod"), Key("subnetwork", "europe-west4/prod"), Key("address", "europe-west4/prod")):
        with pytest.raises(
            CloudError, match=r"something else still uses it: remove that first .*already being used by"
        ):
            driver.delete(key, progress=quiet)
    with pytest.raises(CloudError, match="not empty"):
        driver.delete(Key("bucket", CPU["bucket"]), progress=quiet)


def test_what_a_body_names_must_be_there(lab):
    body = {"name": "prod", "network": "projects/my-project/global/networks/absent", "ipCidrRange": "10.0.0.0/24"}
    wanted = Resource(key=Key("subnetwork", "europe-west4/prod"), body=body)
    with pytest.raises(CloudError, match="'projects/my-project/global/networks/absent' was not found"):
        lab.vendor().session().driver().create(wanted, Mark("prod", "0" * 40), progress=quiet)


@pytest.mark.parametrize("fingerprint", [None, "AAAA", ""])
def test_a_change_that_names_another_version_is_refused(lab, fingerprint):
    """Somebody else changed it in between, or the change names none."""
    lab.launch(GROUP)
    backend = lab.project.resources["regions/europe-west4/backendServices/prod"]
    before = copy.deepcopy(backend)
    query = {"requestId": str(uuid.uuid4())}
    told = {"backends": []} | ({} if fingerprint is None else {"fingerprint": fingerprint})
    with pytest.raises(RefusedError, match="fingerprint does not match"):
        lab.google._compute._patch("regions/europe-west4/backendServices/prod", told, query)
    assert backend == before


def test_every_rule_names_a_page_of_google():
    source = rules.__loader__.get_source(rules.__name__)
    assert len(re.findall(r"\.\.\./[a-z]", source)) >= 12
    assert {one.id.split(".")[0] for one in discovery.methods()} == {"compute"}
    assert set(SCHEMAS.values()) <= set(discovery.document()["schemas"])
