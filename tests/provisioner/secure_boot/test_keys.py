"""The keys of Secure Boot: made once, their owner's alone, and never mixed."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from provisioner.errors import SpecError
from provisioner.keys import load_or_create
from provisioner.secure_boot import load_or_create_keys


@pytest.fixture
def folder(tmp_path):
    load_or_create_keys(tmp_path)
    return tmp_path


def refused(folder, message):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SpecError, match=message):
        load_or_create_keys(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_three_pairs_that_stay_the_same(folder):
    keys = load_or_create_keys(folder)
    again = load_or_create_keys(folder)
    assert len({keys.pk.der, keys.kek.der, keys.db.der}) == 3
    assert (keys.pk.der, keys.kek.der, keys.db.der) == (again.pk.der, again.kek.der, again.db.der)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.glob("*.key")} == dict.fromkeys(
        ("pk.key", "kek.key", "db.key"), "0o600"
    )


@pytest.mark.parametrize("name", ["db.key", "db.crt", "pk.key", "kek.crt"])
def test_half_a_pair_is_never_made_whole_by_a_new_one(folder, name):
    (folder / name).unlink()
    refused(folder, rf"{name}: expected the other half")


def test_a_key_that_others_may_read(folder):
    (folder / "db.key").chmod(0o640)
    refused(folder, "chmod 600")


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_file_that_is_none(folder, content):
    (folder / "db.key").write_bytes(content)
    refused(folder, "PEM private key")


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_that_is_none(folder, content):
    (folder / "db.crt").write_bytes(content)
    refused(folder, "PEM certificate")


def test_the_certificate_of_another_key(folder):
    (folder / "db.crt").write_bytes((folder / "kek.crt").read_bytes())
    refused(folder, "that of another key")


def test_a_key_of_another_kind(folder, tmp_path):
    load_or_create(tmp_path / "other")
    (folder / "db.key").write_bytes((tmp_path / "other").read_bytes())
    refused(folder, "an RSA key of 2048 bits")


def test_a_key_that_some_firmware_does_not_know(folder):
    key = generate_private_key(public_exponent=65537, key_size=3072)
    (folder / "db.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    refused(folder, "an RSA key of 2048 bits")
