"""Releases with several measurements: what each platform states, in an order that does not depend on the caller."""

from __future__ import annotations

import struct
from itertools import permutations

import pytest

from client_sdk.errors import VerificationError
from client_sdk.report import Ledger
from client_sdk.verify.eventlog import verify_event_log
from client_sdk.verify.firmware import GCE
from client_sdk.verify.gce import TDX, gce_pcr0
from provisioner.errors import MeasureError, SpecError
from provisioner.measure import Boot, predict
from provisioner.measure.gpt import read_table
from provisioner.measure.secure_boot import IMAGE_SECURITY, variable_data
from provisioner.measure.signature_list import signatures
from provisioner.measure.stub import MEASURED
from provisioner.platforms import LOCAL, Platform, cloud_platform
from provisioner.publish import prepare, promote
from tests.fakes.boot_log import (
    ACTION,
    CONFIG,
    CRTM,
    FLAGS,
    GPT,
    IMAGE,
    IPL,
    TAG,
    Logged,
    boot_variable,
    load_option,
    replay,
    separator,
    serialise,
)
from tests.provisioner.cloud_values import SIGNER, values
from tests.provisioner.measure.fake_artefacts import uki_image, write_artefacts
from tests.provisioner.test_publish import NOW, read, write_manifest

TD = cloud_platform(values())
SECURE_TD = cloud_platform(values(secure_boot=True), signer=SIGNER)
SNP = cloud_platform(values("gcp", "snp"))
AZURE = cloud_platform(values("azure", "snp"))
ALL = (AZURE, SNP, TD, SECURE_TD, LOCAL)


@pytest.fixture
def image(tmp_path):
    folder = write_artefacts(tmp_path / "image")
    write_manifest(folder)
    return folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def publish(image, root, *platforms):
    prepare(image, root, service="test", now=NOW, platforms=platforms)
    promote(root)
    return read(root).measurements


def stated(image, root, platform):
    (measurement,) = publish(image, root, platform)
    return measurement


def test_a_release_names_every_platform_in_its_own_order(image, root):
    measurements = publish(image, root, *ALL)
    assert [(one.platform, one.boot_mode, one.image_pcr) for one in measurements] == [
        ("azure", "uefi", 4),
        ("gcp", "secure-boot", 2),
        ("gcp", "uefi", 4),
        ("gcp", "uefi", 2),
        ("local-qemu", "uefi", 4),
    ]


def test_the_order_in_which_platforms_are_given_changes_nothing(image, root):
    publish(image, root, *ALL)
    before = (root / "release.json").read_bytes()
    for platforms in list(permutations(ALL))[::17]:
        candidate = prepare(image, root, service="test", now=NOW, platforms=platforms)
        assert not candidate.changed
        assert candidate.release.read_bytes() == before


def test_another_platform_is_another_release(image, root):
    publish(image, root, LOCAL)
    assert prepare(image, root, service="test", now=NOW, platforms=(LOCAL, TD)).number == 2


@pytest.mark.parametrize(
    ("fault", "platforms"),
    [("none", ()), ("one twice", (LOCAL, LOCAL)), ("two of one kind", (TD, cloud_platform(values(), gpus=True)))],
)
def test_platforms_that_make_no_release(image, root, fault, platforms):
    with pytest.raises(SpecError, match="each with its boot mode once"):
        prepare(image, root, service="test", now=NOW, platforms=platforms)
    assert not root.exists(), fault


# --- what each states


def test_a_td_states_registers_and_what_the_cloud_gave(image, root):
    measurement = stated(image, root, TD)
    assert dict(measurement.rtmrs) == dict(predict(image, boot=TD.boot).rtmrs)
    assert [index for index, _ in measurement.rtmrs] == [1, 2]
    assert measurement.pcr0_allowed == (b"\xcc" * 32,)
    assert measurement.acpi_allowed == (b"\xaa" * 32, b"\xbb" * 48)
    assert measurement.launch_measurements == (b"\xdd" * 48,)


@pytest.mark.parametrize("platform", [SNP, AZURE, LOCAL, cloud_platform(values("azure", "tdx"))])
def test_only_a_td_of_googles_has_registers(image, root, platform):
    assert stated(image, root, platform).rtmrs == ()


def test_azure_states_pcr_1_and_no_pcr_6_which_has_each_vms_own_id(image, root):
    pcrs = dict(stated(image, root, AZURE).pcrs)
    assert pcrs[1] == b"\1" * 32
    assert 6 not in pcrs
    assert pcrs[9] == predict(image).pcrs[9]


def test_secure_boot_changes_pcr_7_and_what_is_loaded(image):
    off, on = predict(image, boot=TD.boot), predict(image, boot=SECURE_TD.boot)
    assert {pcr for pcr in off.pcrs if off.pcrs[pcr] != on.pcrs[pcr]} == {4, 7}


def test_a_cloud_with_secure_boot_needs_a_signer():
    with pytest.raises(MeasureError, match="name the signer"):
        cloud_platform(values(secure_boot=True))


def test_gpu_evidence_differs_from_vm_to_vm(image, root):
    events = {
        event.kind: event.data for event in stated(image, root, cloud_platform(values(), gpus=True)).pcr15_template
    }
    assert events["gpu"] is None
    assert {event.kind: event.data for event in stated(image, root, TD).pcr15_template}["gpu"] is not None


def test_a_signed_folder_of_another_image_is_not_published(image, root, tmp_path):
    other = write_artefacts(tmp_path / "other", uki_image(cmdline=b"init=/bin/sh"))
    platform = Platform(name="local-qemu", boot=Boot(), artefacts=other)
    with pytest.raises(MeasureError, match="other: changed since it was baked"):
        prepare(image, root, service="test", now=NOW, platforms=(platform,))


# --- a log that tells what was predicted passes the client's grammar, with the predicted values


def tagged(number, text, event):
    return Logged(9, TAG, struct.pack("<II", number, len(text)) + text, event.digest)


def google_log(image, prediction):
    """Tell a boot of Google's firmware that measures what was predicted."""
    with (image / "boot.raw").open("rb") as disk:
        table = read_table("boot.raw", disk).event_data()
    sections = prediction.events_of(11)[: 2 * len(MEASURED)]
    names = [name.encode("utf-16-le") + b"\0\0" for name in MEASURED for _ in (1, 2)]
    logged = [
        Logged(0, CRTM, "GCE Virtual Firmware v2\0".encode("utf-16-le")),
        Logged(0, 0x11, b"GCE NonHostInfo\0" + bytes([TDX]) + bytes(15)),
        *variables(prediction.boot.variables),
        separator(7),
        Logged(1, FLAGS, b"ACPI DATA", b"\xaa" * 32),
        boot_variable("Boot0000", load_option("UiApp")),
        Logged(4, ACTION, b"Calling EFI Application from Boot Option"),
        *(separator(pcr) for pcr in range(7)),
        *authorities(prediction),
    ]
    for event in prediction.events:
        if event.what == "GPT of the boot disk":
            logged.append(Logged(event.pcr, GPT, table))
        elif event.what.endswith("Authenticode"):
            logged.append(Logged(event.pcr, IMAGE, b"device path", event.digest))
    command_line, initrd = prediction.events_of(9)
    return [
        *logged,
        *(Logged(11, IPL, name, event.digest) for name, event in zip(names, sections, strict=True)),
        tagged(0x8F3B22ED, b"LOADED_IMAGE::LoadOptions\0", command_line),
        tagged(0x8F3B22EC, b"Linux initrd\0", initrd),
        *(Logged(5, ACTION, event.what.encode()) for event in prediction.events_of(5)[-2:]),
    ]


def variables(held):
    return [Logged(7, CONFIG, variable_data(*named)) for named in held.named()]


def authorities(prediction):
    if not prediction.boot.variables.is_on:
        return []
    (entry,) = signatures("db", prediction.boot.variables.db)
    return [Logged(7, 0x800000E0, variable_data(IMAGE_SECURITY, "db", entry.data()))]


def quoted(prediction, log):
    values = {0: gce_pcr0(2, TDX)} | dict(prediction.pcrs)
    return values | {1: replay(log, 1)}


@pytest.mark.parametrize("platform", [TD, SECURE_TD, SNP], ids=["td", "td with secure boot", "snp"])
def test_the_clients_grammar_takes_what_was_predicted(image, platform):
    prediction = predict(image, boot=platform.boot)
    log = google_log(image, prediction)
    facts = verify_event_log(serialise(log), quoted(prediction, log), ledger=Ledger(), family=GCE)
    assert facts.images[0] == (platform.boot.image_pcr, prediction.authenticode)
    assert facts.secure_boot == ("on" if platform is SECURE_TD else "off")


@pytest.mark.parametrize("pcr", [2, 3, 4, 5, 6, 7, 9])
def test_a_machine_that_measured_something_else_is_seen(image, pcr):
    prediction = predict(image, boot=TD.boot)
    log = google_log(image, prediction)
    with pytest.raises(VerificationError, match=rf"\[L1\.{pcr}\]"):
        verify_event_log(serialise(log), quoted(prediction, log) | {pcr: bytes(32)}, ledger=Ledger(), family=GCE)
