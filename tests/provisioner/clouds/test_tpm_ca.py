import pytest
from cryptography import x509

from provisioner.clouds.processes import Command, run
from provisioner.clouds.tpm_ca import ensure_ca, write_setup_configuration
from provisioner.errors import CloudError


def ek_certificate(root):
    ca = ensure_ca(root)
    (root / "tpm").mkdir()
    write_setup_configuration(ca, root / "swtpm_setup.conf")
    argv = ("swtpm_setup", "--tpm2", "--tpmstate", "tpm", "--config", "swtpm_setup.conf", "--create-ek-cert",
            "--pcr-banks", "sha256", "--write-ek-cert-files", ".")  # fmt: skip
    run(Command(root, argv), seconds=60)
    return x509.load_der_x509_certificate((root / "ek-rsa2048.crt").read_bytes())


def authority(root):
    return x509.load_pem_x509_certificate(ensure_ca(root).certificate.read_bytes())


def test_the_ek_certificate_is_issued_by_this_deployments_ca_alone(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ek = ek_certificate(ours)
    ek.verify_directly_issued_by(authority(ours))
    with pytest.raises(ValueError, match=r"(?i)issuer"):
        ek.verify_directly_issued_by(authority(theirs))


def test_the_ca_is_made_once_and_is_a_ca(tmp_path):
    first = ensure_ca(tmp_path)
    before = first.certificate.read_bytes(), first.key.read_bytes()
    assert ensure_ca(tmp_path) == first
    assert (first.certificate.read_bytes(), first.key.read_bytes()) == before
    constraints = authority(tmp_path).extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.ca


def test_the_key_is_its_owners_alone(tmp_path):
    ca = ensure_ca(tmp_path)
    assert ca.key.stat().st_mode & 0o777 == 0o600
    assert ca.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("lost", ["certificate", "key"])
def test_half_a_ca_is_made_anew_as_a_whole(tmp_path, lost):
    ca = ensure_ca(tmp_path)
    getattr(ca, lost).unlink()
    ek = ek_certificate(tmp_path)
    ek.verify_directly_issued_by(authority(tmp_path))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "root").write_text("a file is in the way")
    with pytest.raises(CloudError, match="cannot keep the test TPM CA"):
        ensure_ca(tmp_path / "root")
