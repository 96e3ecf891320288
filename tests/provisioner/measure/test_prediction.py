import hashlib

import pytest

from provisioner.errors import MeasureError
from provisioner.measure import PREDICTED_PCRS, explain, predict, prediction
from provisioner.measure.event import replay
from provisioner.measure.stub import _os_release_archive
from tests.provisioner.measure.fake_artefacts import gpt_disk, pe_image, uki_image, write_artefacts

ZERO = bytes(32)
# Values of a real boot with OVMF 2025.02 and the stub of systemd 257.
RECORDED = {
    "separator alone": "3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969",
    "pcr 7": "b5710bf57d25623e4019027da116821fa99f5c81e9e38b87671cc574f9281439",
    "command line": "28eb8fa8c181dae9bc3d37223eb70f9a54e402aaef3f2649395fc19a5c08d40e",
}


@pytest.fixture
def base(tmp_path):
    return predict(write_artefacts(tmp_path / "base"))


def test_what_a_real_boot_measured(base):
    assert {pcr: base.pcrs[pcr].hex() for pcr in (2, 3, 6)} == dict.fromkeys((2, 3, 6), RECORDED["separator alone"])
    assert base.pcrs[7].hex() == RECORDED["pcr 7"]
    assert base.events_of(9)[0].digest.hex() == RECORDED["command line"]
    assert [base.pcrs[pcr] for pcr in (12, 13, 14)] == [ZERO] * 3
    assert tuple(base.pcrs) == PREDICTED_PCRS


def test_the_archive_of_the_stub_byte_for_byte():
    # As found behind the initrd of a real boot (kernel option retain_initrd).
    assert _os_release_archive(b"ID=x\n") == (
        b"070701000000010000416d000000000000000000000001000000000000000000000000000000000000000000000000"
        b"0000000700000000.extra\0\0\0\0"
        b"070701000000020000812400000000000000000000000100000000000000050000000000000000000000000000000000000012"
        b"00000000.extra/os-release\0ID=x\n\0\0\0"
        b"0707010000000000000000000000000000000000000001000000000000000000000000000000000000000000000000"
        b"0000000B00000000TRAILER!!!\0\0\0\0"
    )


CHANGES = {
    "command line": ({"cmdline": b"console=ttyS0 init=/bin/sh"}, {4, 9, 11}),
    "initrd": ({"initrd": b"another initrd"}, {4, 9, 11}),
    "os-release": ({"osrel": b"ID=evil\n"}, {4, 9, 11}),
    "uname": ({"uname": b"6.13"}, {4, 11}),
    "sbat": ({"sbat": b"sbat,2\n"}, {4, 11}),
    "stub code": ({"text": b"code of another stub"}, {4}),
    "kernel": ({"linux": pe_image({".text": b"kernel kode", ".data": b"kernel data"})}, {4, 11}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_moves_exactly_the_pcrs_that_bear_it(base, tmp_path, change):
    sections, moved = CHANGES[change]
    other = predict(write_artefacts(tmp_path / "other", uki_image(**sections)))
    assert {pcr for pcr in PREDICTED_PCRS if base.pcrs[pcr] != other.pcrs[pcr]} == moved
    assert base.authenticode != other.authenticode


def test_another_partition_table_moves_pcr_5_alone(base, tmp_path):
    other = predict(write_artefacts(tmp_path / "other", seed=7))
    assert {pcr for pcr in PREDICTED_PCRS if base.pcrs[pcr] != other.pcrs[pcr]} == {5}


@pytest.mark.parametrize("phases", [(), ("ready",), ("ready", "sysinit"), ("sysinit", "ready", "shutdown")])
def test_other_phases_move_pcr_11_alone(base, tmp_path, phases):
    other = predict(write_artefacts(tmp_path / "other"), phases=phases)
    assert {pcr for pcr in PREDICTED_PCRS if base.pcrs[pcr] != other.pcrs[pcr]} == {11}


def test_pcr_11_is_name_and_content_in_the_stubs_order_then_the_phases(base):
    words = [event.what for event in base.events_of(11)]
    order = [".linux", ".osrel", ".cmdline", ".initrd", ".uname", ".sbat"]
    assert words[:12] == [f"{part} {name}" for name in order for part in ("name", "content of")]
    assert words[12:] == ["phase sysinit", "phase ready"]
    assert base.events_of(11)[0].digest == hashlib.sha256(b".linux\0").digest()


@pytest.mark.parametrize("extra", ["pcrsig", "pcrpkey", "ucode", "profile", "splash", "dtb", "hwids", "surprise"])
def test_a_section_whose_measurement_is_not_predicted(tmp_path, extra):
    folder = write_artefacts(tmp_path / "a", uki_image(**{extra[:7]: b"x"}))
    with pytest.raises(MeasureError, match=rf"sections that this prediction does not know: \.{extra[:7]}"):
        predict(folder)


@pytest.mark.parametrize("lost", ["osrel", "cmdline", "initrd", "uname", "sbat", "linux"])
def test_a_section_that_is_missing(tmp_path, lost):
    with pytest.raises(MeasureError, match=rf"0 sections named \.{lost}"):
        predict(write_artefacts(tmp_path / "a", uki_image(**{lost: None})))


@pytest.mark.parametrize("cmdline", [b"a\n", b" a", b"a\0b", "é".encode(), b"a "])
def test_a_command_line_that_the_stub_would_not_pass_on_as_it_is(tmp_path, cmdline):
    with pytest.raises(MeasureError, match="one line of ASCII"):
        predict(write_artefacts(tmp_path / "a", uki_image(cmdline=cmdline)))


def test_a_kernel_that_is_no_image(tmp_path):
    with pytest.raises(MeasureError, match=r"uki\.efi: \.linux: not a PE image"):
        predict(write_artefacts(tmp_path / "a", uki_image(linux=b"\x7fELF" + bytes(100))))


def test_a_disk_that_carries_another_uki(tmp_path):
    folder = write_artefacts(tmp_path / "a")
    (folder / "uki.efi").write_bytes(uki_image(cmdline=b"other"))
    with pytest.raises(MeasureError, match=r"boot\.raw does not carry uki\.efi"):
        predict(folder)


def test_a_uki_that_lies_in_the_wrong_partition(tmp_path):
    folder = write_artefacts(tmp_path / "a")
    (folder / "boot.raw").write_bytes(gpt_disk([("esp", b"empty"), ("other", uki_image())]))
    with pytest.raises(MeasureError, match="in its first partition"):
        predict(folder)


def test_a_disk_without_partitions(tmp_path):
    folder = write_artefacts(tmp_path / "a")
    (folder / "boot.raw").write_bytes(gpt_disk([]))
    with pytest.raises(MeasureError, match="no partitions"):
        predict(folder)


@pytest.mark.parametrize("name", ["uki.efi", "boot.raw"])
@pytest.mark.parametrize("fault", ["missing", "a folder", "empty"])
def test_a_file_that_cannot_be_used(tmp_path, name, fault):
    path = write_artefacts(tmp_path / "a") / name
    path.unlink()
    if fault == "a folder":
        path.mkdir()
    elif fault == "empty":
        path.write_bytes(b"")
    with pytest.raises(MeasureError, match=name.replace(".", r"\.")):
        predict(tmp_path / "a")


def test_a_uki_too_large_to_be_one(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "_MAX_UKI", 100)
    with pytest.raises(MeasureError, match="larger than 100 bytes"):
        predict(write_artefacts(tmp_path / "a"))


@pytest.mark.parametrize("phase", ["", "a b", "phasé", "a\n", "a:b"])
def test_a_phase_that_is_none(tmp_path, phase):
    with pytest.raises(MeasureError, match="is not the name of a boot phase"):
        predict(write_artefacts(tmp_path / "a"), phases=(phase,))


def test_the_explanation_ends_in_the_predicted_values(base):
    text = explain(base)
    for pcr in PREDICTED_PCRS:
        assert f"PCR {pcr} = {base.pcrs[pcr].hex()}" in text
        assert replay(base.events_of(pcr)) == base.pcrs[pcr]
    assert "kernel inside the UKI" in text
