"""A signed copy of an image, its firmware with keys, and the release that is made for it."""

from __future__ import annotations

import base64
import os
import struct

import pytest
from virt.firmware.varstore.edk2 import Edk2VarStore

from provisioner.errors import MeasureError
from provisioner.image.firmware import SECURE_CODE, VARIABLES, Firmware
from provisioner.measure import predict
from provisioner.measure.event import replay
from provisioner.measure.pe import authenticode, parse_image
from provisioner.measure.signature_list import list_of
from provisioner.platforms import LOCAL, cloud_platform, local_secure_boot
from provisioner.publish import prepare, promote
from provisioner.secure_boot import load_or_create_keys, sign_image, signed_image
from provisioner.secure_boot.signed import enrolled
from provisioner.secure_boot.variable_store import enrol
from tests.provisioner.cloud_values import OWNER, sourced, values, variables
from tests.provisioner.measure.fake_artefacts import gpt_disk, uki_image
from tests.provisioner.secure_boot import fat
from tests.provisioner.test_publish import NOW, read, write_manifest

STORE_SIZE = 0x10000


def empty_store(size=STORE_SIZE):
    """EDK2's store as its firmware is built with: a volume's header, a store's header, and nothing."""
    volume = bytes(16) + bytes.fromhex("8d2bf1ff96768b4ca9852747075b4f50")
    volume += struct.pack("<Q4sIHHHBB", size + 72, b"_FVH", 0, 72, 0, 0, 0, 2) + bytes(16)
    store = bytes.fromhex("782cf3aa7b949a43a1802e144ec37792") + struct.pack("<IBBHI", size, 0x5A, 0xFE, 0, 0)
    return volume + store + b"\xff" * (size - 28) + b"\xff" * 4096


def write_image(folder, uki=None, *, seed=0):
    folder.mkdir(exist_ok=True)
    uki = uki_image() if uki is None else uki
    (folder / "uki.efi").write_bytes(uki)
    (folder / "boot.raw").write_bytes(gpt_disk([("esp", bytes(fat.volume(uki))), ("vitrine-root", b"root")], seed=seed))
    write_manifest(folder)
    return folder


@pytest.fixture
def image(tmp_path):
    return write_image(tmp_path / "image")


@pytest.fixture
def firmware(tmp_path):
    folder = tmp_path / "firmware"
    folder.mkdir()
    (folder / SECURE_CODE).write_bytes(b"code")
    (folder / VARIABLES).write_bytes(empty_store())
    return Firmware(folder / "code.fd", folder / SECURE_CODE, folder / VARIABLES)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def test_the_copy_is_signed_and_the_image_stays_as_it_was_baked(image, root, firmware):
    before = {path.name: path.read_bytes() for path in image.iterdir()}
    signed = signed_image(image, root, firmware)
    assert {path.name: path.read_bytes() for path in image.iterdir()} == before
    uki = (signed.folder / "uki.efi").read_bytes()
    assert authenticode(parse_image("uki", uki)) == predict(image).authenticode
    assert uki in signed.boot_disk.read_bytes()
    assert before["uki.efi"] not in signed.boot_disk.read_bytes()


def test_what_is_complete_is_left_alone(image, root, firmware):
    first = signed_image(image, root, firmware)
    identity = first.boot_disk.stat().st_ino
    assert signed_image(image, root, firmware) == first
    assert first.boot_disk.stat().st_ino == identity


@pytest.mark.parametrize("change", ["another image", "other keys", "other firmware", "interrupted"])
def test_what_is_of_something_else_is_made_anew(image, root, firmware, change):
    first = signed_image(image, root, firmware)
    before = (first.boot_disk.stat().st_ino, first.boot_disk.stat().st_mtime_ns)
    if change == "another image":
        write_image(image, uki_image(cmdline=b"another"))
    elif change == "other keys":
        for path in (root / "secure-boot/keys").iterdir():
            path.unlink()
    elif change == "other firmware":
        firmware.secure_code.write_bytes(b"other code")
    else:
        (first.folder / "made-from").unlink()
    again = signed_image(image, root, firmware)
    assert (again.boot_disk.stat().st_ino, again.boot_disk.stat().st_mtime_ns) != before
    assert (again.folder / SECURE_CODE).read_bytes() == firmware.secure_code.read_bytes()
    assert predict(again.folder).authenticode == predict(image).authenticode


@pytest.mark.parametrize("missing", ["uki.efi", "boot.raw"])
def test_an_image_that_is_not_whole(image, root, firmware, missing):
    (image / missing).unlink()
    with pytest.raises(MeasureError, match="bake the image first"):
        signed_image(image, root, firmware)


def test_a_disk_without_partitions(image, root, firmware):
    (image / "boot.raw").write_bytes(gpt_disk([]))
    with pytest.raises(MeasureError, match="no partitions"):
        signed_image(image, root, firmware)


def test_for_a_cloud_there_is_no_firmware_of_ours(image, root):
    signed = signed_image(image, root)
    assert sorted(path.name for path in signed.folder.iterdir()) == ["boot.raw", "made-from", "uki.efi"]
    assert (signed.folder / "uki.efi").read_bytes() in signed.boot_disk.read_bytes()


def test_a_cloud_whose_values_know_the_signer(image, root):
    signed = signed_image(image, root)
    held = variables(b"\1") | {"db": sourced(base64.b64encode(list_of(signed.signer, OWNER)).decode())}
    platform = cloud_platform(values(variables=held), signer=signed.signer, artefacts=signed.folder)
    prepare(image, root, service="test", now=NOW, platforms=(platform,))
    promote(root)
    (measurement,) = read(root).measurements
    assert (measurement.platform, measurement.boot_mode, len(measurement.rtmrs)) == ("gcp", "secure-boot", 2)


def test_a_cloud_whose_values_do_not_know_the_signer(image, root):
    signed = signed_image(image, root)
    platform = cloud_platform(values(secure_boot=True), signer=signed.signer, artefacts=signed.folder)
    with pytest.raises(MeasureError, match="0 times, expected once: enrol it"):
        prepare(image, root, service="test", now=NOW, platforms=(platform,))


# --- the release


def test_the_release_of_a_signed_image(image, root, firmware):
    signed = signed_image(image, root, firmware)
    prepare(image, root, service="test", now=NOW, platforms=(local_secure_boot(signed),))
    promote(root)
    (measurement,) = read(root).measurements
    unsigned = predict(image).pcrs
    assert (measurement.platform, measurement.boot_mode) == ("local-qemu", "secure-boot")
    assert {pcr for pcr, value in measurement.pcrs if value != unsigned[pcr]} == {4, 7}


def test_keys_of_another_deployment_give_another_pcr_7(image, root, firmware, tmp_path):
    ours, theirs = (signed_image(image, place, firmware) for place in (root, tmp_path / "other"))
    mine, other = (predict(one.folder, boot=local_secure_boot(one).boot).pcrs for one in (ours, theirs))
    assert {pcr for pcr in mine if mine[pcr] != other[pcr]} == {7}


def test_secure_boot_is_another_release(image, root, firmware):
    prepare(image, root, service="test", now=NOW, platforms=(LOCAL,))
    promote(root)
    secure = local_secure_boot(signed_image(image, root, firmware))
    assert prepare(image, root, service="test", now=NOW, platforms=(secure,)).changed


def test_what_pcr_7_is_made_of(image, root, firmware):
    signed = signed_image(image, root, firmware)
    events = predict(signed.folder, boot=local_secure_boot(signed).boot).events_of(7)
    assert [event.what.split(",")[0] for event in events] == [
        *(f"variable {name}" for name in ("SecureBoot", "PK", "KEK", "db", "dbx")),
        "separator",
        "authority: the entry of db that let the image through",
    ]
    assert replay(events) != replay(events[:-1])


# --- the variable store


def test_another_program_reads_the_enrolled_keys(tmp_path):
    keys = load_or_create_keys(tmp_path / "keys")
    path = tmp_path / "vars.fd"
    path.write_bytes(enrol(empty_store(), enrolled(keys)))
    found = {str(name): variable.data for name, variable in Edk2VarStore(str(path)).get_varlist().items()}
    variables = enrolled(keys)
    assert found == {"PK": variables.pk, "KEK": variables.kek, "db": variables.db, "SecureBootEnable": b"\1"}


def test_the_same_keys_are_the_same_store(tmp_path):
    keys = load_or_create_keys(tmp_path / "keys")
    assert enrol(empty_store(), enrolled(keys)) == enrol(empty_store(), enrolled(keys))
    assert len(enrol(empty_store(), enrolled(keys))) == len(empty_store())


@pytest.mark.parametrize(
    ("fault", "store", "message"),
    [
        ("no volume", bytes(1000), "not one of EDK2's"),
        ("nothing", b"", "variable store"),
        ("no store in it", empty_store()[:72] + bytes(5000), "not formatted"),
        ("a store that is being formatted", empty_store().replace(b"\x5a\xfe", b"\x5a\xff"), "not formatted"),
        ("a store that somebody used", empty_store()[:100] + b"\xaa\x55" + empty_store()[102:], "not empty"),
        ("a store that is cut short", empty_store()[:5000], "variable store"),
        ("a store without room", empty_store(1000), "room for 972"),
    ],
)
def test_a_store_that_takes_no_keys(tmp_path, fault, store, message):
    with pytest.raises(MeasureError, match=message):
        enrol(store, enrolled(load_or_create_keys(tmp_path)))
    assert fault


def test_a_full_disk_is_said(image, root, firmware, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("provisioner.secure_boot.signed.shutil.copyfile", full)
    with pytest.raises(MeasureError, match="free some space"):
        sign_image(image, root / "x", firmware, load_or_create_keys(root / "keys"))
