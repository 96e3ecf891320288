"""What a hostile host prepares before a boot: damaged disks, edited firmware variables, a driver on an extra disk."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import uuid
from pathlib import Path

from provisioner.measure.gpt import find_partition, read_table
from tests.e2e.machine import BIN, CACHE, run

LOADER_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SYSTEMD = "8cf2644b-4b0b-428f-9387-6d876050dc67"
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
IMAGE_SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
NON_VOLATILE_BOOT_RUNTIME, AUTHENTICATED = 7, 0x20


def flip(path: Path, offset: int) -> None:
    """Change one byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def find_in_uki(disk: Path, uki: bytes, needle: bytes) -> int:
    """Return where the first such bytes of the UKI are on a disk that carries it in one piece."""
    data = disk.read_bytes()
    assert data.count(uki) == 1
    return data.index(uki) + uki.index(needle)


def edited_variables(source: Path, target: Path, *variables: tuple[str, str, bytes]) -> Path:
    """Write a copy of a firmware variable store with variables (name, vendor, data) set in it."""
    entries = [
        {"name": name, "guid": vendor, "attr": _attributes(vendor), "data": data.hex()}
        for name, vendor, data in variables
    ]
    document = target.with_suffix(".json")
    document.write_text(json.dumps({"version": 2, "variables": entries}))
    tool = Path(sys.executable).parent / "virt-fw-vars"
    argv = [tool, "-i", source, "-o", target, "--set-json", document]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return target


def _attributes(vendor: str) -> int:
    return NON_VOLATILE_BOOT_RUNTIME | (AUTHENTICATED if vendor == IMAGE_SECURITY else 0)


def signature_list(digest: bytes) -> bytes:
    """Return an EFI_SIGNATURE_LIST with one SHA-256 digest (UEFI 2.10, section 32.4.1)."""
    kind, owner = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328").bytes_le, bytes(16)
    return kind + struct.pack("<III", 28 + 48, 0, 48) + owner + digest


def load_option(disk: Path, file: str) -> bytes:
    """Return an EFI_LOAD_OPTION for a file on a disk's ESP (UEFI 2.10, sections 3.1.3, 10.3.5.1 and 10.3.5.4)."""
    with disk.open("rb") as opened:
        esp = find_partition(read_table("disk", opened), "vitrine-esp")
    sectors = esp.last_sector - esp.first_sector + 1
    partition = struct.pack("<BBHIQQ16sBB", 4, 1, 42, 1, esp.first_sector, sectors, esp.entry[16:32], 2, 2)
    name = (file + "\0").encode("utf-16-le")
    path = partition + struct.pack("<BBH", 4, 4, 4 + len(name)) + name + b"\x7f\xff\x04\x00"
    return struct.pack("<IH", 1, len(path)) + "driver\0".encode("utf-16-le") + path


def put_on_esp(disk: Path, file: Path, target: str = "") -> None:
    """Copy a file onto a disk's ESP, whose content (unlike its place in the GPT) nobody measures; folders are made."""
    target = target or file.name
    with disk.open("rb") as opened:
        esp = find_partition(read_table("disk", opened), "vitrine-esp")
    parents = [f"::/{parent}" for parent in reversed(Path(target).parents) if str(parent) != "."]
    script = "at=$1; from=$2; to=$3; shift 3; for new; do mmd -D s -i $at $new; done; mcopy -o -i $at $from $to"
    places = (f"/work/{disk.name}@@{esp.first_sector * 512}", f"/work/{file.name}", f"::/{target}")
    argv = ["sh", "-c", script, "sh", *places]
    binds = ("--bind", f"{disk.parent}:/work:rw", "--env", "MTOOLS_SKIP_CHECK=1")
    done = run(BIN / "python", "-m", "provisioner.image.tools", "--cache", CACHE, *binds, "--", *argv, *parents)
    assert done.status == 0, done.err


def as_driver(image: bytes) -> bytes:
    """Turn an EFI application into a boot-service driver: subsystem 11 in the optional header."""
    header = struct.unpack_from("<I", image, 0x3C)[0]
    return image[: header + 92] + struct.pack("<H", 11) + image[header + 94 :]
