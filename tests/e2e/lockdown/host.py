"""What a host does to a running VM, through QEMU's monitor: it looks at devices, plugs them in and presses keys."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from provisioner.clouds.qmp import Address, Qmp
from tests.e2e.machine import Machine

_DRIVER = "VIRTIO_CONFIG_S_DRIVER:"


@contextlib.contextmanager
def monitor(target: Machine) -> Iterator[Qmp]:
    """Connect to the VM's monitor."""
    with Qmp(Address(target.root / "vms" / target.name / "qmp.sock", 30.0)) as qmp:
        yield qmp


def taken(qmp: Qmp) -> dict[str, str]:
    """Return the virtio devices that a driver of the guest has taken: where they are in QEMU, and of which kind."""
    devices = {one["path"]: one["name"] for one in qmp.execute("x-query-virtio")}
    status = {path: qmp.execute("x-query-virtio-status", {"path": path})["status"]["statuses"] for path in devices}
    return {path: name for path, name in devices.items() if any(text.startswith(_DRIVER) for text in status[path])}


def enabled(qmp: Qmp) -> set[str]:
    """Return the names of plugged-in devices that the guest has given an address: a driver wanted them."""
    found: set[str] = set()
    waiting = [device for bus in qmp.execute("query-pci") for device in bus["devices"]]
    while waiting:
        device = waiting.pop()
        waiting += device.get("pci_bridge", {}).get("devices", [])
        if device["qdev_id"].startswith("in-") and any(region["address"] > 0 for region in device["regions"]):
            found.add(device["qdev_id"].removeprefix("in-"))
    return found


def plug(qmp: Qmp, port: str, driver: str, **options: object) -> None:
    """Plug a device into a slot, under the slot's name."""
    qmp.execute("device_add", {"driver": driver, "id": f"in-{port}", "bus": port, **options})


def press(qmp: Qmp, *keys: str) -> None:
    """Press keys of the PS/2 keyboard together, and let them go."""
    pressed = [{"type": "qcode", "data": key} for key in keys]
    qmp.execute("send-key", {"keys": pressed, "hold-time": 30})
    time.sleep(0.1)
