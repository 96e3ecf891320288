"""What goes wrong at Google: each is one sentence that says what to do, with the request's id where there is one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from provisioner.clouds.gcp import kinds, libraries
from provisioner.clouds.gcp.api import Limits
from provisioner.clouds.resources import Key, Mark
from provisioner.errors import CloudError
from tests.fakes.cloud_api import Answer, Fault
from tests.fakes.gcp.refusal import refusal
from tests.provisioner.clouds.gcp.conftest import CPU, GPU, GROUP, QUICK, image

QUOTA = {"code": "QUOTA_EXCEEDED", "message": "Quota 'N2D_CPUS' exceeded.  Limit: 0.0 in region europe-west4."}
STOCK_OUT = {"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "The zone does not have enough resources available."}


def said(lab, variables=CPU, **more):
    with pytest.raises(CloudError) as caught:
        lab.launch(variables, **more)
    text = str(caught.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def of(path, method=None):
    return lambda call: path in call.path and (method is None or call.method == method)


def test_no_credentials(lab, monkeypatch, tmp_path):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    assert "no credentials: run `gcloud auth application-default login`" in said(lab)
    assert lab.api.calls == []


NO_KEY_FILES = {
    "absent": None,
    "a folder": Path.mkdir,
    "no JSON": "{",
    "a list": "[]",
    "no text": b"\xff\xfe",
    "another kind": '{"type": "something"}',
    "half of one": '{"type": "service_account"}',
    "a broken key": '{"type": "service_account", "client_email": "a@b", "token_uri": "x", "private_key": "SECRET"}',
}


@pytest.mark.parametrize("what", NO_KEY_FILES)
def test_a_key_file_that_is_none_is_named_and_not_shown(lab, monkeypatch, tmp_path, what):
    path, content = tmp_path / "key-file", NO_KEY_FILES[what]
    if callable(content):
        content(path)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    text = said(lab)
    assert "the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be used: name a service account's key" in text
    assert "SECRET" not in text


def test_a_key_that_was_revoked(lab):
    lab.google.revoked = True
    assert "the credentials have expired or were revoked: run `gcloud auth" in said(lab)


def test_a_token_that_expired(lab):
    lab.project.tokens.clear()
    assert "the credentials are not accepted any more: run `gcloud auth" in said(lab)


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["slow", "fast"])
def test_a_clock_that_is_wrong(lab, seconds):
    lab.google.clock = seconds
    assert "this machine's clock is wrong" in said(lab)
    assert lab.project.leftovers() == []


def test_a_zone_that_is_not_there(lab):
    assert "there is no such zone, or not for these credentials: check zone" in said(
        lab, CPU | {"zone": "mars-north1-a"}
    )
    assert lab.project.leftovers() == []


def test_a_project_that_is_not_there(lab):
    assert "no such project" in said(lab, CPU | {"project": "another-project"})


def test_a_zone_without_the_machine_type_is_said_before_anything_is_made(lab):
    lab.project.machine_types["europe-west4-a"] = {"n2d-standard-2"}
    assert "zone europe-west4-a has no a3-highgpu-1g: choose another zone or machine_type" in said(lab, GPU)
    assert lab.project.leftovers() == []
    assert lab.changing() == []


def test_no_quota(lab):
    lab.project.failing.append(("instances", QUOTA))
    text = said(lab)
    assert "instance europe-west4-a/prod: the project's quota is used up: ask for more" in text
    assert "N2D_CPUS" in text
    assert "(request operation-" in text


@pytest.mark.parametrize("code", ["ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"])
def test_no_machine_in_stock_and_the_next_run_goes_on(lab, code):
    lab.project.failing.append(("instances", STOCK_OUT | {"code": code}))
    assert "Google has no such machine in this zone now" in said(lab)
    uploads = sum("/upload/" in call for call in lab.changing())
    assert lab.launch(CPU).running
    assert sum("/upload/" in call for call in lab.changing()) == uploads


@pytest.mark.parametrize(("error", "words"), [(QUOTA, "quota is used up"), (STOCK_OUT, "no such machine in this zone")])
def test_a_group_that_cannot_have_its_machines_says_why(lab, error, words):
    lab.project.failing.append(("instances", error))
    lab.launch(GROUP)
    with pytest.raises(CloudError, match=f"not running yet: prod-.*{words}"):
        lab.ready(GROUP, seconds=0.1)
    lab.destroy(GROUP)
    assert lab.project.leftovers() == []


PERMISSIONS = [
    ("storage.buckets.create", CPU), ("storage.objects.create", CPU), ("storage.buckets.list", CPU),
    ("compute.images.create", CPU), ("compute.networks.create", CPU), ("compute.subnetworks.use", CPU),
    ("compute.instances.create", CPU), ("compute.firewalls.create", CPU), ("compute.addresses.create", CPU),
    ("compute.machineTypes.get", CPU), ("compute.instances.list", CPU), ("compute.globalOperations.list", CPU),
    ("compute.instanceTemplates.create", GROUP), ("compute.forwardingRules.create", GROUP),
    ("compute.regionHealthChecks.create", GROUP), ("compute.instanceGroupManagers.create", GROUP),
]  # fmt: skip


@pytest.mark.parametrize(
    ("permission", "variables"), PERMISSIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_missing_permission_is_named_and_granting_it_is_enough(lab, permission, variables):
    lab.project.denied.add(permission)
    assert f"the permission {permission} is missing: grant it" in said(lab, variables)
    lab.project.denied.clear()
    assert lab.launch(variables).running
    lab.destroy(variables)
    assert lab.project.leftovers() == []


def test_an_api_that_is_not_switched_on(lab):
    answer = refusal(403, "accessNotConfigured", "Compute Engine API has not been used in project 1 before.")
    lab.api.faults.append(Fault(of("/compute/"), answer))
    assert "the API is not switched on: `gcloud services enable" in said(lab)


CONSTRAINT = "Constraint constraints/compute.vmExternalIpAccess violated for project 42. Add instance prod to it."
LOCATION = "Constraint constraints/gcp.resourceLocations violated for projects/my-project attempting to create a bucket"
BILLING = "The billing account for the owning project is disabled in state absent"
QUOTA_PROJECT = "The compute.googleapis.com API requires a quota project, which is not set by default."
CONSUMER = "Caller lacks the right to use project x. Grant the caller the roles/serviceusage.serviceUsageConsumer role"
REFUSALS = {
    "a policy about instances": (412, "conditionNotMet", CONSTRAINT, "a policy of the organisation forbids it: ask"),
    "a policy about places": (412, "conditionNotMet", LOCATION, "a policy of the organisation forbids it: ask"),
    "no billing": (403, "accountDisabled", BILLING, "link one in the console (Billing)"),
    "billing is off": (403, "BILLING_DISABLED", "This API method requires billing to be enabled.", "link one in the"),
    "no quota project": (
        403,
        "forbidden",
        QUOTA_PROJECT,
        "application-default set-quota-project PROJECT`",
    ),
    "a quota project of others": (403, "USER_PROJECT_DENIED", CONSUMER, "the role Service Usage Consumer there"),
    "something new": (
        400,
        "somethingNew",
        "Foo is not a bar.",
        "Foo is not a bar: correct what it names, then run",
    ),
    "nothing at all": (418, "", "", ": correct what it names, then run it again"),
}


@pytest.mark.parametrize("path", ["/storage/", "/compute/"])
@pytest.mark.parametrize("what", REFUSALS)
def test_every_refusal_has_a_next_step(lab, what, path):
    status, reason, message, step = REFUSALS[what]
    lab.api.faults.append(Fault(of(path), refusal(status, reason, message), times=99))
    assert step in said(lab)


def test_a_network_that_is_dead_is_said_once_while_it_is_asked_again(lab):
    lab.api.faults.append(Fault(of("/storage/"), "before", times=3))
    assert lab.launch(CPU).running
    assert lab.said == ["Google cannot be reached: tries again for 3 s"]


def test_an_operation_that_takes_its_time_says_so(lab, monkeypatch):
    monkeypatch.setattr("provisioner.clouds.gcp.driver.paced", lambda progress: progress)
    told = []
    lab.launch(CPU, progress=told.append)
    assert any(re.fullmatch(r"instance europe-west4-a/prod: Google still works on it, \d+ s", line) for line in told)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(429, "rateLimitExceeded"), (503, "backendError"), (500, "internalError"), (403, "rateLimitExceeded")],
)
def test_what_passes_is_asked_again_when_google_says(lab, status, reason):
    answer = refusal(status, reason, "later", {"Retry-After": "0"})
    lab.api.faults.append(Fault(of("/v1/"), answer, times=5))
    assert lab.launch(CPU).running
    assert lab.api.faults[0].times == 0


def test_google_says_how_long_to_wait(lab, monkeypatch):
    slept = []
    monkeypatch.setattr("provisioner.clouds.gcp.api.time.sleep", slept.append)
    lab.api.faults.append(Fault(of("/storage/"), refusal(503, "backendError", "later", {"Retry-After": "2"})))
    lab.launch(CPU)
    assert 2.0 in slept


def test_what_does_not_pass_ends_in_time_with_the_requests_id(lab):
    answer = refusal(503, "backendError", "later", {"X-Goog-Request-Id": "id-7", "X-GUploader-UploadID": "a-secret"})
    lab.api.faults.append(Fault(of("/storage/"), answer, times=1 << 30))
    text = said(lab, limits=Limits(answer=5, call=0.2, operation=1, settle=0.1, pause=0.01))
    assert "Google does not answer as it should: run it again later" in text
    assert text.endswith("(request id-7)")
    assert "a-secret" not in text


def test_an_answer_that_is_no_json_is_still_a_sentence(lab):
    lab.api.faults.append(Fault(of("/storage/"), Answer(400, b"<html>proxy</html>")))
    assert "<html>proxy</html>" in said(lab)


def test_a_cloud_that_is_too_slow(lab):
    lab.api.seconds = 0.4
    assert "cannot be reached" in said(lab, limits=Limits(answer=0.1, call=0.2, operation=1, settle=0.1, pause=0.01))


def test_an_operation_that_does_not_end(lab, monkeypatch):
    monkeypatch.setattr(lab.google._compute, "_tick", lambda _: None)
    with pytest.raises(CloudError, match=r"operation operation-\d+ does not end"):
        lab.launch(CPU, limits=Limits(answer=5, call=1, operation=0.2, settle=0.1, pause=0.01))


def test_an_image_without_the_capability_is_refused_by_google(lab):
    """Our own plan cannot leave it out; Google's refusal of an image that lacks it is a sentence all the same."""
    vendor = lab.vendor(CPU)
    lab.launch(CPU)
    for url, one in lab.project.resources.items():
        if "/images/prod-boot" in url:
            one["guestOsFeatures"] = [{"type": "UEFI_COMPATIBLE"}, {"type": "GVNIC"}]
    vendor.session().driver().delete(Key("instance", "europe-west4-a/prod"), progress=lambda _: None)
    assert "lacks guest OS features: SEV_SNP_CAPABLE" in said(lab)


def test_a_name_that_is_taken_while_we_work_is_not_adopted(lab):
    """Between the look at all names and the call somebody else makes one of them."""
    vendor = lab.vendor(CPU)
    plan = vendor.plan(vendor.spec(CPU, image(lab.disks)))
    lab.project.resources["global/networks/prod"] = {"name": "prod", "description": "theirs"}
    network = next(one for one in plan.resources if one.key.kind == "network")
    with pytest.raises(CloudError, match="something of this name is there already"):
        vendor.session().driver().create(network, plan.mark(network), progress=lambda _: None)
    assert lab.project.resources["global/networks/prod"]["description"] == "theirs"


def test_what_an_earlier_run_asked_for_and_shows_late_is_adopted(lab):
    """The earlier process ended after its call; Google makes the thing while we ask for it again."""
    vendor = lab.vendor(CPU)
    plan = vendor.plan(vendor.spec(CPU, image(lab.disks)))
    network = next(one for one in plan.resources if one.key.kind == "network")
    driver = vendor.session().driver()
    body = {**network.body, "description": f"vitrine deployment=prod digest={network.digest}"}
    lab.google._compute._start(
        "global/networks/prod", "insert", {"requestId": "x"},
        lambda: lab.project.resources.update({"global/networks/prod": body}), lambda: None,
    )  # fmt: skip
    driver.create(network, plan.mark(network), progress=lambda _: None)
    assert driver.read(network.key).mark == Mark("prod", network.digest)


def test_missing_libraries_say_what_to_install(monkeypatch):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(libraries, "import_module", absent)
    with pytest.raises(CloudError, match=r"pip install '\.\[gcp\]'"):
        libraries.load()


def test_kinds_are_looked_up_by_unique_names():
    assert len(kinds.KINDS) == len(kinds.COMPUTE)
    assert json.dumps(sorted(kinds.KINDS))
    assert QUICK.pause < Limits().pause
