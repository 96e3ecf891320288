"""Launch and destroy as the playbooks ask for them, whatever the cloud."""

from dataclasses import dataclass, field
from typing import get_args

import pytest

from provisioner.clouds import Image, choice, cloud_of
from provisioner.errors import CloudError, SpecError
from provisioner.launch import destroy, launch, preview
from provisioner.spec import CloudName
from tests.provisioner.clouds.conftest import quiet

VM = {"name": "toy", "cloud": "qemu", "port": 8443, "memory_mib": 1024}


def test_every_cloud_that_an_inventory_may_name_is_there(tmp_path):
    assert set(choice.CLOUDS) == set(get_args(CloudName))
    assert cloud_of({"name": "toy", "cloud": "qemu"}, tmp_path).names() == ()


def test_a_cloud_whose_inventory_does_not_say_where_is_refused_before_it_is_asked(tmp_path):
    with pytest.raises(
        SpecError, match="subscription: expected a value, got nothing; resource_group: expected a value"
    ):
        cloud_of({"name": "toy", "cloud": "azure"}, tmp_path).names()


@dataclass
class FakeCloud:
    """A cloud that keeps what it was asked for; what launch and destroy need and no more."""

    changes: bool = True
    asked: list = field(default_factory=list)

    def spec(self, variables, image):
        self.asked.append(("spec", variables, image))
        return "the spec"

    def groups(self, name):
        self.asked.append(("groups", name))
        return ()

    def names(self):
        self.asked.append(("names",))
        return ("toy",)

    def launch(self, spec, *, progress):
        self.asked.append(("launch", spec))
        return self.changes

    def wait_ready(self, name, *, seconds, progress):
        self.asked.append(("wait_ready", name, seconds))
        return "the VM"

    def destroy(self, name, *, progress):
        self.asked.append(("destroy", name))


@pytest.fixture
def fake(monkeypatch):
    cloud = FakeCloud()
    monkeypatch.setattr(choice, "CLOUDS", {"qemu": lambda *_: cloud})
    return cloud


@pytest.mark.parametrize("changes", [True, False])
def test_the_cloud_that_the_variables_name_launches_and_waits_and_says_whether_it_changed_anything(
    fake, tmp_path, changes
):
    fake.changes = changes
    assert launch(VM, "the image", tmp_path, seconds=7, progress=quiet) == ("the VM", changes)
    assert fake.asked == [
        ("spec", VM, "the image"), ("groups", "toy"), ("launch", "the spec"), ("wait_ready", "toy", 7),
    ]  # fmt: skip


def told(spec):
    """Return a spec as the inventory and the image say it."""
    image = Image(
        key="0", boot_disk=spec.boot_disk, model_disk=spec.model_disk, gateway_port=8443, firmware=spec.firmware
    )
    return VM | {"port": spec.port, "memory_mib": 512, "accelerator": "tcg"}, image


def test_a_preview_shows_the_plan_and_starts_nothing(cloud, make_spec):
    text = preview(*told(make_spec()), cloud.root)
    assert '"qemu-system-x86_64"' in text
    assert cloud.names() == ()


def test_a_preview_of_an_impossible_inventory_lists_its_faults(cloud, make_spec):
    variables, image = told(make_spec())
    with pytest.raises(SpecError, match=r"port: expected a whole number.*colour: expected one of"):
        preview(variables | {"port": 0, "colour": "red"}, image, cloud.root)


def test_the_cloud_that_the_variables_name_destroys(fake, tmp_path):
    assert destroy(VM, tmp_path, pretend=False, progress=quiet)
    assert fake.asked == [("names",), ("destroy", "toy")]


def test_nothing_is_destroyed_in_pretence_or_under_another_name(fake, tmp_path):
    assert destroy(VM, tmp_path, pretend=True, progress=quiet)
    assert not destroy(VM | {"name": "other"}, tmp_path, pretend=False, progress=quiet)
    assert fake.asked == [("names",), ("names",)]


def test_a_second_launch_leaves_the_vm_alone_and_destroy_leaves_nothing(cloud, make_spec):
    spec = told(make_spec())
    first, changed = launch(*spec, cloud.root, seconds=20, progress=quiet)
    assert changed
    assert launch(*spec, cloud.root, seconds=20, progress=quiet) == (first, False)
    assert destroy(VM, cloud.root, pretend=False, progress=quiet)
    assert cloud.names() == ()
    assert not destroy(VM, cloud.root, pretend=False, progress=quiet)


def test_a_vm_that_is_not_ready_in_time_is_an_error(cloud, make_spec):
    with pytest.raises(CloudError, match="not ready within 1 s"):
        launch(*told(make_spec("silent\n")), cloud.root, seconds=1, progress=quiet)


def test_a_half_made_vm_is_destroyed_too(cloud):
    folder = cloud.store.folder("toy")
    folder.mkdir(parents=True)
    (folder / "vars.fd").write_bytes(b"")
    assert destroy(VM, cloud.root, pretend=False, progress=quiet)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, "name: expected a lower-case letter"),
        ({"name": "../../etc"}, "name: expected a lower-case letter"),
        ({"cloud": "nimbus"}, "cloud: expected one of qemu"),
    ],
)
def test_variables_that_name_no_vm_are_faults_of_the_inventory(cloud, changes, said):
    with pytest.raises(SpecError, match=said):
        destroy(VM | changes, cloud.root, pretend=False, progress=quiet)


def test_a_vm_without_a_name_is_a_fault_of_the_inventory(cloud):
    with pytest.raises(SpecError, match="name: expected a value, got nothing"):
        destroy({}, cloud.root, pretend=False, progress=quiet)
