"""From a spec to the exact commands and files that make it real: data, no effects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from provisioner.errors import PlanError
from provisioner.image.firmware import CODE, SECURE_CODE, VARIABLES
from provisioner.spec import Accelerator, VmSpec

# Software emulation copies one byte at a time where the CPU promises fast "rep movsb" (ERMS): without the
# promise kernel and libc copy words, which saves a twentieth of a boot.
_CPUS: Mapping[Accelerator, str] = {"tcg": "max,-erms", "kvm": "host"}


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that the VM gets its own writable copy of: from where, under which name."""

    source: Path
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that ``apply`` will do for one VM. That it works on this host is not said.

    The commands run in the VM's own folder and name what lies there relatively, so that a plan does not
    depend on where that is.
    """

    name: str
    port: int
    accelerator: Accelerator
    copies: tuple[Copy, ...]
    reads: tuple[Path, ...]
    swtpm_setup: tuple[str, ...]
    swtpm: tuple[str, ...]
    qemu: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A name for exactly this plan: two plans with the same digest do the same."""
        text = json.dumps(asdict(self), default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def plan(spec: VmSpec, *, accelerator: Accelerator, extra_qemu_args: tuple[str, ...] = ()) -> Plan:
    """Plan a VM on this machine's QEMU.

    ``extra_qemu_args`` is for tests that play a hostile host: no inventory variable reaches it.

    Raises:
        PlanError: the spec forbids the accelerator.
    """
    if spec.accelerator not in ("auto", accelerator):
        raise PlanError(f"{spec.name}: the spec wants accelerator {spec.accelerator}, not {accelerator}")
    return Plan(
        name=spec.name,
        port=spec.port,
        accelerator=accelerator,
        copies=(Copy(spec.firmware / VARIABLES, "vars.fd"),),
        reads=(_code(spec), spec.boot_disk, spec.model_disk),
        swtpm_setup=_swtpm_setup(),
        swtpm=_swtpm(),
        qemu=(*_machine(spec, accelerator), *_tpm(), *_disks(spec), *_network(spec), *_host(spec), *extra_qemu_args),
    )


def port_forward(port: int) -> str:
    """Return how the option begins that lets this machine, and no other, reach a VM through ``port``."""
    return f"hostfwd=tcp:127.0.0.1:{port}-:"


def probe_command(spec: VmSpec) -> tuple[str, ...]:
    """Return the command that boots the spec's image under KVM, without TPM and network, to see it start."""
    return (*_machine(spec, "kvm"), *_disks(spec), *_console())


def _machine(spec: VmSpec, accelerator: Accelerator) -> tuple[str, ...]:
    return (
        "qemu-system-x86_64",
        *("-name", f"vitrine-{spec.name}"),
        # No floppy, no CD, no VGA, no default network card: what is not in the plan is not there.
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *_board(spec),
        *("-accel", accelerator, "-cpu", _CPUS[accelerator]),
        *("-smp", "1", "-m", str(spec.memory_mib)),
        *("-blockdev", _file("code", str(_code(spec)), read_only=True)),
        *("-blockdev", _file("vars", "vars.fd", read_only=False)),
        # A guest that resets has refused to come up; starting it again would hide that.
        "-no-reboot",
    )


def _code(spec: VmSpec) -> Path:
    return spec.firmware / (SECURE_CODE if spec.secure_boot else CODE)


def _board(spec: VmSpec) -> tuple[str, ...]:
    """Return the machine; with Secure Boot only firmware in system management mode may write to the flash."""
    flashes = "pflash0=code,pflash1=vars"
    if not spec.secure_boot:
        return ("-machine", f"q35,{flashes}")
    # A wake from S3 would run a script that lies in the guest's memory.
    guarded = ("-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")
    return ("-machine", f"q35,smm=on,{flashes}", *guarded)


def _tpm() -> tuple[str, ...]:
    return (
        *("-chardev", "socket,id=tpm,path=swtpm.sock"),
        *("-tpmdev", "emulator,id=tpm0,chardev=tpm"),
        *("-device", "tpm-crb,tpmdev=tpm0"),
    )


def _disks(spec: VmSpec) -> tuple[str, ...]:
    boot = "nvme,drive=boot,serial=boot" if spec.boot_bus == "nvme" else "virtio-blk-pci,drive=boot"
    return (
        *("-blockdev", _file("boot", str(spec.boot_disk), read_only=True)),
        # With an explicit boot index the firmware keeps no other boot entry for a disk.
        *("-device", f"{boot},bootindex=0"),
        *("-blockdev", _file("model", str(spec.model_disk), read_only=True)),
        *("-device", "virtio-blk-pci,drive=model"),
    )


def _network(spec: VmSpec) -> tuple[str, ...]:
    return (
        # restrict: the host forwards nothing of the guest's. The guest's own rules are tested without it.
        *("-netdev", f"user,id=net,restrict=on,{port_forward(spec.port)}{spec.gateway_port}"),
        # romfile is empty: a network boot ROM would run before the UKI and change PCR 2.
        *("-device", "virtio-net-pci,netdev=net,romfile="),
    )


def _console(*, writable: bool = False) -> tuple[str, ...]:
    """Return the serial line, which goes to a file; a debug image's has a socket beside it that can be written to."""
    socket = "socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log"
    return ("-chardev", socket if writable else "file,id=console,path=console.log", "-serial", "chardev:console")


def _host(spec: VmSpec) -> tuple[str, ...]:
    return (
        *_console(writable=spec.console),
        *("-qmp", "unix:qmp.sock,server=on,wait=off"),
        # QEMU parses what a guest sends; it needs no child processes and no more rights than it has.
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
    )


def _file(node: str, path: str, *, read_only: bool) -> str:
    """Return a block device as JSON, in which a path may hold commas and spaces."""
    return json.dumps(
        {
            "driver": "raw",
            "node-name": node,
            "read-only": read_only,
            "file": {"driver": "file", "filename": path},
        },
        separators=(",", ":"),
    )


def _swtpm_setup() -> tuple[str, ...]:
    return (
        *("swtpm_setup", "--tpm2", "--tpmstate", "tpm", "--config", "swtpm_setup.conf"),
        *("--create-ek-cert", "--pcr-banks", "sha256", "--overwrite"),
    )


def _swtpm() -> tuple[str, ...]:
    return (
        *("swtpm", "socket", "--tpm2", "--tpmstate", "dir=tpm"),
        *("--ctrl", "type=unixio,path=swtpm.sock", "--log", "file=swtpm.log"),
        # It goes when QEMU goes: a TPM without its VM is left-over state.
        "--terminate",
    )
