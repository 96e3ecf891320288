"""ACPI tables of the host's own: code that the guest's kernel runs. A release that pins them refuses another one."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from client_sdk.publisher import Publisher
from client_sdk.release import open_release
from provisioner.platforms import LOCAL
from provisioner.publish import CANDIDATES, RELEASE, prepare
from tests.e2e.lockdown import probe
from tests.e2e.machine import vitrine
from tests.e2e.verdicts import verify

pytestmark = pytest.mark.slow
OEM = b"VITRIN"
# Name (\VTRN, One): it does nothing, and another one could do all.
AML = b"\x08VTRN\x01"


def hostile_table():
    """Return an SSDT (ACPI 6.5, section 5.2.11.2)."""
    head = struct.pack("<4sIBB6s8sI4sI", b"SSDT", 36 + len(AML), 2, 0, OEM, b"HOSTILE1", 1, b"HOST", 1)
    table = head + AML
    return table[:9] + bytes([-sum(table) % 256]) + table[10:]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "ssdt.aml"
    path.write_bytes(hostile_table())
    return "-acpitable", f"file={path}"


def pinning(deployment, vm, root):
    """Let the publisher pin everything that PCR 1 of a VM shows."""
    seen = vitrine("observe", vm.origin, "--simulated", vm.tpm_ca, "--json", seconds=300)
    assert seen.status == 0, seen.err
    digests = tuple(bytes.fromhex(text) for text in json.loads(seen.out)["firmware"]["pcr1"])
    assert digests
    root.mkdir()
    shutil.copy2(deployment.root / "publisher.key", root)
    published = open_release(vm.release.read_bytes(), Publisher(keys=(vm.publisher,)))
    platform = replace(LOCAL, acpi_allowed=digests)
    prepare(deployment.image, root, service=published.service, now=datetime.now(UTC), platforms=(platform,))
    return "--release", root / CANDIDATES[RELEASE], "--publisher", vm.publisher, "--simulated", vm.tpm_ca


@pytest.mark.property(
    "kernel_hardening",
    inside="none: code in ACPI tables runs before and below every check",
    control="test_a_guest_that_looks_sees_the_table",
)
def test_a_table_that_no_release_pins_is_refused(boot, deployment, vm, table, tmp_path, figures):
    pins = pinning(deployment, vm, tmp_path / "pinned")
    assert verify(vm.origin, *pins).failed == frozenset()
    hostile = boot(*table, label="acpi")
    assert verify(hostile.origin, *pins, "--wait", 600).failed == {"L1.acpi"}
    figures(f"1 table of {len(hostile_table())} bytes", "refused where pinned")
    # The local platform's own release pins none: the table is taken there, and the report says that this is open.
    open_ = vitrine("verify", hostile.origin, *hostile.pins)
    assert open_.status == 0
    assert "L1.acpi: the release pins no ACPI tables: the host's may hold any code" in open_.out


def test_a_guest_that_looks_sees_the_table(boot, deployment, table, tmp_path):
    folder = probe.make_probe(deployment.image, tmp_path / "probe")
    text = probe.wait_for(boot(*table, image=folder, label="probe"), probe.READY)
    assert f"v02 {OEM.decode()} HOSTILE1" in text
