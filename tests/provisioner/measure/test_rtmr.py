"""RTMR1 and RTMR2 of a TD, and firmware that takes the boot disk for a device's own."""

from __future__ import annotations

from uuid import UUID

import pytest

from provisioner.errors import MeasureError
from provisioner.measure import LOCAL_BOOT, Boot, explain, predict
from provisioner.measure.event import event_of, replay, replay_rtmr
from provisioner.measure.secure_boot import ON, SecureBootVariables
from provisioner.measure.signature_list import list_of
from tests.provisioner.measure.fake_artefacts import pe_image, uki_image, write_artefacts

OWNER = UUID(int=7)
SEPARATOR = replay((event_of(0, bytes(4), ""),))
GOLDEN = ((2, SEPARATOR), (3, SEPARATOR), (6, SEPARATOR))
TDX = Boot(image_pcr=2, golden=GOLDEN, tdx=True)
CERTIFICATE = b"a certificate"
KEYS = SecureBootVariables(state=ON, pk=list_of(b"pk", OWNER), db=list_of(CERTIFICATE, OWNER))


@pytest.fixture
def artefacts(tmp_path):
    return write_artefacts(tmp_path / "image")


@pytest.fixture
def td(artefacts):
    return predict(artefacts, boot=TDX)


def test_the_order_in_which_a_td_measures(td):
    words = {number: [event.what for event in events] for number, events in td.registers}
    assert words[1] == [
        "Calling EFI Application from Boot Option",
        "separator",
        "GPT of the boot disk",
        "UKI, Authenticode",
        "kernel inside the UKI, Authenticode",
        "Exit Boot Services Invocation",
        "Exit Boot Services Returned with Success",
    ]
    sections = (".linux", ".osrel", ".cmdline", ".initrd", ".uname", ".sbat")
    assert words[2] == [f"{half} {name}" for name in sections for half in ("name", "content of")]


def test_a_machine_that_is_no_td_has_no_registers(artefacts):
    assert dict(predict(artefacts).rtmrs) == {}
    assert "RTMR" not in explain(predict(artefacts))


def test_registers_are_sha_384_of_the_same_bytes(td):
    assert {index: len(value) for index, value in td.rtmrs.items()} == {1: 48, 2: 48}
    assert td.rtmrs[1] == replay_rtmr(dict(td.registers)[1]) != replay_rtmr(dict(td.registers)[1][::-1])
    assert f"RTMR1 = {td.rtmrs[1].hex()}" in explain(td)
    assert td.to_json()["rtmrs"]["2"] == td.rtmrs[2].hex()


# --- what changes in the image changes in a register


@pytest.mark.parametrize(
    ("fault", "uki", "seed", "moved"),
    [
        ("another kernel", uki_image(linux=pe_image({".text": b"another"})), 0, {1, 2}),
        ("another command line", uki_image(cmdline=b"init=/bin/sh"), 0, {1, 2}),
        ("another initrd", uki_image(initrd=b"another"), 0, {1, 2}),
        ("another stub", uki_image(text=b"another stub"), 0, {1}),
        ("another partition table", None, 5, {1}),
    ],
)
def test_a_change_of_the_image_moves_a_register(td, tmp_path, fault, uki, seed, moved):
    other = predict(write_artefacts(tmp_path / "other", uki, seed=seed), boot=TDX)
    assert {index for index in (1, 2) if other.rtmrs[index] != td.rtmrs[index]} == moved, fault


# --- rule L10: the disk's image in PCR 2


def test_firmware_that_takes_the_disk_for_a_devices_own(artefacts, td):
    local = predict(artefacts)
    assert [event.what for event in td.events_of(2)] == ["GPT of the boot disk", "UKI, Authenticode"]
    assert td.pcrs[2] == replay((local.events_of(5)[1], local.events_of(4)[2]), SEPARATOR)
    assert [event.what for event in td.events_of(4)][-1] == "kernel inside the UKI, Authenticode"
    assert "GPT of the boot disk" not in [event.what for event in td.events_of(5)]
    assert {pcr for pcr in local.pcrs if local.pcrs[pcr] != td.pcrs[pcr]} == {2, 4, 5}


def test_a_golden_value_is_where_the_image_begins(artefacts):
    other = predict(artefacts, boot=Boot(golden=((2, bytes(32)), (3, b"\3" * 32), (6, b"\6" * 32))))
    assert (other.pcrs[2], other.pcrs[3], other.pcrs[6]) == (bytes(32), b"\3" * 32, b"\6" * 32)
    assert "golden: the firmware's own part" in explain(other)


def test_a_golden_pcr_1_is_stated_where_there_is_one(artefacts):
    assert 1 not in predict(artefacts).pcrs
    assert predict(artefacts, boot=Boot(golden=((1, b"\1" * 32),))).pcrs[1] == b"\1" * 32


@pytest.mark.parametrize("pcr", [0, 1, 3, 5, 7, 11])
def test_no_firmware_measures_images_elsewhere(pcr):
    with pytest.raises(MeasureError, match=f"into PCR {pcr}; expected 4 or 2"):
        Boot(image_pcr=pcr)


@pytest.mark.parametrize("golden", [(4, bytes(32)), (7, bytes(32)), (11, bytes(32)), (2, bytes(20)), (3, b"")])
def test_a_golden_value_never_stands_for_what_the_image_measures(golden):
    with pytest.raises(MeasureError, match="a golden value has 32 bytes, and is for PCR 1, 2, 3 or 6"):
        Boot(golden=(golden,))


# --- Secure Boot


def test_with_secure_boot_the_kernel_is_in_no_register_of_its_own(artefacts, td):
    on = predict(artefacts, boot=Boot(variables=KEYS, signer=CERTIFICATE, image_pcr=2, golden=GOLDEN, tdx=True))
    assert [event.what for event in on.events_of(4)] == ["Calling EFI Application from Boot Option", "separator"]
    assert "kernel inside the UKI, Authenticode" not in [event.what for event in dict(on.registers)[1]]
    assert on.rtmrs[1] != td.rtmrs[1]
    assert on.rtmrs[2] == td.rtmrs[2]


def test_secure_boot_without_a_signer_starts_nothing():
    with pytest.raises(MeasureError, match="nobody signs the UKI"):
        Boot(variables=KEYS)


def test_secure_boot_with_a_signer_that_db_does_not_know(artefacts):
    with pytest.raises(MeasureError, match="0 times, expected once: enrol it"):
        predict(artefacts, boot=Boot(variables=KEYS, signer=b"somebody else"))


def test_the_local_boot_is_the_default(artefacts):
    assert predict(artefacts) == predict(artefacts, boot=LOCAL_BOOT)
