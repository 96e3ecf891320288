"""A deployment on the fake of Azure: the unmodified SDK, over TLS, to loopback and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken

from provisioner.clouds.azure import AzureSpec, AzureVendor, plan
from provisioner.clouds.azure.api import Api, Wire
from provisioner.clouds.azure.session import AzureSession
from provisioner.clouds.interface import Image
from provisioner.clouds.reconcile import apply, destroy
from provisioner.clouds.remote import RemoteCloud
from provisioner.clouds.resources import Key
from tests.fakes.azure.arm import TOKEN, Arm
from tests.fakes.azure.counts import COUNTS
from tests.fakes.azure.things import SUBSCRIPTION, Cloud, Thing
from tests.fakes.cloud_api import Answer, CloudApi
from tests.fakes.loopback import only_loopback
from tests.ports import free_port
from tests.provisioner.clouds.conftest import quiet

GONE = Answer(404, b'{"error": {"code": "ResourceNotFound", "message": "gone"}}')  # ARM's answer for what is not there
KEYS = tuple(f"{letter}" * 64 for letter in "abc")


VARIABLES = {
    "name": "toy",
    "cloud": "azure",
    "subscription": SUBSCRIPTION,
    "resource_group": "vitrine-toy",
    "location": "eastus2",
    "size": "Standard_NCC40ads_H100_v5",
    "client_networks": ["203.0.113.0/24"],
    # Other runs of these tests have ports of their own on the addresses that the fake gives.
    "port": free_port("127.1.0.1"),
    "boot_disk_gib": 1,
    "model_disk_gib": 1,
}


class Credential:
    """What DefaultAzureCredential gives where it finds a login."""

    def get_token(self, *_scopes, **_options):
        return AccessToken(TOKEN, 1 << 34)


@dataclass
class Azure:
    """The fake, its API, and what an operator's machine does with it; every session is a new process's."""

    arm: Arm
    api: CloudApi
    folder: Path
    credential: object = field(default_factory=Credential)
    retries: int = 0
    poll_seconds: float = 0.0
    say_seconds: float = 30.0
    said: list = field(default_factory=list)  # what no call has a progress of its own for

    def reset(self) -> None:
        """Begin with an empty subscription and an empty log."""
        self.arm.machines.close()
        self.arm.__init__()
        self.arm.url = self.api.url
        self.api.calls.clear()
        self.api.faults.clear()
        self.api.seconds = 0.0
        self.retries = 0

    @property
    def cloud(self) -> Cloud:
        return self.arm.cloud

    def image(self, number: int = 0) -> Image:
        key = KEYS[number]
        return Image(
            key=key,
            boot_disk=self.folder / f"{key[0]}-boot.raw",
            model_disk=self.folder / f"{key[0]}-model.raw",
            gateway_port=8443,
            firmware=self.folder,
        )

    def spec(self, image: int = 0, **changes) -> AzureSpec:
        return AzureSpec.from_vars(VARIABLES | changes, self.image(image))

    def session(self, place=None) -> AzureSession:
        wire = Wire(
            base_url=self.api.url,
            ca_file=str(self.api.ca_file),
            retries=self.retries,
            backoff=0.01,
            poll_seconds=self.poll_seconds,
            read_seconds=20,
            empty_seconds=0.1,
            say_seconds=self.say_seconds,
        )
        api = Api(place or self.spec().place, self.credential, wire, progress=self.said.append)
        return AzureSession(api)

    def remote(self) -> RemoteCloud:
        return RemoteCloud(AzureVendor(VARIABLES, self.session), lambda: 8443, pause=0.05)

    def apply(self, spec=None, *, progress=quiet):
        spec = spec or self.spec()
        return apply(plan(spec), self.session(spec.place).driver(), progress=progress)

    def destroy(self, progress=quiet):
        return destroy("toy", self.session().driver(), progress=progress)

    def destroy_kind(self, key) -> None:
        """Delete one resource, so that it can be made anew by hand."""
        driver = self.session().driver()
        for machine in ("virtualMachine", "virtualMachineScaleSet"):
            driver.delete(Key(machine, "toy"), progress=quiet)
        driver.delete(key, progress=quiet)

    def thing(self, kind: str) -> Thing:
        """Return the one thing of a kind that is no copy of an image."""
        found = [one for one in self.cloud.of(kind.lower()) if "managedBy" not in one.body]
        (thing,) = found
        return thing

    def has(self, spec: AzureSpec) -> bool:
        """Whether there is exactly what the plan says, marked, ready, with every byte of its disks."""
        wanted = plan(spec)
        driver = self.session(spec.place).driver()
        for resource in wanted.resources:
            found = driver.read(resource.key)
            if found is None or found.state != "ready" or found.mark != wanted.mark(resource):
                return False
            if resource.source is not None and not self._holds(resource):
                return False
        return {one.key for one in driver.marked("toy", progress=quiet)} == {
            resource.key for resource in wanted.resources
        }

    def _holds(self, resource) -> bool:
        group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/vitrine-toy"
        blob = self.cloud.blobs[f"{group}/providers/Microsoft.Compute/disks/{resource.key.name}".lower()]
        data = resource.source.read_bytes()
        return blob.read(0, len(data)) == data and blob.read(blob.size - 512, 8) == b"conectix" and not blob.key


def write_disks(folder: Path) -> None:
    """Write disks with data at both ends and a hole between; the second image's model is larger than one Put Page."""
    for number, key in enumerate(KEYS):
        for use, size in (("boot", 9), ("model", 5 + 8 * number)):
            with (folder / f"{key[0]}-{use}.raw").open("wb") as disk:
                disk.truncate(size << 20)
                disk.write(f"{key} {use}".encode().ljust(4096, b"."))
                disk.seek((size << 20) - 4096)
                disk.write(b"the end".ljust(4096, b"."))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("azure")
    write_disks(folder)
    arm = Arm()
    with CloudApi(arm.handle, folder) as api:
        yield Azure(arm, api, folder)
        arm.machines.close()


@pytest.fixture
def azure(served, monkeypatch):
    """An empty subscription; a connection to anything but loopback fails the test."""
    only_loopback(monkeypatch)
    served.reset()
    yield replace(served, said=[])
    served.arm.machines.close()


@pytest.fixture(scope="module")
def deployed(served):
    """Return what there is after a deployment; made once for each number of machines."""
    made = {}

    def state(replicas):
        if replicas not in made:
            served.reset()
            served.apply(served.spec(replicas=replicas))
            made[replicas] = served.arm.save()
        return made[replicas]

    return state


def pytest_terminal_summary(terminalreporter):
    """Say what the fake was put through."""
    terminalreporter.write_line(f"Azure: {', '.join(f'{count} {name}' for name, count in sorted(COUNTS.items()))}")
