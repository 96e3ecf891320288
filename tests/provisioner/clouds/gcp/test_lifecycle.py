"""A deployment from nothing to nothing: made, left alone, changed, taken away; and what others have is left alone."""

from __future__ import annotations

import pytest

from provisioner.clouds.gcp import GcpVendor
from provisioner.clouds.gcp.api import Api, Endpoints
from provisioner.errors import CloudError
from provisioner.launch import destroy
from tests.fakes.cloud_api import Answer, Fault
from tests.fakes.gcp import machines
from tests.fakes.loopback import LeftLoopbackError
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.clouds.gcp.conftest import CPU, GPU, GROUP, KEY, OTHER_KEY, QUICK, TDX, image

WHAT_COSTS = ("instances/", "disks/", "addresses/", "forwardingRules/", "images/", "gs://")


@pytest.mark.parametrize("variables", [CPU, TDX, GPU, GROUP], ids=["n2d", "c3", "a3", "a3 x 2"])
def test_from_nothing_to_nothing(lab, variables, capsys):
    vm = lab.launch(variables)
    assert vm == lab.ready(variables)
    assert lab.has(variables)
    assert vm.running
    assert {node.image for node in vm.nodes} == {("1a2b" * 16)[:40]}
    assert len(vm.nodes) == variables.get("replicas", 1)
    assert any(one.startswith(WHAT_COSTS) for one in lab.project.leftovers())
    before = len(lab.changing())
    assert lab.launch(variables) == vm
    assert [call for call in lab.changing()[before:] if not call.endswith("listManagedInstances")] == []
    lab.destroy(variables)
    assert lab.project.leftovers() == []
    assert lab.cloud(variables).find("prod") is None
    with capsys.disabled():
        print(f"\n{variables['machine_type']} x {len(vm.nodes)}: {lab.project.validated} calls validated, 0 left over")


def test_another_image_makes_the_machine_anew_at_the_same_address(lab):
    first = lab.launch(CPU)
    second = lab.launch(CPU, key=OTHER_KEY)
    assert first.endpoint == second.endpoint
    assert [node.image for node in (*first.nodes, *second.nodes)] == [KEY[:40], OTHER_KEY[:40]]
    assert lab.has(CPU, OTHER_KEY)
    assert not any("1a2b1a2b" in one for one in lab.project.leftovers())
    lab.destroy(CPU)
    assert lab.project.leftovers() == []


def test_a_launch_says_whether_anything_changed(lab):
    cloud, wide = lab.cloud(CPU), CPU | {"client_ranges": ["192.0.2.0/24"]}
    lab.pack(CPU, KEY)
    assert cloud.launch(cloud.spec(CPU, image(lab.disks)), progress=quiet)
    assert not cloud.launch(cloud.spec(CPU, image(lab.disks)), progress=quiet)
    assert cloud.launch(cloud.spec(wide, image(lab.disks)), progress=quiet)


@pytest.mark.parametrize(("variables", "collection"), [(CPU, "addresses"), (GROUP, "forwardingRules")])
def test_without_an_address_there_is_no_endpoint_and_none_is_made_up(lab, variables, collection):
    lab.launch(variables)
    for url in [one for one in lab.project.resources if f"/{collection}/" in one]:
        del lab.project.resources[url]
    assert lab.cloud(variables).find("prod").endpoint == ""
    with pytest.raises(CloudError, match="not ready within 0 s: it has no address yet"):
        lab.ready(variables, seconds=0)


def test_other_clients_are_let_in_without_touching_the_machine(lab):
    lab.launch(CPU)
    before = len(lab.changing())
    changed = CPU | {"client_ranges": ["192.0.2.0/24"]}
    lab.launch(changed)
    assert lab.changing()[before:] == ["PATCH /compute/v1/projects/my-project/global/firewalls/prod-service"]
    assert lab.has(changed)
    assert lab.ready(changed).running


def test_another_zone_leaves_nothing_in_the_first(lab):
    lab.launch(CPU)
    moved = CPU | {"zone": "us-central1-a"}
    lab.launch(moved)
    assert lab.has(moved)
    assert not any("europe-west4" in one for one in lab.project.leftovers())


def test_from_one_machine_to_a_group_and_back(lab):
    lab.launch(GPU)
    lab.launch(GROUP)
    assert lab.has(GROUP)
    lab.launch(GPU)
    assert lab.has(GPU)


def test_a_machine_that_spot_took_back_is_made_anew(lab):
    lab.launch(GPU)
    lab.project.resources["zones/europe-west4-a/instances/prod"]["status"] = "TERMINATED"
    assert not lab.cloud(GPU).find("prod").running
    assert lab.launch(GPU).running


def test_another_deployment_of_the_project_is_left_alone(lab):
    other = CPU | {"name": "other", "bucket": "my-other-bucket"}
    lab.launch(other)
    before = lab.project.leftovers()
    lab.launch(CPU)
    assert lab.vendor(CPU).session().names() == ("other", "prod")
    lab.destroy(CPU)
    assert lab.project.leftovers() == before


@pytest.mark.parametrize("variables", [CPU, GROUP], ids=["one machine", "a group"])
def test_a_name_taken_by_something_that_is_not_ours_changes_nothing(lab, variables):
    vendor = lab.vendor(variables)
    lab.launch(variables)
    made = dict(lab.project.resources)
    for url in [one for one in made if "/disks/" not in one and "/instances/" not in one]:
        lab.reset()
        theirs = {name: value for name, value in made[url].items() if name not in ("labels", "description")}
        lab.project.resources[url] = theirs
        with pytest.raises(CloudError, match=r"did not make: .*; choose another deploy_name"):
            lab.launch(variables)
        assert lab.project.leftovers() == [url], url
        assert lab.changing() == []
    assert vendor.session().names() == ()


def test_a_bucket_of_somebody_else_is_refused(lab):
    lab.project.foreign_buckets.add(CPU["bucket"])
    with pytest.raises(
        CloudError,
        match=r"reading bucket my-project-vitrine: the permission storage.buckets.get is missing: grant it in .*, or "
        r"the bucket is somebody else's, and its name cannot be had: choose another bucket",
    ):
        lab.launch(CPU)
    assert lab.project.leftovers() == []


def test_somebody_elses_object_in_our_bucket_is_named_and_stays(lab):
    lab.launch(CPU)
    lab.project.objects[CPU["bucket"], "theirs"] = {"name": "theirs"}
    with pytest.raises(CloudError, match=r"not everything could be deleted.*bucket my-project-vitrine"):
        lab.destroy(CPU)
    assert lab.project.leftovers() == ["gs://my-project-vitrine", "gs://my-project-vitrine/theirs"]


def test_a_disk_that_somebody_kept_goes_with_the_deployment(lab):
    lab.launch(CPU)
    lab.project.resources["zones/europe-west4-a/instances/prod"]["disks"][1]["autoDelete"] = False
    lab.destroy(CPU)
    assert lab.project.leftovers() == []


@pytest.mark.parametrize("collection", ["instances", "images", "networks", "instanceGroupManagers"])
def test_half_deleted_leftovers_are_finished_or_replaced(lab, collection):
    """Whatever of a deployment somebody deleted in the console, the next run brings it back, or takes the rest away."""
    lab.launch(GROUP if collection == "instanceGroupManagers" else CPU)
    variables = GROUP if collection == "instanceGroupManagers" else CPU
    compute = lab.google._compute
    for url in [one for one in lab.project.resources if f"/{collection}/" in one]:
        if collection == "networks":
            del lab.project.resources[url]  # Google would refuse; a fault of its own could still leave it so
        else:
            compute._gone(url)
    lab.destroy(variables)
    assert lab.project.leftovers() == []


def test_what_was_on_its_way_goes_from_this_machine_too(lab):
    lab.api.faults.append(Fault(lambda call: call.method == "PUT" and call.body, Answer(403, b"no"), skip=1))
    with pytest.raises(CloudError):
        lab.launch(CPU)
    assert [path.suffix for path in sorted((lab.folder / "uploads").glob("*boot*"))] == [".gz", ".upload"]
    lab.destroy(CPU)
    assert not (lab.folder / "uploads").exists()
    assert lab.project.leftovers() == []


def test_what_serves_ends_with_its_machine(lab):
    ended = []
    lab.project.start = lambda body, _address, port: lambda: ended.append((body["name"], port))
    lab.launch(CPU)
    lab.destroy(CPU)
    assert ended == [("prod", 8443)]


def test_a_machine_that_serves_nothing_is_not_ready_and_the_reason_is_said(lab):
    lab.project.start = machines.nothing
    lab.launch(CPU)
    with pytest.raises(CloudError, match="not ready within 0 s: nothing listens at https://127"):
        lab.ready(CPU, seconds=0.2)


def test_pretending_to_destroy_destroys_nothing(lab, monkeypatch):
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", lab.api.url)
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", f"{lab.api.url}/")
    lab.launch(CPU)
    before = lab.project.leftovers()
    assert destroy(CPU, lab.folder, pretend=True, progress=quiet)
    assert lab.project.leftovers() == before
    assert destroy(CPU, lab.folder, pretend=False, progress=quiet)
    assert lab.project.leftovers() == []
    assert not destroy(CPU, lab.folder, pretend=False, progress=quiet)


def test_without_a_fake_the_real_google_would_be_asked_and_tests_may_not(lab):
    """The guard works: the very calls that the fake answers would leave this machine without it."""
    vendor = GcpVendor(told=CPU, folder=lab.folder, connect=lambda: Api(Endpoints(), QUICK, progress=quiet))
    with pytest.raises(LeftLoopbackError, match=r"googleapis\.com"):
        vendor.session().names()
