"""A cable of the host's for each test, the saved VM at the end of it, and once a run the guest that opens itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count

import pytest

from tests.e2e.lockdown.network.dhcp import hostile
from tests.e2e.lockdown.network.lan import FALSE_ROUTER, PULLABLE, ROUTER, SECOND_MAC, exchange, lan, replug, says
from tests.e2e.lockdown.network.opened import bake_opened
from tests.e2e.lockdown.network.wire import Seen, available
from tests.e2e.machine import BOOT_SECONDS

_numbers = count(1)


def second_card(cable) -> tuple[str, ...]:
    """Return QEMU's words for another card."""
    device = f"virtio-net-pci,netdev=net2,id=nic2,romfile=,mac={SECOND_MAC.hex(':')}"
    return "-netdev", f"{cable.netdev},id=net2", "-device", device


def second_card_in_a_slot(cable) -> tuple[str, ...]:
    """Return the same where the first card is in a slot: the guest counts cards in slots after all others."""
    *words, device = second_card(cable)
    return "-device", "pcie-root-port,id=socket1,chassis=2", *words, f"{device},bus=socket1"


@pytest.fixture
def cabled():
    """A cable with DHCP, and nothing at its other end yet."""
    _require_network()
    with lan() as made:
        yield made


@pytest.fixture
def cabled_vm(cabled, deployment, tmp_path):
    """The saved VM, restored with the cable in its card."""
    made = cabled.clone(deployment, tmp_path / "vm", f"lan-{next(_numbers)}")
    try:
        # QEMU's own network named no router.
        cabled.renew(made)
        yield made
    finally:
        made.destroy()


@dataclass(frozen=True, slots=True)
class Opened:
    """What a guest sent while it had the image's rules and while it had none; what it answered; what DHCP did to it."""

    sealed: list[Seen]
    opened: list[Seen]
    second_sealed: list[Seen]
    second_opened: list[Seen]
    requests: list[dict[int, bytes]]
    elsewhere: tuple[bytes, set[str]]
    exchanged: list[Seen]


@pytest.fixture(scope="session")
def opened(deployment, tmp_path_factory):
    """Bake and boot the copy that opens itself; probe it before and after."""
    _require_network()
    folder = tmp_path_factory.mktemp("opened")
    image = bake_opened(folder)
    with lan() as first, lan("tap1", "10.0.3.2", "10.0.3.15", first.namespace) as second:
        extra = second_card_in_a_slot(second.cable)
        vm = first.boot(deployment, folder / "vm", "opened", image=image, extra=extra, card=PULLABLE)
        try:
            yield _both_times(vm, first, second)
        finally:
            vm.destroy()


def _both_times(vm, first, second):
    says(vm, "TRIES sealed", seconds=BOOT_SECONDS)
    first.probe_everything()
    cut, second_cut = len(first.cable.seen), len(second.cable.seen)
    first.lease.more = second.lease.more = hostile(FALSE_ROUTER, ROUTER)
    replug(vm)
    says(vm, "TRIES opened", seconds=120)
    # Whom it looked for on the way there, it may have looked for before.
    elsewhere = first.answer_to_elsewhere()[0], first.resolved(cut)
    requests = first.requests(cut)
    first.probe_everything()
    for cable in (first.cable, second.cable):
        cable.require_whole()
    seen, also = list(first.cable.seen), list(second.cable.seen)
    assert exchange(vm), "the guest did not let go of the card: the control shows nothing"
    time.sleep(20)
    exchanged = first.cable.from_vm(len(seen))
    return Opened(seen[:cut], seen[cut:], also[:second_cut], also[second_cut:], requests, elsewhere, exchanged)


def _require_network():
    if reason := available():
        pytest.skip(reason)
