"""What an inventory may say of a deployment in Google Cloud: each rule has something that breaks it alone."""

from __future__ import annotations

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from provisioner.clouds import cloud_of
from provisioner.clouds.gcp import GcpSpec
from provisioner.errors import SpecError
from provisioner.launch import preview
from tests.provisioner.clouds.gcp.conftest import CPU, GPU, GROUP, TDX, image

KEYS = ("secure_boot_pk", "secure_boot_kek", "secure_boot_db")


def faults(variables, folder):
    with pytest.raises(SpecError) as caught:
        GcpSpec.from_vars(variables, image(folder))
    return {fault.field: str(fault) for fault in caught.value.faults}


@pytest.fixture
def keys(tmp_path):
    """Three files with certificates: two PEM, one DER."""
    found = {}
    for name in KEYS:
        certificate = x509.load_pem_x509_certificate(trustme.CA().cert_pem.bytes())
        encoding = Encoding.DER if name.endswith("kek") else Encoding.PEM
        (tmp_path / name).write_bytes(certificate.public_bytes(encoding))
        found[name] = str(tmp_path / name)
    return found


@pytest.mark.parametrize("variables", [CPU, TDX, GPU, GROUP], ids=["n2d", "c3", "a3", "a3 x 2"])
def test_what_is_right_is_read(variables, tmp_path):
    spec = GcpSpec.from_vars(variables, image(tmp_path))
    assert (spec.name, spec.place.region, spec.port) == ("prod", "europe-west4", 8443)
    assert spec.client_ranges == ("198.51.100.7/32", "203.0.113.0/24")


REQUIRED = ("name", "project", "zone", "technology", "machine_type", "client_ranges", "bucket")


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key(key, tmp_path):
    variables = {name: value for name, value in CPU.items() if name != key}
    assert faults(variables, tmp_path) == {key: f"{key}: expected a value, got nothing"}


BAD = [
    ("name", "Prod"), ("name", "p" * 32), ("name", "prod-"), ("cloud", "azure"), ("project", "Mine"),
    ("project", "abc"),
    ("project", "x/../y-z"), ("project", 12345678), ("zone", "europe-west4"), ("zone", "europe-west4-c/x"),
    ("zone", ""),
    ("technology", "sev"), ("technology", True), ("machine_type", 4), ("machine_type", "n2d standard"),
    ("provisioning", "preemptible"), ("hours", 169), ("hours", -1), ("hours", "2"), ("replicas", 0), ("replicas", 101),
    ("replicas", "2"), ("replicas", True), ("address", "203.0.113.9"), ("port", 0),
    ("port", 65536), ("port", "8443"), ("boot_disk_gib", 9),
    ("model_disk_gib", 9.5), ("model_disk_gib", 1 << 30), ("subnet", "10.64.0.1/24"), ("subnet", "8.8.8.0/24"),
    ("subnet", "10.0.0.0/8"), ("subnet", "10.64.0.0/30"), ("subnet", None), ("client_ranges", []),
    ("client_ranges", "203.0.113.0/24"), ("client_ranges", ["203.0.113.1/24"]), ("client_ranges", ["::/0"]),
    ("client_ranges", [7]), ("client_ranges", ["203.0.113.7"]),
    ("bucket", "UPPER"), ("bucket", "ab"), ("bucket", "goog-mine"), ("bucket", "a/b/c"),
    ("secure_boot", "yes"), ("labels", ["a"]), ("labels", {"A": "b"}), ("labels", {"a": "B"}), ("labels", {"a": 1}),
    ("labels", {"vitrine-deployment": "other"}), ("reservation", "No!"), ("service_account", "me"), ("ssh_keys", "x"),
    ("metadata", {}), ("startup_script", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), BAD, ids=lambda value: str(value)[:24])
def test_a_bad_value_is_one_fault_that_names_its_key(key, value, tmp_path):
    found = faults(CPU | {key: value}, tmp_path)
    assert list(found) == [key]
    assert "expected" in found[key]


TOGETHER = {
    "TDX wanted of an AMD machine": (CPU | {"technology": "tdx"}, "technology", "sev-snp, which n2d-standard-2 has"),
    "SEV-SNP wanted of an Intel machine": (
        TDX | {"technology": "sev-snp"},
        "technology",
        "tdx, which c3-standard-4 has",
    ),
    "a Blackwell machine, which has SEV alone": (GPU | {"machine_type": "g4-standard-48"}, "machine_type", "SEV alone"),
    "a machine with eight GPUs": (GPU | {"machine_type": "a3-highgpu-8g"}, "machine_type", "only a3-highgpu-1g is"),
    "a machine with local SSDs": (TDX | {"machine_type": "c3-standard-8-lssd"}, "machine_type", "local SSDs"),
    "a machine that is not confidential": (CPU | {"machine_type": "e2-small"}, "machine_type", "one of a3-highgpu-1g"),
    "an H100 on demand": (GPU | {"provisioning": "standard"}, "provisioning", "not sold on demand"),
    "flex-start without a GPU": (TDX | {"provisioning": "flex_start", "hours": 2}, "provisioning", "with GPUs"),
    "a reservation without a name": (
        GPU | {"provisioning": "reservation"},
        "reservation",
        "the name of the reservation",
    ),
    "a name without a reservation": (GPU | {"reservation": "r"}, "reservation", "unless provisioning is reservation"),
    "flex-start without an end": (GPU | {"provisioning": "flex_start"}, "hours", "how long the machine is wanted"),
    "an end without flex-start": (GPU | {"hours": 3}, "hours", "unless provisioning is flex_start"),
    "a group by flex-start": (GROUP | {"provisioning": "flex_start", "hours": 1}, "replicas", "1 with flex_start"),
    "a port that the image does not listen on": (CPU | {"port": 443}, "port", "8443, on which the image listens"),
    "a subnet without room for a rollout": (GROUP | {"subnet": "10.64.0.0/28", "replicas": 7}, "subnet", "room for 14"),
    "Secure Boot keys without Secure Boot": (CPU | {"secure_boot_pk": "/k"}, "secure_boot_pk", "secure_boot is true"),
}


@pytest.mark.parametrize("fault", TOGETHER)
def test_what_does_not_fit_together_is_said_in_a_sentence(fault, tmp_path):
    variables, key, said = TOGETHER[fault]
    found = faults(variables, tmp_path)
    assert list(found) == [key]
    assert said in found[key]


def test_secure_boot_takes_three_certificates_and_nothing_less(keys, tmp_path):
    spec = GcpSpec.from_vars(CPU | {"secure_boot": True} | keys, image(tmp_path))
    assert spec.secure_boot is not None
    assert len({spec.secure_boot.pk, spec.secure_boot.kek, spec.secure_boot.db}) == 3
    for name in KEYS:
        rest = {key: path for key, path in keys.items() if key != name}
        assert list(faults(CPU | {"secure_boot": True} | rest, tmp_path)) == [name]


@pytest.mark.parametrize(
    "content", [None, b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", b"\x30\x00"]
)
def test_a_key_file_that_is_no_certificate(content, keys, tmp_path):
    path = tmp_path / "secure_boot_db"
    path.unlink() if content is None else path.write_bytes(content)
    found = faults(CPU | {"secure_boot": True} | keys, tmp_path)
    assert "a file that holds an X.509 certificate" in found["secure_boot_db"]


def test_a_disk_that_is_smaller_than_its_image(tmp_path):
    with (tmp_path / "model.raw").open("wb") as file:
        file.truncate((30 << 30) + 1)
    assert faults(CPU, tmp_path) == {
        "model_disk_gib": "model_disk_gib: expected at least 31, the size of model.raw, got 10"
    }


def test_all_faults_are_told_at_once_and_nobody_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("provisioner.clouds.gcp.api.load", lambda: pytest.fail("a library was loaded"))
    wrong = CPU | {"project": "X", "zone": "y", "machine_type": "g4-standard-48", "replicas": 0, "colour": "red"}
    with pytest.raises(SpecError) as caught:
        preview(wrong, image(tmp_path), tmp_path)
    assert {fault.field for fault in caught.value.faults} == {"project", "zone", "machine_type", "replicas", "colour"}


def test_with_another_clouds_name_everything_is_told_at_once_too(tmp_path):
    """The inventory of Google Cloud, and `cloud: azure` in it."""
    with pytest.raises(SpecError) as caught:
        preview(CPU | {"cloud": "azure"}, image(tmp_path), tmp_path)
    wrong = {fault.field for fault in caught.value.faults}
    assert wrong >= {"project", "zone", "subscription", "resource_group", "location", "size", "client_networks"}


def test_another_zone_or_project_is_another_place(tmp_path):
    place = cloud_of(CPU, tmp_path).place()
    assert place == "europe-west4-a of project my-project"
    for change in ({"zone": "europe-west4-b"}, {"project": "my-other-project"}):
        assert cloud_of(CPU | change, tmp_path).place() != place
    with pytest.raises(SpecError, match="zone: expected a zone such as europe-west4-a"):
        cloud_of(CPU | {"zone": "mars"}, tmp_path).place()


def test_destroying_needs_to_know_where(tmp_path):
    with pytest.raises(SpecError, match="project: expected a value, got nothing; zone: expected a value"):
        cloud_of({"name": "prod", "cloud": "gcp"}, tmp_path).names()
