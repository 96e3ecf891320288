"""What a host can offer to a guest that should take none of it, and what the probe says when it has arrived."""

from __future__ import annotations

import json
import os
import struct
import uuid
from dataclasses import dataclass
from pathlib import Path

from provisioner.image.disk import DATA_TYPE, ESP_TYPE, Partition, write_disk
from tests.e2e.disks import LOADER

# Put in place of the folder where the host keeps its files.
FOLDER = "$FOLDER"
PORTS = tuple(f"port{number}" for number in range(8))
_CREDENTIAL = "f+ /run/vitrine/pwned 0644 - - - -"
_MIB = 1 << 20
# The discoverable partitions specification: what systemd would mount, swap to or boot by its type alone.
DISCOVERED = {
    "swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "home": "933ac7e1-2eb4-4f13-b844-0e14e2aef915",
    "var": "4d21b016-b534-45c2-a9fb-5c16e091fd2d",
    "srv": "3b8f8425-20e0-4f3b-907f-1a25a76f98e8",
    "root-x86-64": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    "root-x86-64-verity": "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5",
    "xbootldr": "bc13c2ff-59e6-4262-a352-b275fd6f7172",
}
OURS = ("vitrine-root", "vitrine-root-verity", "vitrine-model", "vitrine-model-verity")


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that a host adds: QEMU's words for it, and a sign that it reached a guest which looks."""

    name: str
    arguments: tuple[str, ...]
    sign: str


def _smbios(name: str, text: str, sign: str) -> Input:
    return Input(name, ("-smbios", f"type=11,value={text}"), sign)


def _device(name: str, driver: str, sign: str, *before: str) -> Input:
    return Input(name, (*before, "-device", driver), sign)


def _disk(name: str, sign: str) -> Input:
    drive = {"driver": "raw", "node-name": name, "file": {"driver": "file", "filename": f"{FOLDER}/{name}.raw"}}
    return Input(f"a disk: {name}", ("-blockdev", json.dumps(drive), "-device", f"virtio-blk-pci,drive={name}"), sign)


def _file(name: str, port: str) -> tuple[str, ...]:
    """Keep what a guest says through a device, which should be nothing."""
    return "-chardev", f"file,id={name},path={FOLDER}/{port}"


IGNORED = (
    _smbios("a credential in SMBIOS", f"io.systemd.credential:tmpfiles.extra={_CREDENTIAL}", "smbios io.systemd.cred"),
    _smbios(
        "a binary credential in SMBIOS",
        "io.systemd.credential.binary:passwd.hashed-password.root=JDYkeA==",
        "smbios io.systemd.credential.binary:passwd",
    ),
    _smbios("an address to report to", "io.systemd.credential:vmm.notify_socket=vsock:2:9", "smbios io.systemd.cre"),
    _smbios(
        "a command line for systemd-boot",
        "io.systemd.boot.kernel-cmdline-extra=systemd.debug_shell",
        "smbios io.systemd.boot.kernel-cmdline-extra",
    ),
    Input(
        "a serial number for cloud-init",
        ("-smbios", "type=1,serial=ds=nocloud;s=http://10.0.2.2/,uuid=11111111-2222-3333-4444-555555555555"),
        "dmi product_serial ds=nocloud;s=http://10.0.2.2/",
    ),
    *(
        Input(f"fw_cfg {name}", ("-fw_cfg", f"name={name},string={text}"), f"fw_cfg {name} {text}")
        for name, text in (
            ("opt/io.systemd.credentials/tmpfiles.extra", _CREDENTIAL),
            ("opt/io.systemd.credentials/sysusers.extra", "u hostile 0"),
            ("opt/com.coreos/config", "{}"),
            ("opt/org.flatcar-linux/config", "{}"),
        )
    ),
    _disk("ours", "PARTNAME=vitrine-root-verity"),
    _disk("discovered", "PARTNAME=root-x86-64-verity"),
    _disk("labels", "PARTNAME=cidata"),
    _device(
        "a port of a guest agent",
        "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        "virtio_console/",
        *("-device", "virtio-serial-pci", *_file("agent", "agent.log")),
    ),
    _device("a virtio console", "virtconsole,chardev=hvc", "virtio_console/", *_file("hvc", "hvc.log")),
    _device("a second serial port", "isa-serial,chardev=second", "ttyS1 at I/O", *_file("second", "second.log")),
    _device("entropy", "virtio-rng-pci", "entropy virtio_rng"),
    _device("a balloon", "virtio-balloon-pci", "driver virtio_balloon/"),
    _device(
        "a folder by 9p",
        "virtio-9p-pci,fsdev=share,mount_tag=host",
        "pci 0x1af4:0x1009",
        *("-fsdev", f"local,id=share,path={FOLDER},security_model=none,readonly=on"),
    ),
    _device("a virtio keyboard", "virtio-keyboard-pci", "driver virtio_input/"),
    _device("a USB keyboard", "usb-kbd,bus=usb.0", "pci 0x1b36:0x000d", "-device", "qemu-xhci,id=usb"),
    _device("a device that tells of a panic", "pvpanic-pci", "pci 0x1b36:0x0011"),
    _device("a watchdog", "i6300esb", "pci 0x8086:0x25ab"),
    _device("a name for every clone", "vmgenid,guid=auto", "VMGENID"),
    _device(
        "a second network card",
        "virtio-net-pci,netdev=second,romfile=",
        "driver virtio_net/virtio",
        *("-netdev", "user,id=second,restrict=on"),
    ),
    Input(
        "slots", tuple(w for p in PORTS for w in ("-device", f"pcie-root-port,id={p},chassis={p[4:]}")), "0x1b36:0x000c"
    ),
)
# Names of systemd-boot's and the stub's that others of systemd's programs read.
VARIABLES = tuple(
    (name, LOADER, (text + "\0").encode("utf-16-le"))
    for name, text in (
        ("LoaderSystemToken", "0123456789abcdef"),
        ("LoaderEntryOneShot", "other.efi"),
        ("LoaderConfigTimeout", "0"),
    )
)


def chosen() -> tuple[Input, ...]:
    """Return all inputs, or those that VITRINE_INPUTS names: where one of many did something, halves find it."""
    names = set(filter(None, os.environ.get("VITRINE_INPUTS", "").split(",")))
    return tuple(one for one in IGNORED if not names or one.name in names or one.name == "slots")


def arguments(inputs: tuple[Input, ...], folder: Path) -> tuple[str, ...]:
    """Return QEMU's words for some inputs."""
    return tuple(word.replace(FOLDER, str(folder)) for one in inputs for word in one.arguments)


def write_disks(folder: Path) -> None:
    """Write the disks of IGNORED, each with something that software likes to find."""
    plain = [(name, DATA_TYPE, os.urandom(_MIB)) for name in OURS]
    found = [(name, kind, _swap() if name == "swap" else _ext4(name)) for name, kind in DISCOVERED.items()]
    labels = [
        *((name, DATA_TYPE, _ext4(name)) for name in ("cidata", "config-2", "OEM", "ignition", "CONTEXT")),
        ("locked", "ca7d7ccb-63ed-4c53-861c-1742536059cc", b"LUKS\xba\xbe\0\2".ljust(_MIB, b"\0")),
        ("esp", ESP_TYPE, _ext4("esp")),
    ]
    for number, (name, parts) in enumerate((("ours", plain), ("discovered", found), ("labels", labels))):
        write(folder / f"{name}.raw", number, parts)


def write(path: Path, number: int, parts: list[tuple[str, str, bytes]]) -> None:
    """Write a disk of partitions: name, type, contents."""
    made = []
    for index, (name, kind, contents) in enumerate(parts):
        part = path.with_name(f"{path.stem}-{index}")
        part.write_bytes(contents)
        made.append(Partition(name, kind, str(uuid.UUID(int=256 * number + index + 1)), part))
    write_disk(path, str(uuid.UUID(int=256 * number + 255)), made)
    for one in made:
        one.contents.unlink()


def _swap() -> bytes:
    """Make an area that `swapon` takes: version 1, its pages, signature (include/linux/swap.h)."""
    head = bytes(1024) + struct.pack("<III", 1, _MIB // 4096 - 1, 0)
    return (head.ljust(4086, b"\0") + b"SWAPSPACE2").ljust(_MIB, b"\0")


def _ext4(label: str) -> bytes:
    """Make what blkid takes for ext4: magic and label in a superblock (fs/ext4/ext4.h)."""
    block = bytearray(1024)
    block[4:8] = struct.pack("<I", _MIB // 1024)
    block[56:58] = b"\x53\xef"
    block[120:136] = label.encode()[:16].ljust(16, b"\0")
    return (bytes(1024) + bytes(block)).ljust(_MIB, b"\0")
