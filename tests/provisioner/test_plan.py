import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from provisioner.errors import PlanError
from provisioner.plan import plan
from provisioner.spec import VmSpec

GOLDEN = Path(__file__).parent / "golden"
SPEC = VmSpec.from_vars(
    {
        "name": "demo",
        "boot_disk": "/images/k/boot.raw",
        "model_disk": "/images/k/model.raw",
        "firmware": "/ovmf",
        "gateway_port": 8443,
    }
)


def as_json(planned):
    return json.loads(json.dumps(asdict(planned), default=str))


@pytest.mark.parametrize(
    ("name", "spec", "accelerator"),
    [
        ("virtio-tcg", SPEC, "tcg"),
        ("secure-boot", replace(SPEC, secure_boot=True), "tcg"),
        ("nvme-kvm", replace(SPEC, boot_bus="nvme", port=9443, memory_mib=2048), "kvm"),
    ],
)
def test_golden(name, spec, accelerator):
    # A change of these commands changes what is measured, or who may reach the VM: review it as such.
    assert as_json(plan(spec, accelerator=accelerator)) == json.loads((GOLDEN / f"plan-{name}.json").read_text())


def test_planning_is_pure():
    assert plan(SPEC, accelerator="tcg") == plan(SPEC, accelerator="tcg")
    assert plan(SPEC, accelerator="tcg").digest == plan(SPEC, accelerator="tcg").digest


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"port": 9000},
        {"gateway_port": 9001},
        {"memory_mib": 2048},
        {"boot_bus": "nvme"},
        {"boot_disk": Path("/images/l/boot.raw")},
        {"model_disk": Path("/images/l/model.raw")},
        {"firmware": Path("/ovmf2")},
        {"secure_boot": True},
    ],
)
def test_every_difference_shows_in_the_digest(changes):
    assert plan(replace(SPEC, **changes), accelerator="tcg").digest != plan(SPEC, accelerator="tcg").digest


def test_only_a_vm_with_a_console_has_a_line_that_can_be_written_to():
    silent, debug = (" ".join(plan(replace(SPEC, console=flag), accelerator="tcg").qemu) for flag in (False, True))
    assert "console.sock" not in silent
    assert "socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log" in debug


def test_extra_arguments_of_a_test_show_in_the_digest():
    extra = plan(SPEC, accelerator="tcg", extra_qemu_args=("-smbios", "type=11,value=x"))
    assert extra.qemu[-2:] == ("-smbios", "type=11,value=x")
    assert extra.digest != plan(SPEC, accelerator="tcg").digest


@pytest.mark.parametrize(("wanted", "given"), [("kvm", "tcg"), ("tcg", "kvm")])
def test_an_accelerator_that_the_spec_excludes(wanted, given):
    with pytest.raises(PlanError, match=f"demo: the spec wants accelerator {wanted}, not {given}"):
        plan(replace(SPEC, accelerator=wanted), accelerator=given)


@pytest.mark.parametrize("bus", ["virtio", "nvme"])
@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_what_every_plan_keeps(bus, accelerator):
    planned = plan(replace(SPEC, boot_bus=bus), accelerator=accelerator)
    words = " ".join(planned.qemu)
    assert "-nodefaults" in planned.qemu
    assert "-no-reboot" in planned.qemu
    assert "hostfwd=tcp:127.0.0.1:" in words  # never on every interface
    assert "restrict=on" in words
    assert "romfile=" in planned.qemu[planned.qemu.index("-netdev") + 3].split(",")  # empty: no boot ROM in PCR 2
    for argument in planned.qemu:
        if argument.startswith("{") and json.loads(argument)["node-name"] != "vars":
            assert json.loads(argument)["read-only"] is True


def test_with_secure_boot_no_guest_writes_the_keys():
    planned = plan(replace(SPEC, secure_boot=True), accelerator="tcg")
    assert any(word.startswith("q35,smm=on,") for word in planned.qemu)
    assert "driver=cfi.pflash01,property=secure,value=on" in planned.qemu
    assert Path("/ovmf/OVMF_CODE_4M.secboot.fd") in planned.reads
    assert not [word for word in planned.qemu if "OVMF_CODE_4M.fd" in word]


def test_the_port_that_listens_inside_is_the_images(tmp_path):
    planned = plan(replace(SPEC, port=9443, gateway_port=8001), accelerator="tcg")
    assert any(word.endswith(",hostfwd=tcp:127.0.0.1:9443-:8001") for word in planned.qemu)


def test_a_path_with_commas_and_blanks_stays_one_path():
    odd = Path("/im ages/a,readonly=off/boot.raw")
    planned = plan(replace(SPEC, boot_disk=odd), accelerator="tcg")
    files = [json.loads(word)["file"]["filename"] for word in planned.qemu if word.startswith("{")]
    assert str(odd) in files
