"""Secure Boot in a cloud: the certificates are the deployment's own, whoever forgets or mistakes them."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509

from provisioner.clouds import cloud_of
from provisioner.clouds.azure.spec import AzureSpec
from provisioner.errors import SpecError
from provisioner.reading import read_spec
from provisioner.secure_boot import load_or_create_keys
from provisioner.secure_boot.own import keys_folder
from tests.provisioner.clouds.gcp.conftest import image
from tests.provisioner.test_candidate import AZURE, GCP

ON = {"secure_boot": True}


@pytest.fixture
def keys(tmp_path):
    return load_or_create_keys(keys_folder(tmp_path))


def read(variables, root, **changes):
    return read_spec(cloud_of(variables, root), variables, image(root), root, **changes)


def der(base):
    return x509.load_der_x509_certificate(base64.b64decode(base))


def test_google_is_given_the_deployments_own(tmp_path, keys):
    found = read(GCP | ON, tmp_path).secure_boot
    assert [der(one) for one in (found.pk, found.kek, found.db)] == [
        one.certificate for one in (keys.pk, keys.kek, keys.db)
    ]


def test_azure_is_given_the_one_that_signs(tmp_path, keys):
    (text,) = read(AZURE | ON, tmp_path).secure_boot_certificates
    assert x509.load_pem_x509_certificate(text.encode()) == keys.db.certificate


def test_naming_them_is_the_same(tmp_path, keys):
    folder = keys_folder(tmp_path)
    named = {f"secure_boot_{name}": str(folder / f"{name}.crt") for name in ("pk", "kek", "db")}
    assert read(GCP | ON | named, tmp_path) == read(GCP | ON, tmp_path)
    given = {"secure_boot_certificates": [(folder / "db.crt").read_text()]}
    assert read(AZURE | ON | given, tmp_path) == read(AZURE | ON, tmp_path)


@pytest.mark.parametrize("name", ["pk", "kek", "db"])
def test_a_certificate_of_somebody_else_is_refused(tmp_path, keys, name):
    load_or_create_keys(tmp_path / "others")
    other = {f"secure_boot_{name}": str(tmp_path / f"others/{name}.crt")}
    with pytest.raises(SpecError, match=rf"secure_boot_{name}: .*which is not the certificate that signs"):
        read(GCP | ON | other, tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN nothing", b"\x30\x00"])
def test_a_file_that_is_no_certificate_is_refused(tmp_path, keys, content):
    if content is not None:
        (tmp_path / "x.crt").write_bytes(content)
    with pytest.raises(SpecError, match=r"secure_boot_db: .*which is not the certificate that signs"):
        read(GCP | ON | {"secure_boot_db": str(tmp_path / "x.crt")}, tmp_path)


def test_on_azure_no_other_certificate_may_stand_beside_it(tmp_path, keys):
    folder, other = keys_folder(tmp_path), load_or_create_keys(tmp_path / "others")
    texts = [(folder / "db.crt").read_text(), (tmp_path / "others/db.crt").read_text()]
    assert other.db.certificate != keys.db.certificate
    for given in ([texts[1]], texts, ["nothing"], "text"):
        with pytest.raises(SpecError, match=r"secure_boot_certificates: .*not the certificate that signs"):
            read(AZURE | ON | {"secure_boot_certificates": given}, tmp_path)


@pytest.mark.parametrize("variables", [GCP, AZURE], ids=["gcp", "azure"])
def test_before_the_first_run_a_plan_has_stand_ins_and_a_launch_is_refused(tmp_path, variables):
    assert read(variables | ON, tmp_path, pretend=True).secure_boot
    assert not keys_folder(tmp_path).exists()
    with pytest.raises(SpecError, match="the keys that sign the image, got nothing"):
        read(variables | ON, tmp_path)


def test_without_secure_boot_the_inventory_is_left_as_it_is(tmp_path):
    assert read(AZURE, tmp_path) == AzureSpec.from_vars(AZURE, image(tmp_path))
    with pytest.raises(SpecError, match="secure_boot: expected true or false"):
        read(AZURE | {"secure_boot": "yes"}, tmp_path)
