"""The candidate of a release: which platform an inventory asks for, and what a cloud's lacks before it can be one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from client_sdk.publisher import Publisher
from client_sdk.release import open_release
from provisioner import candidate
from provisioner.candidate import Wanted, prepare_candidate
from provisioner.clouds import Image
from provisioner.errors import SpecError
from provisioner.keys import load_or_create
from provisioner.platform_values import sign_values
from provisioner.publish import newest_image
from provisioner.secure_boot import SignedImage, load_or_create_keys
from provisioner.secure_boot.own import are_made, keys_folder
from provisioner.secure_boot.signed import enrolled
from tests.provisioner.cloud_values import values
from tests.provisioner.measure.fake_artefacts import write_artefacts
from tests.provisioner.test_publish import write_manifest

NOW = datetime(2026, 11, 26, tzinfo=UTC)
GCP = {
    "name": "prod", "cloud": "gcp", "project": "my-project", "zone": "europe-west4-c", "technology": "tdx",
    "machine_type": "c3-standard-4", "client_ranges": ["203.0.113.0/24"], "bucket": "my-project-vitrine",
}  # fmt: skip
AZURE = {
    "name": "prod", "cloud": "azure", "subscription": "00000000-0000-0000-0000-000000000000",
    "resource_group": "vitrine-prod", "location": "eastus2", "size": "Standard_NCC40ads_H100_v5",
    "client_networks": ["203.0.113.0/24"],
}  # fmt: skip


@pytest.fixture
def wanted(tmp_path):
    image = write_artefacts(tmp_path / "image")
    write_manifest(image)
    described = Image(
        key="0" * 64, boot_disk=image / "boot.raw", model_disk=image / "model.raw", gateway_port=443, firmware=tmp_path
    )
    return Wanted(variables=GCP, image=described, folder=image, service="vitrine", firmware=None, values=None)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "deployment"


def signed(root, *arguments, key=None, **changes):
    root.mkdir(parents=True, exist_ok=True)
    path = root / "values.json"
    path.write_bytes(sign_values(values(*arguments, **changes), (load_or_create(key or root / "publisher.key"),)))
    return path


def measured(candidate, root):
    publisher = Publisher(keys=((root / "publisher.pub").read_bytes(),))
    (found,) = open_release(candidate.release.read_bytes(), publisher).measurements
    return found


def test_without_platform_values_there_is_no_release_but_the_key_to_sign_them_with(wanted, root):
    assert prepare_candidate(wanted, root, now=NOW) is None
    assert sorted(path.name for path in root.iterdir()) == ["image.candidate", "publisher.key", "publisher.pub"]


def test_what_runs_without_a_release_is_named_all_the_same(wanted, root):
    """The port that may be open is the image's own: nobody else's word counts."""
    assert prepare_candidate(wanted, root, now=NOW) is None
    assert newest_image(root) == wanted.folder.resolve()
    assert not (root / "release.candidate.json").exists()


def test_values_that_were_taken_back_leave_no_candidate_to_be_published(wanted, root):
    prepare_candidate(replace(wanted, values=signed(root, "gcp", "tdx")), root, now=NOW)
    assert (root / "release.candidate.json").exists()
    assert prepare_candidate(wanted, root, now=NOW) is None
    assert [path.name for path in root.glob("*.candidate*")] == ["image.candidate"]


def test_a_release_for_google_cloud_states_what_the_signed_values_say(wanted, root):
    candidate = prepare_candidate(replace(wanted, values=signed(root, "gcp", "tdx")), root, now=NOW)
    found = measured(candidate, root)
    assert (found.platform, found.boot_mode) == ("gcp", "uefi")
    assert found.pcr0_allowed == (b"\xcc" * 32,)
    assert {index for index, _ in found.rtmrs} == {1, 2}
    assert found.pcr15_template[2].data, "no GPU is due on a c3"


def test_a_release_for_azure_with_a_gpu_leaves_its_evidence_open(wanted, root):
    asked = replace(wanted, variables=AZURE, values=signed(root, "azure", "snp"))
    found = measured(prepare_candidate(asked, root, now=NOW), root)
    assert found.platform == "azure"
    assert found.pcr15_template[2].data is None
    assert 6 not in dict(found.pcrs)


def test_a_release_for_the_local_platform_needs_no_values(wanted, root):
    local = {"name": "prod", "cloud": "qemu"}
    found = measured(prepare_candidate(replace(wanted, variables=local), root, now=NOW), root)
    assert (found.platform, found.boot_mode) == ("local-qemu", "uefi")


@pytest.mark.parametrize("platform", [("gcp", "snp"), ("azure", "snp")])
def test_values_of_another_platform(wanted, root, platform):
    with pytest.raises(SpecError, match=f"values of gcp/tdx.*got {'/'.join(platform)}"):
        prepare_candidate(replace(wanted, values=signed(root, *platform)), root, now=NOW)


def test_values_that_somebody_else_signed(wanted, root, tmp_path):
    with pytest.raises(SpecError, match="a file signed by 1 of"):
        prepare_candidate(replace(wanted, values=signed(root, "gcp", "tdx", key=tmp_path / "other.key")), root, now=NOW)


@pytest.mark.parametrize("content", [None, b"", b"{}", json.dumps({"payload": ""}).encode()])
def test_values_that_are_missing_or_nothing(wanted, root, content):
    path = root / "values.json"
    root.mkdir()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match="signed platform values"):
        prepare_candidate(replace(wanted, values=path), root, now=NOW)
    assert not (root / "release.candidate.json").exists()


@pytest.mark.parametrize("variables", [GCP, AZURE], ids=["gcp", "azure"])
def test_the_first_run_with_secure_boot_makes_the_keys_before_it_reads_whose_certificates_they_are(
    wanted, root, monkeypatch, variables
):
    def signed(_image, folder, _firmware):
        return SignedImage(folder, enrolled(load_or_create_keys(keys_folder(folder))), b"")

    monkeypatch.setattr(candidate, "signed_image", signed)
    asked = replace(wanted, variables=variables | {"secure_boot": True})
    assert prepare_candidate(asked, root, now=NOW) is None
    assert are_made(root)


def test_an_impossible_inventory_is_refused_before_anything_is_written(wanted, root):
    with pytest.raises(SpecError, match="machine_type"):
        prepare_candidate(replace(wanted, variables=GCP | {"machine_type": "g4-standard-48"}), root, now=NOW)
    assert not root.exists()
