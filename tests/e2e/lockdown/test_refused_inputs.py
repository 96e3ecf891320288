"""What a host adds to the boot and would take effect: the VM switches itself off, or a register shows it to the client.

Each of these is a cold boot; two of them run in `make test`.
"""

from __future__ import annotations

import pytest

from provisioner.image import cpio
from provisioner.image.esp import BOOT_PATH
from provisioner.image.firmware import firmware
from provisioner.image.packages import data_file
from tests.e2e import disks
from tests.e2e.conftest import never_came_up
from tests.e2e.lockdown import inputs, probe
from tests.e2e.lockdown.esp import Esp
from tests.e2e.machine import CACHE
from tests.e2e.verdicts import refused

WORD = "systemd.debug_shell=1"
CMDLINE = f"io.systemd.stub.kernel-cmdline-extra={WORD}"
WAIT = ("--wait", 600)
CONTROL = "test_a_guest_that_looks_sees_all_of_it"
NO_CHECK = "the initrd, before there is a self-check"
BY_CLIENT = "the client, by a register"


def property_(inside, role="no_host_input"):
    return pytest.mark.property(role, inside=inside, control=CONTROL)


def switched_itself_off(vm, reason):
    shown = never_came_up(vm)
    assert f"VITRINE-REFUSED {reason}" in shown


@pytest.fixture
def esp(image_copy):
    return Esp.of(image_copy / "boot.raw")


def edited(tmp_path, *variables):
    return disks.edited_variables(firmware(CACHE).variables, tmp_path / "vars.fd", *variables)


# --- words for the kernel


@property_("command-line")
def test_a_command_line_added_through_smbios_is_refused(boot):
    vm = boot("-smbios", f"type=11,value={CMDLINE}", label="cmdline")
    switched_itself_off(vm, "command line is not the measured one")


@pytest.mark.slow
@property_("command-line")
def test_a_command_line_added_by_an_addon_is_refused(boot, image_copy, esp):
    esp.put("loader/addons/debug.addon.efi", esp.addon(".cmdline", WORD.encode()))
    switched_itself_off(boot(image=image_copy, label="addon"), "command line is not the measured one")


@pytest.mark.slow
@property_("command-line")
def test_a_command_line_added_by_an_addon_beside_the_uki_is_refused(boot, image_copy, esp):
    esp.put(f"{BOOT_PATH}.extra.d/debug.addon.efi", esp.addon(".cmdline", WORD.encode()))
    switched_itself_off(boot(image=image_copy, label="beside"), "command line is not the measured one")


def entry_variables(disk, words):
    """A boot entry that calls the UKI with a command line of the host's (UEFI 2.10, section 3.1.3: OptionalData)."""
    option = disks.load_option(disk, "\\" + BOOT_PATH.replace("/", "\\")) + (words + "\0").encode("utf-16-le")
    return ("Boot0007", disks.LOADER_GLOBAL, option), ("BootOrder", disks.LOADER_GLOBAL, b"\x07\x00")


def without_bootindex(argv):
    # With an index QEMU tells the firmware which entries to keep; a host need not.
    return [word.removesuffix(",bootindex=0") for word in argv]


@pytest.mark.slow
@property_("command-line")
def test_a_command_line_in_a_boot_entry_is_refused(boot, deployment, tmp_path):
    # It takes the place of the image's own: without that one's words the refusal would reach no console.
    words = f"{(deployment.image / 'cmdline').read_text()} {WORD}"
    variables = edited(tmp_path, *entry_variables(deployment.image / "boot.raw", words))
    vm = boot(label="entry", variables=variables, edit=without_bootindex)
    switched_itself_off(vm, "command line is not the measured one")


# --- files for the initrd


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    ["loader/credentials/tmpfiles.extra.cred", f"{BOOT_PATH}.extra.d/tmpfiles.extra.cred"],
    ids=["for all", "beside the UKI"],
)
@property_("credentials")
def test_credentials_on_the_boot_disk_are_refused(boot, image_copy, esp, target):
    esp.put(target, b"f+ /run/vitrine/pwned 0644 - - - -")
    switched_itself_off(boot(image=image_copy, label="cred"), "boot disk brings")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sysext", "confext"])
@property_(NO_CHECK)
def test_an_extension_image_on_the_boot_disk_is_refused(boot, image_copy, esp, kind):
    esp.put(f"{BOOT_PATH}.extra.d/more.{kind}.raw", bytes(4096))
    switched_itself_off(boot(image=image_copy, label=kind), "boot disk brings")


def hostile_archive():
    """An archive that replaces the initrd's init by one that also says hello."""
    script = data_file("init.sh").decode()
    hello = script.replace("exec 2>", "say HELLO\nexec 2>", 1)
    assert hello != script
    return cpio.write_cpio([cpio.file("init", hello.encode(), 0o755)])


@pytest.mark.slow
@property_(BY_CLIENT)
def test_an_initrd_in_an_addon_runs_and_is_refused_by_the_client(boot, image_copy, esp):
    # Nothing inside can help here: what would have to look is what was replaced.
    esp.put("loader/addons/more.addon.efi", esp.addon(".initrd", hostile_archive()))
    vm = boot(image=image_copy, label="initrd")
    # A stage before the release is compared, where PCR 9 would differ as well.
    assert refused(vm, *WAIT).failed == {"L7.12"}
    assert "HELLO" in probe.said(vm), "it did not run: the test would prove nothing"


# --- firmware


@property_(NO_CHECK)
def test_a_systemd_efi_variable_is_refused(boot, tmp_path):
    options = "systemd.debug_shell=1\0".encode("utf-16-le")
    variables = edited(tmp_path, ("SystemdOptions", disks.SYSTEMD, options))
    switched_itself_off(boot(label="efivar", variables=variables), "EFI variable SystemdOptions")


@pytest.mark.slow
@property_(NO_CHECK)
def test_any_variable_of_systemds_own_is_refused(boot, tmp_path):
    variables = edited(tmp_path, ("FactoryReset", disks.SYSTEMD, b"t\0"))
    switched_itself_off(boot(label="reset", variables=variables), "EFI variable FactoryReset")


@pytest.mark.slow
@property_(BY_CLIENT)
def test_a_driver_that_runs_before_the_image_is_refused(boot, image_copy, tmp_path):
    stub = next((CACHE / "tools").rglob("linuxx64.efi.stub"))
    driver = image_copy / "driver.efi"
    driver.write_bytes(disks.as_driver(stub.read_bytes()))
    disks.put_on_esp(image_copy / "boot.raw", driver)
    variables = edited(
        tmp_path,
        ("Driver0001", disks.LOADER_GLOBAL, disks.load_option(image_copy / "boot.raw", "\\driver.efi")),
        ("DriverOrder", disks.LOADER_GLOBAL, b"\x01\x00"),
    )
    assert refused(boot(image=image_copy, label="driver", variables=variables), *WAIT).failed == {"L9.1"}


@pytest.mark.slow
@property_(BY_CLIENT)
def test_an_edited_list_of_forbidden_signatures_is_refused(boot, tmp_path):
    variables = edited(tmp_path, ("dbx", disks.IMAGE_SECURITY, disks.signature_list(bytes(32))))
    assert refused(boot(label="dbx", variables=variables), *WAIT).failed == {"L1.pcr7"}


@pytest.mark.slow
@property_(BY_CLIENT)
def test_a_kernel_that_qemu_hands_to_the_firmware_is_refused(boot, deployment):
    # The very UKI, but not from the disk: it is started before any boot entry is, and the log's order shows it.
    vm = boot("-kernel", str(deployment.image / "uki.efi"), label="kernel", edit=without_bootindex)
    assert refused(vm, *WAIT).failed == {"L2.4"}


# --- disks and clock


def first(*words):
    """Put devices before the image's own, so that the kernel meets them first."""

    def edit(argv):
        place = next(index for index, word in enumerate(argv) if '"node-name":"boot"' in word) - 1
        return (*argv[:place], *words, *argv[place:])

    return edit


@pytest.mark.slow
@property_("root-verity")
def test_a_disk_with_our_labels_before_ours_never_comes_up(boot, tmp_path):
    inputs.write_disks(tmp_path)
    (false,) = (one for one in inputs.IGNORED if one.name == "a disk: ours")
    never_came_up(boot(label="labels", edit=first(*inputs.arguments((false,), tmp_path))))


@pytest.mark.slow
@property_("clock")
def test_a_clock_before_the_image_is_refused(boot):
    switched_itself_off(boot("-rtc", "base=2021-06-01T00:00:00", label="clock"), "the clock lies before the image")


# --- the positive control


@pytest.mark.slow
def test_a_guest_that_looks_sees_all_of_it(boot, deployment, tmp_path):
    """The same words to QEMU and files on the disk, and a guest without our image's rules: all of it arrives."""
    folder = probe.make_probe(deployment.image, tmp_path / "probe")
    esp = Esp.of(folder / "boot.raw")
    esp.put("loader/addons/one.addon.efi", esp.addon(".cmdline", b"addon.all"))
    esp.put(f"{BOOT_PATH}.extra.d/two.addon.efi", esp.addon(".cmdline", b"addon.beside"))
    esp.put("loader/credentials/a.cred", b"x")
    esp.put(f"{BOOT_PATH}.extra.d/b.cred", b"x")
    esp.put(f"{BOOT_PATH}.extra.d/c.sysext.raw", bytes(4096))
    esp.put(f"{BOOT_PATH}.extra.d/d.confext.raw", bytes(4096))
    inputs.write_disks(tmp_path)
    (false,) = (one for one in inputs.IGNORED if one.name == "a disk: ours")
    variables = edited(
        tmp_path,
        ("SystemdOptions", disks.SYSTEMD, b"x\0"),
        ("dbx", disks.IMAGE_SECURITY, disks.signature_list(bytes(32))),
    )
    extra = ("-smbios", f"type=11,value={CMDLINE}", "-rtc", "base=2021-06-01T00:00:00")
    edit = first(*inputs.arguments((false,), tmp_path))
    text = probe.wait_for(boot(*extra, image=folder, label="probe", variables=variables, edit=edit), probe.READY)
    (cmdline,) = (line for line in text.splitlines() if line.startswith("PROBE cmdline"))
    assert {WORD, "addon.all", "addon.beside"} <= set(cmdline.split())
    names = ("a.cred", "b.cred", "c.sysext.raw", "d.confext.raw")
    assert [name for name in names if f"/{name}" not in text] == []
    assert "PROBE variable SystemdOptions-" in text
    assert "PROBE variable dbx-" in text
    assert "PROBE disk vda1 PARTNAME=vitrine-root" in text
    assert "PROBE clock 2021" in text


@pytest.mark.slow
def test_a_guest_that_looks_sees_the_words_of_a_boot_entry(boot, deployment, tmp_path):
    folder = probe.make_probe(deployment.image, tmp_path / "probe")
    variables = edited(tmp_path, *entry_variables(folder / "boot.raw", f"{probe.CMDLINE} {WORD}"))
    vm = boot(image=folder, label="probe", variables=variables, edit=without_bootindex)
    assert WORD in probe.wait_for(vm, probe.READY).split("PROBE cmdline")[1].splitlines()[0]
