from pathlib import Path

import pytest

from provisioner.clouds import QemuCloud
from provisioner.plan import Plan, plan
from provisioner.spec import VmSpec
from tests import ports
from tests.provisioner.clouds.toy_firmware import write_toy_firmware


@pytest.fixture
def free_port():
    return ports.free_port()


@pytest.fixture
def make_spec(tmp_path, free_port):
    def make(text: str = "VITRINE ready\n", *, reset: bool = False, **changes: object) -> VmSpec:
        disk = tmp_path / "disk.raw"
        if not disk.exists():
            disk.write_bytes(bytes(1 << 16))
        firmware = write_toy_firmware(tmp_path / "firmware", text, reset=reset)
        values = {
            "name": "toy",
            "boot_disk": str(disk),
            "model_disk": str(disk),
            "firmware": str(firmware),
            "gateway_port": 8443,
            "port": free_port,
            "memory_mib": 512,
        }
        return VmSpec.from_vars(values | changes)

    return make


@pytest.fixture
def make_plan(make_spec):
    def make(text: str = "VITRINE ready\n", *, reset: bool = False, **changes: object) -> Plan:
        return plan(make_spec(text, reset=reset, **changes), accelerator="tcg")

    return make


@pytest.fixture
def cloud(tmp_path):
    cloud = QemuCloud(tmp_path / "local")
    yield cloud
    for name in cloud.store.names():
        cloud.destroy(name, progress=quiet)


@pytest.fixture
def said() -> list[str]:
    return []


def quiet(_: str) -> None:
    """Progress that nobody reads."""


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
