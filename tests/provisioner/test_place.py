"""Where a deployment is, is written down: the same name elsewhere neither takes it away nor leaves it behind."""

from __future__ import annotations

import json

import pytest

from provisioner import launch, place
from provisioner.clouds import Vm
from provisioner.clouds.resources import Found, Key, Mark
from provisioner.errors import CloudError, SpecError
from tests.provisioner.clouds.conftest import quiet
from tests.provisioner.test_candidate import AZURE, GCP

VM = Vm(name="prod", endpoint="https://198.51.100.7:443", running=True)


class Sky:
    """A cloud in memory; ``fault`` is what its next launch ends with, after or before it made something."""

    def __init__(self):
        self.there, self.fault, self.made = False, None, True

    def spec(self, _variables, _image):
        return "the spec"

    def find(self, _name):
        return VM if self.there else None

    def groups(self, _name):
        return ()

    def names(self):
        return ("prod",) if self.there else ()

    def found(self):
        mark = Mark("prod", "")
        return (Found(Key("disk", "prod-boot"), mark, "ready"), Found(Key("disk", "x"), None, "ready")) * self.there

    def launch(self, _spec, *, progress):
        self.there = self.made
        if self.fault is not None:
            raise self.fault
        return self.made

    def wait_ready(self, _name, *, seconds, progress):
        return VM

    def destroy(self, _name, *, progress):
        self.there = False


@pytest.fixture
def sky(monkeypatch):
    cloud = Sky()
    monkeypatch.setattr(launch, "cloud_of", lambda *_, **__: cloud)
    return cloud


def deploy(root, variables=GCP):
    return launch.launch(variables, "the image", root, seconds=1, progress=quiet)


def destroy(root, variables=GCP, **changes):
    return launch.destroy(variables, root, **{"pretend": False, "progress": quiet} | changes)


ELSEWHERE = {
    "zone": GCP | {"zone": "europe-west4-a"},
    "project": GCP | {"project": "other-project"},
    "cloud": AZURE,
    "this machine": {"name": "prod", "cloud": "qemu"},
}


@pytest.mark.parametrize("change", ELSEWHERE)
def test_the_same_name_at_another_place_is_refused_with_the_place_where_it_is(sky, tmp_path, change):
    deploy(tmp_path)
    with pytest.raises(SpecError, match=r"europe-west4-c of project my-project, where prod is .*destroy it first"):
        deploy(tmp_path, ELSEWHERE[change])
    assert place.recorded(tmp_path).where == "europe-west4-c of project my-project"


@pytest.mark.parametrize(
    "change",
    [{"subscription": AZURE["subscription"].replace("0", "1")}, {"resource_group": "x"}, {"location": "westeurope"}],
)
def test_on_azure_too(sky, tmp_path, change):
    deploy(tmp_path, AZURE)
    with pytest.raises(
        SpecError, match=r"eastus2, in the resource group vitrine-prod of subscription .*, where prod is"
    ):
        deploy(tmp_path, AZURE | change)


def test_the_place_is_forgotten_with_the_deployment(sky, tmp_path):
    deploy(tmp_path)
    assert destroy(tmp_path)
    deploy(tmp_path, ELSEWHERE["zone"])


def test_a_pretended_destroy_names_what_would_go_and_forgets_nothing(sky, tmp_path):
    deploy(tmp_path)
    said = []
    assert destroy(tmp_path, pretend=True, progress=said.append)
    assert said == ["would delete disk prod-boot"]
    assert place.recorded(tmp_path) is not None
    assert sky.there


@pytest.mark.parametrize("change", ["project", "cloud", "this machine"])
def test_nothing_is_destroyed_in_another_account_than_the_deployments(sky, tmp_path, change):
    deploy(tmp_path)
    with pytest.raises(SpecError, match=r"of project my-project, where prod is .*say so in the inventory"):
        destroy(tmp_path, ELSEWHERE[change])
    with pytest.raises(SpecError, match=r"of project my-project, where prod is"):
        launch.find(ELSEWHERE[change], tmp_path)
    assert sky.there


def test_another_zone_of_the_same_project_is_found_and_destroyed(sky, tmp_path):
    deploy(tmp_path)
    assert launch.find(ELSEWHERE["zone"], tmp_path) == VM
    assert destroy(tmp_path, ELSEWHERE["zone"])
    assert place.recorded(tmp_path) is None


def test_an_interrupted_launch_left_something_where_it_was(sky, tmp_path):
    sky.fault = CloudError("no quota")
    with pytest.raises(CloudError, match="no quota"):
        deploy(tmp_path)
    with pytest.raises(SpecError, match="where prod is"):
        deploy(tmp_path, ELSEWHERE["zone"])


def test_a_kill_in_the_middle_leaves_the_place(sky, tmp_path):
    sky.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        deploy(tmp_path)
    assert place.recorded(tmp_path) is not None


def test_a_launch_that_made_nothing_binds_nobody_to_the_place(sky, tmp_path):
    sky.fault, sky.made = CloudError("no permission"), False
    with pytest.raises(CloudError, match="no permission"):
        deploy(tmp_path)
    assert place.recorded(tmp_path) is None


def test_a_cloud_that_does_not_answer_says_nothing_about_what_is_there(sky, tmp_path, monkeypatch):
    sky.fault = CloudError("the network is gone")

    def gone():
        raise sky.fault

    monkeypatch.setattr(sky, "names", gone)
    with pytest.raises(CloudError):
        deploy(tmp_path)
    assert place.recorded(tmp_path) is not None


def test_nothing_there_is_said_with_the_place(sky, tmp_path):
    said = []
    assert not destroy(tmp_path, progress=said.append)
    assert not destroy(tmp_path, {"name": "prod"}, progress=said.append)
    assert said == ["there is nothing of prod in project my-project", f"there is nothing of prod in {tmp_path}/vms"]


def test_a_vm_of_this_machine_is_where_its_folder_is(sky, tmp_path):
    deploy(tmp_path, {"name": "prod", "cloud": "qemu"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"cloud": 1, "account": "a", "where": "b"})])
def test_a_damaged_file_is_no_place_that_can_be_passed_over(sky, tmp_path, content):
    (tmp_path / place.FILE).write_text(content)
    with pytest.raises(SpecError, match=r"place\.json: expected the place of a deployment"):
        deploy(tmp_path)
    assert not sky.there


def test_the_summary_says_where_what_and_who(tmp_path):
    assert list(place.about(GCP | {"replicas": 2}, tmp_path)) == [
        "prod: europe-west4-c of project my-project",
        "  machines: 2 x c3-standard-4",
        "  may connect: 203.0.113.0/24",
    ]
    assert list(place.about({"name": "toy", "cloud": "qemu"}, tmp_path)) == []
