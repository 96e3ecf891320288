"""Google Cloud and Azure on this machine, for whoever drives them as an operator does: through the playbooks.

Nothing of ours is told that the cloud is none. For Google, the variables say so that Google's own command line reads;
for Azure, whose SDK has no such variable, the name of its API leads to this machine, for these processes alone.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from provisioner.clouds.azure.vhd import FOOTER_SIZE
from tests.e2e.machine import BIN, CHECKOUT, Outcome, run
from tests.e2e.site import Disk, Site
from tests.fakes.azure.arm import TOKEN, Arm
from tests.fakes.azure.things import SUBSCRIPTION, Blob, Thing
from tests.fakes.cloud_api import Call, CloudApi, Fault
from tests.fakes.cloud_tpm import make_azure_like, make_google_like
from tests.fakes.gcp.google import Google
from tests.fakes.gcp.project import Project

AZURE_API = "management.azure.com"
# Whatever proxy this machine has for others, it is not there where these processes are.
_DIRECT = {"NO_PROXY": "*", "no_proxy": "*"}
_WITH_HOSTS = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')
_PLAYBOOK_SECONDS = 900


@dataclass
class Pretended:
    """One cloud: its API, its machines, and the deployment that the inventory names there.

    ``access`` is what the operator says of who may ask: the image has it.
    """

    name: str
    folder: Path
    image: Path
    access: Mapping[str, str]
    stack: ExitStack
    platform: str = ""
    api: CloudApi = field(init=False)
    site: Site = field(init=False)

    @property
    def root(self) -> Path:
        """Where the deployment is kept, and what clients are given lies."""
        return CHECKOUT / "build" / self.name

    @property
    def ca(self) -> Path:
        """The test CA that clients have to name, or nothing of this cloud is believed: the site's first one."""
        path = self.folder / "ak-ca.pem"
        if not path.exists():
            path.write_bytes(self.site.ca.pem)
        return path

    def variables(self) -> dict[str, Any]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        raise NotImplementedError

    def before(self) -> tuple[str, ...]:
        """Return what stands before a command, for it to find this cloud."""
        return ()

    def leftovers(self) -> list[str]:
        raise NotImplementedError

    def play(self, page: str, **more: Any) -> Outcome:
        """Run one of the playbooks, with the inventory that operators copy."""
        told = {
            "deploy_name": self.name,
            "deploy_vm": {**self.variables(), "name": self.name},
            "deploy_simulated_cloud": str(self.ca),
            "deploy_seconds": 900,
            **self.access,
            **more,
        }
        argv = (BIN / "ansible-playbook", f"playbooks/{page}.yml", "-i", f"inventories/{self.platform}")
        env = self.environment() | _DIRECT
        return run(*self.before(), *argv, "-e", json.dumps(told), seconds=_PLAYBOOK_SECONDS, env=env)

    def changes(self) -> list[str]:
        """Return the calls so far that were not only about looking."""
        looking = ("/wait", "/token", "/effectiveNetworkSecurityGroups")
        return [str(call) for call in self.api.calls if call.method != "GET" and not call.path.endswith(looking)]

    def when(self, method: str, ending: str, then: Callable[[], None]) -> None:
        """Do something in the cloud once, right before a call has its effect."""

        def matches(call: Call) -> bool:
            if call.method == method and ending in call.path:
                self.api.faults.clear()
                try:
                    then()
                except Exception as error:  # noqa: BLE001, the API's thread would swallow it, and the attack not happen
                    self.site.errors.append(error)
            return False

        self.api.faults.append(Fault(matches, "before"))


@dataclass
class PretendedGoogle(Pretended):
    """Google Cloud: machines of SEV-SNP's kind, whose CPU's report nobody can simulate."""

    platform: str = "gcp"

    def __post_init__(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self.google = Google(Project(), key.public_key())
        self.project.start, self.project.console = self._start, self._console
        self.api = self.stack.enter_context(CloudApi(self.google, self.folder))
        self.site = Site(self.folder, self.image, make_google_like)
        self.stack.callback(self.site.close)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        account = {"type": "service_account", "client_email": "me@example.com", "private_key_id": "1"}
        account |= {"private_key": pem, "token_uri": f"{self.api.url}/token"}
        (self.folder / "key.json").write_text(json.dumps(account))

    @property
    def project(self) -> Project:
        return self.google.project

    def variables(self) -> dict[str, Any]:
        return {
            "cloud": "gcp",
            "project": "my-project",
            "zone": "europe-west4-a",
            "technology": "sev-snp",
            "machine_type": "n2d-standard-2",
            "client_ranges": ["203.0.113.0/24"],
            "bucket": "my-project-vitrine",
        }

    def environment(self) -> dict[str, str]:
        return {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": self.api.url,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": self.api.url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.folder / "key.json"),
            "REQUESTS_CA_BUNDLE": str(self.api.ca_file),
            "NO_GCE_CHECK": "true",
        }

    def leftovers(self) -> list[str]:
        return [*self.project.leftovers(), *self.site.running]

    def open_door(self) -> str:
        """Let somebody with the console's rights open the serial console; return what the door is called."""
        self._metadata()["serial-port-enable"]["value"] = "TRUE"
        return "serial-port-enable is in effect TRUE"

    def shut_door(self) -> None:
        self._metadata()["serial-port-enable"]["value"] = "FALSE"

    def swap_upload(self, place: int) -> None:
        """Change one byte of the boot disk in the bucket, right before the image is made from it."""

        def swap() -> None:
            ((key, found),) = [(key, one) for key, one in self.project.objects.items() if "-boot-" in key[1]]
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(found["bytes"]))) as tar:
                member = tar.getmember("disk.raw")
                data = bytearray(tar.extractfile(member).read())
            data[place] ^= 1
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1, format=tarfile.GNU_FORMAT) as tar:
                tar.addfile(member, io.BytesIO(data))
            self.project.objects[key] = found | {"bytes": packed.getvalue()}

        self.when("POST", "/global/images", swap)

    def _metadata(self) -> dict[str, dict[str, str]]:
        (body,) = [one for url, one in self.project.resources.items() if "/instances/" in url]
        return {item["key"]: item for item in body["metadata"]["items"]}

    def _console(self, name: str) -> str:
        return self.site.console(name)

    def _start(self, body: dict, address: str, port: int) -> Callable[[], None]:
        images = [
            self.project.resources[disk["source"].partition(f"{self.project.name}/")[2]] for disk in body["disks"]
        ]
        archives = [self.project.imported[one["sourceImage"].rpartition("/")[2]] for one in images]
        boot, model = (_unpacks(data) for data in archives)
        self.site.start(body["name"], (boot, model), address, port)
        return lambda: self.site.stop(body["name"])


@dataclass
class PretendedAzure(Pretended):
    """Azure: confidential VMs of AMD's kind, whose paravisor's report nobody can simulate."""

    platform: str = "azure"

    def __post_init__(self) -> None:
        self.arm = Arm(self)
        self.arm.retry_after = "1"
        self.running: dict[str, tuple[str, int]] = {}
        self.api = self.stack.enter_context(CloudApi(self.arm.handle, self.folder, names=(AZURE_API,), port=443))
        self.arm.url = f"https://{AZURE_API}"
        self.site = Site(self.folder, self.image, make_azure_like)
        self.stack.callback(self.site.close)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {AZURE_API}\n")
        self._log_in()

    def variables(self) -> dict[str, Any]:
        return {
            "cloud": "azure",
            "subscription": SUBSCRIPTION,
            "resource_group": f"vitrine-{self.name}",
            "location": "eastus2",
            "size": "Standard_DC4as_v5",
            "client_networks": ["203.0.113.0/24"],
        }

    def environment(self) -> dict[str, str]:
        return {
            "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential",
            "PATH": f"{self.folder / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
            "REQUESTS_CA_BUNDLE": str(self.api.ca_file),
        }

    def before(self) -> tuple[str, ...]:
        return (*_WITH_HOSTS, str(self.folder / "hosts"))

    def leftovers(self) -> list[str]:
        return [*self.arm.cloud.things, *self.arm.cloud.blobs, *self.arm.cloud.images, *self.site.running]

    def open_door(self) -> str:
        """Let somebody with the portal's rights switch the serial console on; return what the door is called."""
        self._vm().properties["diagnosticsProfile"] = {"bootDiagnostics": {"enabled": True}}
        return "boot diagnostics are on, and the serial console with them"

    def shut_door(self) -> None:
        self._vm().properties["diagnosticsProfile"] = {"bootDiagnostics": {"enabled": False}}

    def swap_upload(self, place: int) -> None:
        """Change one byte of the boot disk that was uploaded, right before the version is made from it."""

        def swap() -> None:
            (blob,) = [one for name, one in self.arm.cloud.blobs.items() if name.endswith("-boot")]
            start = max(one for one in blob.pages if one <= place)
            page = bytearray(blob.pages[start])
            page[place - start] ^= 1
            blob.pages[start] = bytes(page)

        self.when("PUT", "/versions/", swap)

    # What the fake calls.

    def start(self, name: str, body: dict, address: str, port: int) -> None:
        version = body["properties"]["storageProfile"]["imageReference"]["id"]
        boot, model = (_writes(blob) for blob in self.arm.cloud.images[version.lower()])
        self.site.start(name, (boot, model), address, port)

    def move(self, name: str, where: tuple[str, int] | None) -> None:
        self.site.move(name, where)

    def stop(self, name: str) -> None:
        self.site.stop(name)

    def _vm(self) -> Thing:
        (vm,) = self.arm.cloud.of("microsoft.compute/virtualmachines")
        return vm

    def _log_in(self) -> None:
        """Leave what `az login` leaves: a command that gives tokens."""
        (self.folder / "bin").mkdir()
        token = {"accessToken": TOKEN, "expires_on": 1 << 34, "tokenType": "Bearer"}
        command = self.folder / "bin/az"
        command.write_text(f"#!/bin/sh\necho '{json.dumps(token)}'\n")
        command.chmod(0o755)


def _unpacks(archive: bytes) -> Disk:
    """Return what writes the one disk of an archive, as Compute Engine imports it."""

    def write(path: Path) -> None:
        with (
            gzip.open(io.BytesIO(archive)) as packed,
            tarfile.open(fileobj=packed, mode="r|") as tar,
            path.open("wb") as disk,
        ):
            member = tar.next()
            assert member is not None
            assert member.name == "disk.raw"
            shutil.copyfileobj(tar.extractfile(member), disk, 1 << 20)
            assert tar.next() is None, "an archive holds one disk and nothing else"

    return write


def _writes(blob: Blob) -> Disk:
    """Return what writes a disk's pages, without the footer that makes it a VHD."""

    def write(path: Path) -> None:
        size = blob.size - FOOTER_SIZE
        with path.open("wb") as disk:
            disk.truncate(size)
            for start, page in sorted(blob.pages.items()):
                if start < size:
                    disk.seek(start)
                    disk.write(page)

    return write
