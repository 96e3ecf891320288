"""The host as the attacker: every change shows in a PCR that the client refuses, or the VM does not come up.

Each of these is a cold boot. Four of them run in `make test`, the others in `make test-slow`.
"""

from __future__ import annotations

import base64
import json
import time

import pytest

from provisioner.errors import CloudError
from provisioner.image.firmware import firmware
from provisioner.measure.gpt import find_partition, read_table
from tests.e2e import disks
from tests.e2e.conftest import wait_for_end
from tests.e2e.machine import CACHE, vitrine
from tests.e2e.verdicts import refused

WAIT = ("--wait", 600)


def never_came_up(vm):
    console = wait_for_end(vm)
    assert "VITRINE ready" not in console
    assert vitrine("verify", vm.origin, *vm.pins).status == 3
    return console


@pytest.mark.slow
def test_two_vms_are_two_machines_and_one_cannot_lend_the_other_its_evidence(boot, tmp_path):
    first, second = boot(label="first"), boot(label="second")
    saved = {}
    for name, vm in (("first", first), ("second", second)):
        saved[name] = tmp_path / f"{name}.json"
        assert vitrine("verify", vm.origin, *vm.pins, *WAIT, "--save", saved[name], seconds=900).status == 0
    one, two = (json.loads(path.read_text()) for path in saved.values())
    first_evidence, second_evidence = (_evidence(item) for item in (one, two))
    for key in ("ek_certificates", "ak_public", "tls_certificate"):
        assert first_evidence[key] != second_evidence[key], f"{key} is shared: the test would prove nothing"
    swapped = tmp_path / "swapped.json"
    swapped.write_text(json.dumps(one | {"evidence": two["evidence"]}))
    # The certificate of the first one's connection is not in the second one's evidence.
    assert refused(first, "--evidence", swapped).failed == {"C3.1"}
    relayed = tmp_path / "relayed.json"
    relayed.write_text(json.dumps(one | {"evidence": two["evidence"], "certificate": two["certificate"]}))
    # The second one never saw the nonce, and its TPM cannot have activated the first one's credential.
    assert refused(first, "--evidence", relayed).failed == {"Q8.2"}


def _evidence(saved):
    return json.loads(base64.b64decode(saved["evidence"]))


def test_a_uki_with_one_changed_byte_is_refused(boot, deployment, image_copy):
    # In the name of the distribution: the image boots as before, so only the measurement can tell.
    disk, uki = image_copy / "boot.raw", (deployment.image / "uki.efi").read_bytes()
    disks.flip(disk, disks.find_in_uki(disk, uki, b"Debian"))
    # Its measurement (PCR 4, by value and as the release's image) and that of the section that was changed (PCR 11).
    found = refused(boot(image=image_copy, label="uki"), *WAIT).failed
    assert found == {"L1.pcr4", "L1.pcr11", "L10.2"}


def test_a_root_disk_with_one_changed_byte_never_comes_up(boot, image_copy):
    with (image_copy / "boot.raw").open("rb") as disk:
        root = find_partition(read_table("boot.raw", disk), "vitrine-root")
    # Everywhere in the file system: whichever block is read first, the kernel panics.
    for offset in range(root.offset, root.offset + root.size, 1 << 16):
        disks.flip(image_copy / "boot.raw", offset)
    never_came_up(boot(image=image_copy, label="root"))


@pytest.mark.slow
def test_another_model_disk_never_comes_up(boot, image_copy):
    size = (image_copy / "model.raw").stat().st_size
    for offset in range(1 << 20, size - (1 << 20), 1 << 16):
        disks.flip(image_copy / "model.raw", offset)
    never_came_up(boot(image=image_copy, label="model"))


def test_a_command_line_added_through_smbios_is_refused_inside_and_outside(boot):
    added = "type=11,value=io.systemd.stub.kernel-cmdline-extra=systemd.import_credentials=yes"
    console = never_came_up(boot("-smbios", added, label="cmdline"))
    assert "VITRINE-REFUSED" in console


@pytest.mark.slow
def test_credentials_through_smbios_change_nothing(boot):
    credential = "type=11,value=io.systemd.credential:tmpfiles.extra=f+ /run/vitrine/pwned 0644 - - - -"
    vm = boot("-smbios", credential, label="credential")
    outcome = vitrine("verify", vm.origin, *vm.pins, *WAIT, seconds=900)
    # PCR 15's lock-down event is only there when the self-check found no credential.
    assert outcome.status == 0, outcome.out + outcome.err


def test_a_systemd_efi_variable_is_refused(boot, tmp_path):
    options = "systemd.debug_shell=1\0".encode("utf-16-le")
    variables = disks.edited_variables(
        firmware(CACHE).variables, tmp_path / "vars.fd", ("SystemdOptions", disks.SYSTEMD, options)
    )
    console = never_came_up(boot(label="efivar", variables=variables))
    assert "VITRINE-REFUSED" in console


@pytest.mark.slow
def test_a_driver_that_runs_before_the_image_is_refused(boot, image_copy, tmp_path):
    stub = next((CACHE / "tools").rglob("linuxx64.efi.stub"))
    driver = image_copy / "driver.efi"
    driver.write_bytes(disks.as_driver(stub.read_bytes()))
    disks.put_on_esp(image_copy / "boot.raw", driver)
    option = disks.load_option(image_copy / "boot.raw", "\\driver.efi")
    variables = disks.edited_variables(
        firmware(CACHE).variables,
        tmp_path / "vars.fd",
        ("Driver0001", disks.LOADER_GLOBAL, option),
        ("DriverOrder", disks.LOADER_GLOBAL, b"\x01\x00"),
    )
    assert refused(boot(image=image_copy, label="driver", variables=variables), *WAIT).failed == {"L9.1"}


@pytest.mark.slow
def test_a_vm_that_still_boots_is_no_verdict(boot):
    vm = boot(label="booting")
    time.sleep(1)
    assert vitrine("verify", vm.origin, *vm.pins).status == 3
    assert vitrine("ask", vm.origin, "secret", *vm.pins).status == 3


@pytest.mark.slow
def test_the_same_image_boots_from_nvme_with_the_same_measurements(boot):
    vm = boot(label="nvme", boot_bus="nvme")
    outcome = vitrine("verify", vm.origin, *vm.pins, *WAIT, seconds=900)
    assert outcome.status == 0, outcome.out + outcome.err


@pytest.mark.slow
def test_a_port_in_use_is_a_clear_error(boot):
    vm = boot(label="owner")
    with pytest.raises(CloudError, match=r"port \d+ is taken"):
        boot(label="second", port=int(vm.origin.rsplit(":", 1)[1]))
