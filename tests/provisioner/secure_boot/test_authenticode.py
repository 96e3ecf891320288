"""Signing: the same bytes every time, the same Authenticode digest, and a signature that others can check."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from provisioner.errors import MeasureError
from provisioner.measure.pe import authenticode, parse_image
from provisioner.secure_boot import der, load_or_create_keys
from provisioner.secure_boot.authenticode import sign
from tests.provisioner.measure.fake_artefacts import DIRECTORY, uki_image

UKI = uki_image()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return load_or_create_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(keys):
    return sign(UKI, keys.db)


def table(image):
    offset, size = struct.unpack_from("<II", image, DIRECTORY)
    return image[offset : offset + size]


def test_signing_changes_no_measurement(signed):
    before, after = parse_image("before", UKI), parse_image("after", signed)
    for algorithm in ("sha256", "sha384"):
        assert authenticode(before, algorithm) == authenticode(after, algorithm)


def test_the_signature_is_the_same_every_time(signed, keys):
    assert sign(UKI, keys.db) == signed
    assert sign(UKI, keys.kek) != signed


def test_what_was_not_signed_is_as_it_was(signed):
    different = {i for i in range(len(UKI)) if signed[i] != UKI[i]}
    assert different <= set(range(DIRECTORY, DIRECTORY + 8))


def test_the_certificate_table_has_the_form_that_uefi_reads(signed):
    length, revision, kind = struct.unpack_from("<IHH", table(signed))
    assert (length, revision, kind) == (len(table(signed)), 0x0200, 0x0002)
    assert len(signed) % 8 == 0


def test_others_find_the_signers_certificate(signed, keys):
    (certificate,) = load_der_pkcs7_certificates(stripped(signed))
    assert certificate.public_bytes(Encoding.DER) == keys.db.der


def stripped(image):
    """Return the SignedData without the zeros that align the table."""
    body = table(image)[8:]
    size = 4 + int.from_bytes(body[2:4], "big")
    return body[:size]


def test_the_digest_that_is_signed_is_the_images(signed):
    inner = indirect_data(stripped(signed))
    assert inner.endswith(bytes.fromhex("0420") + authenticode(parse_image("uki", UKI)))


def test_the_signature_is_over_attributes_that_name_the_content(signed, keys):
    body = stripped(signed)
    start = body.index(bytes.fromhex("06092a864886f70d010903")) - 4
    assert body[start] == 0xA0
    attributes = b"\x31" + body[start + 1 : start + 2 + body[start + 1]]
    keys.db.key.public_key().verify(body[-256:], attributes, PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        keys.db.key.public_key().verify(body[-256:], attributes[:-1] + b"\0", PKCS1v15(), SHA256())
    assert hashlib.sha256(indirect_data(body)).digest() in attributes


def indirect_data(body):
    """Return the content of SpcIndirectDataContent without its tag and length."""
    place = body.index(bytes.fromhex("060a2b060104018237020104")) + 12
    assert body[place] == 0xA0
    sequence = body[place + 2 :]
    assert sequence[0] == 0x30
    return sequence[2 : 2 + sequence[1]]


@pytest.mark.skipif(not shutil.which("osslsigncode"), reason="osslsigncode is not on this machine")
@pytest.mark.parametrize(
    ("fault", "place"), [("none", None), ("a changed section", 0x500), ("a changed header", 0x200)]
)
def test_another_program_judges_alike(signed, keys, tmp_path, fault, place):
    image = bytearray(signed)
    if place is not None:
        image[place] ^= 1
    (tmp_path / "uki.efi").write_bytes(image)
    (tmp_path / "db.pem").write_bytes(keys.db.certificate.public_bytes(Encoding.PEM))
    argv = ["osslsigncode", "verify", "-in", "uki.efi", "-CAfile", "db.pem"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode == 0) == (fault == "none"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("fault", "image", "message"),
    [
        ("no image", b"MZ" + bytes(100), "PE image"),
        ("a length that needs padding", UKI + b"1234", "not a multiple of 8"),
    ],
)
def test_what_cannot_be_signed(keys, fault, image, message):
    with pytest.raises(MeasureError, match=message):
        sign(image, keys.db)
    assert fault


def test_an_image_is_signed_once(signed, keys):
    with pytest.raises(MeasureError, match="signed already"):
        sign(signed, keys.db)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "020100"), (127, "02017f"), (128, "02020080"), (255, "020200ff"), (256, "02020100")],
)
def test_numbers_are_never_negative(value, encoded):
    assert der.integer(value).hex() == encoded


@pytest.mark.parametrize(("size", "head"), [(0, "0400"), (127, "047f"), (128, "048180"), (65536, "0483010000")])
def test_lengths_are_the_shortest(size, head):
    assert der.octets(bytes(size)).hex().startswith(head)


def test_object_ids_and_sets():
    assert der.object_id("1.2.840.113549.1.7.2").hex() == "06092a864886f70d010702"
    assert der.set_of(b"\x02", b"\x01") == b"\x31\x02\x01\x02"
