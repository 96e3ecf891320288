"""A project of the fake, and our code that talks to it over TLS with real credentials of the fake's own kind."""

from __future__ import annotations

import functools
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from provisioner.clouds import Image
from provisioner.clouds.gcp import GcpVendor, archive
from provisioner.clouds.gcp.api import Api, Endpoints, Limits
from provisioner.clouds.remote import RemoteCloud
from tests.fakes.cloud_api import CloudApi
from tests.fakes.gcp.google import Google
from tests.fakes.gcp.project import Project
from tests.fakes.loopback import only_loopback
from tests.provisioner.clouds.conftest import quiet

KEY, OTHER_KEY = "1a2b" * 16, "5e6f" * 16
QUICK = Limits(answer=10.0, call=3.0, operation=10.0, settle=1.0, pause=0.01)
CPU = {
    "name": "prod",
    "cloud": "gcp",
    "project": "my-project",
    "zone": "europe-west4-a",
    "technology": "sev-snp",
    "machine_type": "n2d-standard-2",
    "client_ranges": ["203.0.113.0/24", "198.51.100.7/32"],
    "bucket": "my-project-vitrine",
}
TDX = CPU | {"technology": "tdx", "machine_type": "c3-standard-4"}
GPU = CPU | {"technology": "tdx", "machine_type": "a3-highgpu-1g", "provisioning": "spot", "model_disk_gib": 40}
GROUP = GPU | {"replicas": 2}


def image(folder: Path, key: str = KEY) -> Image:
    return Image(
        key=key, boot_disk=folder / "boot.raw", model_disk=folder / "model.raw", gateway_port=8443, firmware=folder
    )


@pytest.fixture(scope="session")
def account():
    """A service account's key file but for the address of its tokens."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"type": "service_account", "client_email": "me@example.com", "private_key": pem, "private_key_id": "1"}


@pytest.fixture(scope="session")
def disks(tmp_path_factory):
    """Two small disks of the same bytes, and what they are when packed: a GiB of zeros, as small as can be."""
    folder = tmp_path_factory.mktemp("disks")
    (folder / "boot.raw").write_bytes(os.urandom(1 << 16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "_LEVEL", 6)
        archive.pack(folder / "boot.raw", folder / "boot.tar.gz", progress=quiet)
    for ending in ("raw", "tar.gz"):
        shutil.copyfile(folder / f"boot.{ending}", folder / f"model.{ending}")
    return folder


@dataclass
class Lab:
    """The fake, and a new process of ours each time that one is asked for."""

    disks: Path
    folder: Path
    public_key: object
    google: Google = None
    api: CloudApi = None
    said: list = field(default_factory=list)  # what no call has a progress of its own for
    validated: int = 0  # calls that the schema and the rules accepted, over all projects of this lab

    def __call__(self, call):
        return self.google(call)

    @property
    def project(self):
        return self.google.project

    def reset(self):
        """Begin anew, with an empty project and a machine of the operator's that remembers nothing."""
        self.close()
        self.google = Google(Project(), self.public_key)
        shutil.rmtree(self.folder / "uploads", ignore_errors=True)
        if self.api is not None:
            self.api.calls.clear()
            self.api.faults.clear()

    def close(self):
        if self.google is not None:
            self.validated += self.project.validated
            self.project.close()

    def vendor(self, variables=CPU, piece=1 << 18, limits=QUICK):
        return GcpVendor(told=dict(variables), folder=self.folder / "uploads", connect=self.login(limits), piece=piece)

    def login(self, limits=QUICK):
        endpoints = Endpoints(compute=self.api.url, storage=self.api.url)
        return functools.cache(functools.partial(Api, endpoints, limits, progress=self.said.append))

    def cloud(self, variables=CPU, **more):
        return RemoteCloud(self.vendor(variables, **more), lambda: 8443, pause=0.05)

    def launch(self, variables=CPU, key=KEY, progress=None, **more):
        """Deploy as a new process would; the disks are packed already."""
        self.pack(variables, key)
        cloud = self.cloud(variables, **more)
        spec = cloud.spec(variables, image(self.disks, key))
        cloud.launch(spec, progress=progress or quiet)
        return cloud.find(variables["name"])

    def pack(self, variables, key):
        """Have the disks packed, which takes longest."""
        (self.folder / "uploads").mkdir(exist_ok=True)
        for disk in ("boot", "model"):
            name = f"{variables['name']}-{disk}-{key[:16]}.tar.gz"
            if not (self.folder / "uploads" / name).exists():
                shutil.copyfile(self.disks / f"{disk}.tar.gz", self.folder / "uploads" / name)

    def ready(self, variables=CPU, seconds=5.0, **more):
        return self.cloud(variables, **more).wait_ready(variables["name"], seconds=seconds, progress=quiet)

    def destroy(self, variables=CPU, **more):
        self.cloud(variables, **more).destroy(variables["name"], progress=quiet)

    def has(self, variables=CPU, key=KEY):
        """Whether the project has exactly the plan, with its marks."""
        vendor = self.vendor(variables)
        plan = vendor.plan(vendor.spec(variables, image(self.disks, key)))
        driver = vendor.session().driver()
        found = {one.key: (one.mark, one.state) for one in driver.marked(variables["name"], progress=quiet)}
        return found == {one.key: (plan.mark(one), "ready") for one in plan.resources}

    def changing(self):
        return [
            str(call) for call in self.api.calls if call.method != "GET" and not call.path.endswith(("/wait", "/token"))
        ]


@pytest.fixture
def lab(tmp_path, account, disks, monkeypatch):
    only_loopback(monkeypatch)
    public_key = load_pem_private_key(account["private_key"].encode(), None).public_key()
    made = Lab(disks, tmp_path, public_key)
    made.reset()
    with CloudApi(made, tmp_path) as api:
        made.api = api
        (tmp_path / "key.json").write_text(json.dumps(account | {"token_uri": f"{api.url}/token"}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(api.ca_file))
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        yield made
    made.close()
