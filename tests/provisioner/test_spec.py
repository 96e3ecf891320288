from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from provisioner.errors import SpecError
from provisioner.spec import VmSpec

GOOD = {
    "name": "vitrine",
    "boot_disk": "/i/boot.raw",
    "model_disk": "/i/model.raw",
    "firmware": "/f",
    "gateway_port": 8443,
}


def faults(variables):
    with pytest.raises(SpecError) as caught:
        VmSpec.from_vars(variables)
    return {fault.field: str(fault) for fault in caught.value.faults}


def test_the_required_keys_suffice_and_the_rest_has_defaults():
    spec = VmSpec.from_vars(GOOD)
    assert spec == VmSpec(
        name="vitrine", boot_disk=Path("/i/boot.raw"), model_disk=Path("/i/model.raw"), firmware=Path("/f"),
        gateway_port=8443, cloud="qemu", port=8443, memory_mib=1024, boot_bus="virtio", accelerator="auto",
        secure_boot=False,
    )  # fmt: skip


def test_a_spec_is_frozen():
    with pytest.raises(FrozenInstanceError):
        VmSpec.from_vars(GOOD).port = 1


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_key(key):
    variables = {name: value for name, value in GOOD.items() if name != key}
    assert faults(variables) == {key: f"{key}: expected a value, got nothing"}


BAD = [
    ("name", ""),
    ("name", "Upper"),
    ("name", "1st"),
    ("name", "../../etc"),
    ("name", "a/b"),
    ("name", "a b"),
    ("name", "a,b"),
    ("name", "a" * 32),
    ("name", "a\n"),
    ("name", 7),
    ("name", None),
    ("boot_disk", "relative.raw"),
    ("boot_disk", ""),
    ("boot_disk", None),
    ("boot_disk", ["/i/boot.raw"]),
    ("model_disk", "~/model.raw"),
    ("firmware", "/f\n"),
    ("firmware", "/f\0"),
    ("cloud", "azure"),
    ("cloud", ["qemu"]),
    ("gateway_port", 0),
    ("gateway_port", "8443"),
    ("gateway_port", None),
    ("port", "8443"),
    ("port", 8443.0),
    ("port", True),
    ("port", 0),
    ("port", 1023),
    ("port", 65536),
    ("port", -1),
    ("port", None),
    ("memory_mib", 511),
    ("memory_mib", "1024"),
    ("memory_mib", 1 << 40),
    ("boot_bus", "ide"),
    ("boot_bus", None),
    ("accelerator", "hvf"),
    ("accelerator", True),
    ("secure_boot", "true"),
    ("secure_boot", 1),
    ("secure_boot", None),
    ("extra_qemu_args", []),
    ("Port", 8443),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_bad_value_is_one_fault_that_names_its_key(key, value):
    found = faults({**GOOD, key: value})
    assert list(found) == [key]
    assert "expected" in found[key]


def test_all_faults_are_reported_at_once():
    found = faults({"name": "Bad", "boot_disk": "/i/boot.raw", "port": "x", "colour": "red", 3: 4})
    assert sorted(found) == ["3", "colour", "firmware", "gateway_port", "model_disk", "name", "port"]


@pytest.mark.parametrize("port", [1024, 65535])
def test_ports_at_the_edge(port):
    assert VmSpec.from_vars({**GOOD, "port": port}).port == port
