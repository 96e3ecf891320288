"""A host that changes the image, or mixes machines up: a PCR shows it to the client, or the VM does not come up.

What a host adds to an image that it leaves as it is: tests/e2e/lockdown. Each of these is a cold boot. Two of them run
in `make test`, the others in `make test-slow`.
"""

from __future__ import annotations

import base64
import json
import time

import pytest

from provisioner.errors import CloudError
from provisioner.measure.gpt import find_partition, read_table
from tests.e2e import disks
from tests.e2e.conftest import never_came_up
from tests.e2e.machine import vitrine
from tests.e2e.verdicts import refused

WAIT = ("--wait", 600)


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
