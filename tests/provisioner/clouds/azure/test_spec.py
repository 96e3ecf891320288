"""What an inventory may ask of Azure, and every way in which it may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from provisioner.clouds import cloud_of
from provisioner.clouds.azure import AzureSpec
from provisioner.clouds.azure.sizes import SIZES
from provisioner.clouds.azure.spec import CHECKS, read_place
from provisioner.clouds.disks import GIB
from provisioner.clouds.interface import Image
from provisioner.errors import SpecError
from provisioner.launch import preview

ROOT = Path(__file__).resolve().parents[4]
IMAGE = Image(
    key="0123456789abcdef" * 4,
    boot_disk=Path("/images/k/boot.raw"),
    model_disk=Path("/images/k/model.raw"),
    gateway_port=8443,
    firmware=Path("/ovmf"),
)
LEAST = {
    "name": "toy",
    "cloud": "azure",
    "subscription": "00000000-0000-0000-0000-000000000001",
    "resource_group": "vitrine-toy",
    "location": "eastus2",
    "size": "Standard_NCC40ads_H100_v5",
    "client_networks": ["203.0.113.0/24"],
}


def certificate(day=datetime(2026, 1, 1, tzinfo=UTC)):
    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + timedelta(days=9))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def faults(**changes):
    with pytest.raises(SpecError) as raised:
        AzureSpec.from_vars(LEAST | changes, IMAGE)
    return [str(fault) for fault in raised.value.faults]


def test_the_least_that_an_inventory_says():
    spec = AzureSpec.from_vars(LEAST, IMAGE)
    assert (spec.replicas, spec.priority, spec.secure_boot, spec.port) == (1, "regular", False, 443)
    assert spec.client_networks == ("203.0.113.0/24",)


@pytest.mark.parametrize("key", LEAST)
def test_what_is_missing_is_named(key):
    with pytest.raises(SpecError, match=f"{key}: expected a value, got nothing"):
        AzureSpec.from_vars({name: value for name, value in LEAST.items() if name != key}, IMAGE)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_of_the_table_is_taken_and_says_its_meter(size):
    spec = AzureSpec.from_vars(LEAST | {"size": size}, IMAGE)
    assert f"hours of {size}" in spec.machine.meter
    assert spec.machine.gpu == ("NCC" in size)


@pytest.mark.parametrize(
    "size",
    ["Standard_DC4es_v5", "Standard_DC2eds_v5", "Standard_EC8es_v6", "Standard_EC64eds_v6", "Standard_EC128ies_v6"],
)
def test_a_size_with_tdx_is_refused_with_the_reason(size):
    (said,) = faults(size=size)
    assert "on Azure's TDX sizes the VM has to send a request out to get its quote made" in said


def test_the_size_with_two_gpus_is_refused_with_the_reason():
    (said,) = faults(size="Standard_NCC80ads_H100_v5")
    assert said.startswith("size: expected Standard_NCC40ads_H100_v5 (the size with two GPUs is in no size document")


@pytest.mark.parametrize(
    "size", ["Standard_D4s_v5", "Standard_NC40ads_H100_v5", "Standard_DC5as_v5", "standard_dc4as_v5", "", 4, None]
)
def test_a_size_without_the_technology_is_refused_with_the_list(size):
    (said,) = faults(size=size)
    assert said.startswith(
        "size: expected a confidential size with AMD SEV-SNP: Standard_NCC40ads_H100_v5, or Standard_"
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("name", "Toy", "a lower-case letter"),
        ("cloud", "nimbus", "one of"),
        ("subscription", "my subscription", "a subscription's id"),
        ("subscription", "00000000-0000-0000-0000-00000000000A", "lower-case hexadecimal"),
        ("resource_group", "a/b", "at most 90 letters"),
        ("resource_group", "ends.", "not beginning or ending with a dot"),
        ("resource_group", "", "at most 90 letters"),
        ("resource_group_exists", "yes", "true or false"),
        ("location", "East US 2", "a region's short name"),
        ("priority", "low", "one of regular, spot"),
        ("replicas", 0, "a whole number from 1 to 100"),
        ("replicas", 101, "a whole number from 1 to 100"),
        ("replicas", True, "a whole number from 1 to 100"),
        ("secure_boot", 1, "true or false"),
        ("secure_boot_certificates", ["no certificate"], "X.509 certificates in PEM"),
        ("secure_boot_certificates", "no list", "X.509 certificates in PEM"),
        ("secure_boot_certificates", [7], "X.509 certificates in PEM"),
        ("client_networks", [], "a list of IPv4 networks"),
        ("client_networks", ["203.0.113.1/24"], "without host bits"),
        ("client_networks", ["::/0"], "a list of IPv4 networks"),
        ("client_networks", "0.0.0.0/0", "a list of IPv4 networks"),
        ("client_networks", [f"10.{n}.0.0/16" for n in range(201)], "at most 200 networks"),
        ("client_networks", ["203.0.113.7"], "a list of IPv4 networks"),
        ("port", 0, "a whole number from 1"),
        ("port", 65535, "a whole number from 1 to 65534"),
        ("network", "10.77.0.0/26", "from /16 to /25"),
        ("network", "10.0.0.0/8", "from /16 to /25"),
        ("network", "8.8.8.0/24", "one private IPv4 network"),
        ("network", "10.77.0.1/24", "without host bits"),
        ("boot_disk_gib", 0, "a whole number from 1"),
        ("model_disk_gib", 4096, "a whole number from 1 to 4095"),
        ("disk_type", "UltraSSD_LRS", "one of Premium_LRS"),
        ("user_data", "IyEvYmluL3No", "one of"),
        ("ssh_key", "ssh-ed25519 AAAA", "one of"),
    ],
)
def test_each_mistake_is_said(key, value, said):
    (found,) = faults(**{key: value})
    assert found.startswith(f"{key}: expected ")
    assert said in found


def test_secure_boot_without_a_key_of_ones_own_is_refused():
    """Microsoft's keys would let anything start that they signed."""
    (said,) = faults(secure_boot=True)
    assert said == (
        "secure_boot_certificates: expected the certificate that signed the image, "
        "because secure_boot is true, got none"
    )


def test_keys_without_secure_boot_are_refused():
    (said,) = faults(secure_boot_certificates=[certificate()])
    assert said == "secure_boot: expected true, because secure_boot_certificates are given, got false"


def test_two_certificates_in_one_text_are_refused():
    (said,) = faults(secure_boot=True, secure_boot_certificates=[certificate() * 2])
    assert "one a text" in said


def test_another_clouds_inventory_is_not_taken_for_azures():
    (said,) = faults(cloud="qemu")
    assert said == "cloud: expected one of azure, got 'qemu'"


def test_a_disk_that_is_smaller_than_its_file_is_refused_before_any_call(tmp_path):
    for name in ("boot.raw", "model.raw"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2 * GIB + 1)
    image = replace(IMAGE, boot_disk=tmp_path / "boot.raw", model_disk=tmp_path / "model.raw")
    with pytest.raises(SpecError) as raised:
        AzureSpec.from_vars(LEAST | {"boot_disk_gib": 2, "model_disk_gib": 1}, image)
    assert [str(fault) for fault in raised.value.faults] == [
        "boot_disk_gib: expected at least 3, the size of boot.raw, got 2",
        "model_disk_gib: expected at least 3, the size of model.raw, got 1",
    ]


def test_a_network_without_room_for_a_rollout_is_refused():
    (said,) = faults(network="10.77.0.0/25", replicas=62)
    assert said == (
        "network: expected room for 124 machines, twice the replicas because of rollouts, and 5 of the cloud's, "
        "got '10.77.0.0/25', with room for 123"
    )
    AzureSpec.from_vars(LEAST | {"network": "10.77.0.0/25", "replicas": 61}, IMAGE)


def test_every_fault_is_said_at_once():
    found = faults(size="x", location="X", replicas=0, secure_boot=True, colour="red")
    assert {line.split(":")[0] for line in found} == {
        *("location", "size", "replicas", "colour", "secure_boot_certificates")
    }


def test_where_a_deployment_is_can_be_read_from_a_wrong_inventory():
    """What runs can be destroyed while the inventory is being changed."""
    place = read_place(LEAST | {"size": "Standard_Nothing", "colour": "red"})
    assert place.id == "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/vitrine-toy"
    with pytest.raises(SpecError, match="subscription: expected a value"):
        read_place({"resource_group": "vitrine-toy"})


def test_another_subscription_group_or_location_is_another_place(tmp_path):
    place = cloud_of(LEAST, tmp_path).place()
    assert place == "eastus2, in the resource group vitrine-toy of subscription 00000000-0000-0000-0000-000000000001"
    other = {"subscription": "00000000-0000-0000-0000-000000000002", "resource_group": "other", "location": "westus"}
    for key, value in other.items():
        assert cloud_of(LEAST | {key: value}, tmp_path).place() != place
    with pytest.raises(SpecError, match="location: expected a value, got nothing"):
        cloud_of({key: value for key, value in LEAST.items() if key != "location"}, tmp_path).place()


def test_an_inventory_of_google_cloud_is_told_all_that_is_wrong_with_it(tmp_path):
    told = {"name": "toy", "cloud": "azure", "project": "my-project", "zone": "europe-west4-a"}
    with pytest.raises(SpecError) as raised:
        preview(told, IMAGE, tmp_path)
    missing = {"subscription", "resource_group", "location", "size", "client_networks"}
    assert {fault.field for fault in raised.value.faults} == {"project", "zone", *missing}


def test_the_example_inventory_documents_every_variable():
    text = (ROOT / "inventories/azure/group_vars/all.yml").read_text()
    told = yaml.safe_load(text)["deploy_vm"]
    assert set(told) == set(CHECKS)
    secrets = ("password", "secret:", "BEGIN", "token:")
    assert not [word for word in secrets if word in text]
