"""What a service of ours can still do, tried by a probe that the image's own PID 1 starts in each unit's sandbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import provisioner.gate
from tests.roles.booted import INFINITY, probed

pytestmark = pytest.mark.root
ENGINE, VLLM = "vitrine-engine-llamacpp@m.service", "vitrine-engine-vllm@m.service"
NETWORK = "systemd-networkd.service"
NET_BIND_SERVICE, NET_ADMIN, NET_RAW, DAC_READ_SEARCH, SYS_PTRACE, SYS_ADMIN = 10, 12, 13, 2, 19, 21
TLS, ATTESTER, SOCKET = "/run/vitrine/tls", "/run/vitrine/attester", "/run/vitrine/engine/m"
MODEL, VERDICT = "/usr/share/vitrine/model/m", "/run/vitrine/selfcheck/k"

# All that the probe was able to do, and nothing else: what is not here was tried and refused. Folders are those that
# it wrote to; capabilities are the kernel's numbers. A program that it wrote ran nowhere.
CAN = {
    "vitrine-attester.service": {
        "can": ["unix socket"],
        "devices": ["tpmrm0"],
        "writes": [ATTESTER, TLS],
        "reads": [f"{TLS}/k", f"{ATTESTER}/k", VERDICT],
    },
    "vitrine-selfcheck.service": {
        "can": ["netlink socket", "other processes", "root", "the network"],
        "capabilities": [DAC_READ_SEARCH, NET_ADMIN, SYS_PTRACE, SYS_ADMIN],
        "devices": ["control"],
        "writes": ["/dev"],
        "reads": [MODEL, f"{TLS}/k", f"{ATTESTER}/k", f"{SOCKET}/k", VERDICT],
    },
    "vitrine-gateway.service": {
        "can": ["inet socket", "the network", "unix socket"],
        "reads": [f"{TLS}/k", f"{ATTESTER}/k", f"{SOCKET}/k"],
    },
    "vitrine-firewall.service": {"can": ["netlink socket", "the network"], "capabilities": [NET_ADMIN]},
    "vitrine-ready.service": {},
    "vitrine-no-hotplug.service": {"can": ["other processes", "root"]},
    ENGINE: {"can": ["unix socket"], "writes": ["/tmp", "/var/tmp", SOCKET], "reads": [MODEL, f"{SOCKET}/k"]},
    VLLM: {
        "can": ["inet socket", "make machine code", "netlink socket", "unix socket"],
        "writes": ["/dev/shm", "/tmp", "/var/tmp", SOCKET],
        "reads": [MODEL, f"{SOCKET}/k"],
    },
    NETWORK: {
        "can": ["inet socket", "inet6 socket", "netlink socket", "packet socket", "the network", "unix socket"],
        "capabilities": [NET_BIND_SERVICE, NET_ADMIN, NET_RAW],
    },
}
NOTHING = {"can": [], "capabilities": [], "effective": 0, "devices": [], "writes": [], "runs": [], "reads": []}
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def booted(configured, tmp_path_factory):
    return probed(configured, tmp_path_factory.mktemp("booted"), tuple(CAN))


def test_what_nothing_confines_can_do_all_that_is_tried(booted):
    """The control: what the probe finds refused elsewhere was refused by the sandbox."""
    control, _ = booted
    found = control["control.service"]
    # A kernel without kexec has no such call.
    tried = {name for unit in CAN.values() for name in unit.get("can", [])} | {"mount", "trace", "swap", "power off"}
    assert tried <= set(found["can"])
    assert len(found["can"]) >= 26
    assert found["devices"] == ["control", "other", "tpmrm0"]
    assert {"/", "/etc", "/usr", "/tmp", "/run", "/run/vitrine", TLS, ATTESTER, SOCKET} <= set(found["writes"])
    assert {"/", "/etc", "/usr", "/tmp"} <= set(found["runs"])
    assert {MODEL, f"{TLS}/k", f"{ATTESTER}/k", f"{SOCKET}/k", VERDICT} <= set(found["reads"])


@pytest.mark.parametrize("unit", CAN)
def test_a_service_that_was_taken_over_can_do_what_it_is_for_and_nothing_else(booted, unit):
    assert booted[0][unit] == NOTHING | CAN[unit]


@pytest.mark.parametrize(
    ("unit", "memory", "tasks"),
    [
        ("vitrine-attester.service", 512 * MEGABYTE, 64),
        ("vitrine-gateway.service", 2048 * MEGABYTE, 64),
        ("vitrine-selfcheck.service", 256 * MEGABYTE, 64),
        ("vitrine-firewall.service", 256 * MEGABYTE, 64),
        (ENGINE, None, 4096),
        (NETWORK, 256 * MEGABYTE, 64),
    ],
)
def test_nobody_may_take_all_memory_or_start_processes_without_end(booted, unit, memory, tasks):
    shown = booted[1][unit]
    assert (shown["MemorySwapMax"], shown["TasksMax"]) == ("0", str(tasks))
    assert shown["MemoryMax"] != INFINITY
    if memory is not None:
        assert shown["MemoryMax"] == str(memory)


# systemd-analyze's own figure, from 0 to 10. What is above the goal has a limit and a reason in the gate's data.
LIMITS = json.loads((Path(provisioner.gate.__file__).parent / "data/exposure.json").read_text())
EXPOSURE = {
    "vitrine-attester.service": 0.9,
    "vitrine-engine-llamacpp@m.service": 0.6,
    "vitrine-engine-vllm@m.service": 1.1,
    "vitrine-firewall.service": 1.3,
    "vitrine-gateway.service": 1.4,
    "vitrine-no-hotplug.service": 1.1,
    "vitrine-ready.service": 0.7,
    "vitrine-selfcheck.service": 2.8,
    NETWORK: 1.9,
}


@pytest.mark.parametrize("unit", EXPOSURE)
def test_the_exposure_of_every_unit_is_written_down(inside, unit):
    words = inside("/bin/sh", "-c", f"SYSTEMD_COLORS=0 exec systemd-analyze security --offline=yes --no-pager {unit}")
    assert words.returncode == 0, words.stderr
    (line,) = [line for line in words.stdout.splitlines() if "Overall exposure level" in line]
    found = float(line.rpartition(": ")[2].split()[0])
    assert found == EXPOSURE[unit]
    limit = LIMITS["units"].get(unit, {"limit": LIMITS["goal"], "why": ""})
    assert found <= limit["limit"]
    assert bool(limit["why"]) == (found > LIMITS["goal"])


def test_every_unit_of_ours_is_in_both_tables(configured):
    folder = configured / "usr/lib/systemd/system"
    found = {path.name.replace("@.", "@m.") for path in folder.glob("vitrine-*.service")}
    assert found | {NETWORK} == set(CAN) == set(EXPOSURE)


def test_without_the_sandbox_a_unit_is_exposed(inside):
    """The figure is of the sandbox, not of the unit: by another name it has none."""
    unit = "usr/lib/systemd/system/vitrine-gateway.service"
    copied = f'while IFS= read -r line; do echo "$line"; done <{unit} >tmp/bare.service'
    analysed = "exec systemd-analyze security --offline=yes --json=short /tmp/bare.service"
    done = inside("/bin/sh", "-c", f"{copied}; {analysed}")
    open_ones = [entry["name"] for entry in json.loads(done.stdout) if not entry["set"]]
    assert len(open_ones) > 40
