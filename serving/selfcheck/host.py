"""Checks: nothing was taken that a host offers, and there is no device but those on a list."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from serving.selfcheck.expect import expect, expect_none
from serving.selfcheck.facts import Facts
from serving.selfcheck.kernel import gpus_due
from serving.selfcheck.lists import DISKS, GPU_NODES, NODES, VERITIES

MODULES = "etc/modprobe.d/50-no-host-input.conf"
_BLACKLIST = "blacklist "
# systemd's own EFI variables (SystemdOptions and its like), which it would take for a command line.
_SYSTEMD = "8cf2644b-4b0b-428f-9387-6d876050dc67"
CLOSED_SLOTS = "pcie_ports=compat", "acpiphp.disable=1"
_NO_SOURCE = ("", "none")


def no_credentials_from_the_host(facts: Facts) -> None:
    """Require that PID 1 imported no credential."""
    for name in ("@system", "@encrypted", "@initrd"):
        folder = facts.root / "run/credentials" / name
        expect(not folder.exists() and not folder.is_symlink(), f"/run/credentials/{name} exists")


def no_channel_to_the_host(facts: Facts) -> None:
    """Require that no forbidden module is there, no EFI variable of systemd's, and no entropy of the host's."""
    lines = facts.read(MODULES).splitlines()
    names = [line.removeprefix(_BLACKLIST).strip() for line in lines if line.startswith(_BLACKLIST)]
    expect(names, "the image forbids no module")
    expect_none([name for name in names if (facts.root / "sys/module" / name).exists()], "forbidden modules")
    variables = facts.root / "sys/firmware/efi/efivars"
    expect_none(sorted(path.name for path in variables.glob(f"*-{_SYSTEMD}")), "EFI variables for systemd")
    source = facts.root / "sys/devices/virtual/misc/hw_random/rng_current"
    found = source.read_text().strip() if source.exists() else ""
    expect(found in _NO_SOURCE, f"entropy is taken from {found}")


def no_device_is_taken_later(facts: Facts) -> None:
    """Require that a device which is plugged in gets no driver, on whichever bus; on PCI that nobody looks at slots."""
    words = facts.read("proc/cmdline").split()
    expect_none([word for word in CLOSED_SLOTS if word not in words], "words that are missing")
    switches = sorted((facts.root / "sys/bus").glob("*/drivers_autoprobe"))
    taking = [path.parent.name for path in switches if path.read_text().strip() != "0"]
    expect(switches and not taking, f"drivers take new devices of {' '.join(taking) or 'an unknown bus'}")


def devices_are_known(facts: Facts) -> None:
    """Require that every character device is on the list; GPUs' are, where there are GPUs."""
    allowed = NODES + (GPU_NODES if gpus_due(facts) else ())
    folder = facts.root / "dev"
    found = [str(path.relative_to(folder)) for path in _nodes(folder)]
    expect_none(
        [name for name in found if not any(fnmatchcase(name, pattern) for pattern in allowed)], "unknown devices"
    )


def _nodes(folder: Path) -> list[Path]:
    """List what is neither link nor folder nor disk; pts has terminals alone, which nobody has."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.is_block_device() or path.name in {"pts", "shm", "mqueue"}:
            continue
        found += _nodes(path) if path.is_dir() else [path]
    return found


def disks_are_known(facts: Facts) -> None:
    """Require that disks are the host's plain ones, and that the device mapper has the two verified ones alone."""
    folder = facts.root / "sys/class/block"
    names = sorted(path.name for path in folder.iterdir())
    mapped = [name for name in names if name.startswith("dm-")]
    expect_none([n for n in names if n not in mapped and not any(fnmatchcase(n, p) for p in DISKS)], "unknown disks")
    found = tuple(sorted(facts.read(f"sys/class/block/{name}/dm/name").strip() for name in mapped))
    expect(found == VERITIES, f"the device mapper has {' '.join(found)}")
