"""Prediction against reality: what changes in a role changes the predicted and the quoted PCRs alike."""

from __future__ import annotations

import pytest

from client_sdk.publisher import Publisher
from client_sdk.release import open_release
from tests.e2e import machine
from tests.e2e.machine import CHECKOUT, Machine
from tests.e2e.verdicts import verify
from tests.ports import free_port

NAME = "variant"
# The partition table names file systems by digests of what is in them; command line and initrd name their root hash.
FOLLOW_THE_ROOT = {4, 5, 9, 11}


@pytest.fixture(scope="module")
def variant(deployment):
    """The deployment with one value of one role changed."""
    port = free_port()
    words = (f"NAME={NAME}", f"PORT={port}")
    root = CHECKOUT / "build" / NAME
    try:
        deployed = machine.make("deploy", *words, "VARS=-e egress_firewall_arp_per_second=3")
        assert deployed.status == 0, deployed.out[-4000:] + deployed.err[-2000:]
        yield Machine(root, NAME, f"https://127.0.0.1:{port}")
    finally:
        machine.make("destroy", *words)


def predicted(root):
    release = open_release((root / "release.json").read_bytes(), Publisher(keys=(root / "publisher.pub",)))
    return dict(release.measurements[0].pcrs)


def test_one_changed_role_value_changes_predicted_and_quoted_pcrs_alike(deployment, variant):
    before, after = predicted(deployment.root), predicted(variant.root)
    assert {index for index in before if before[index] != after[index]} == FOLLOW_THE_ROOT
    # The table compares the quoted values with the predicted ones, and fails where one differs.
    table = machine.make("pcr-table", f"NAME={NAME}", f"PORT={variant.origin.rsplit(':', 1)[1]}")
    assert table.status == 0, table.out + table.err


def test_the_other_images_release_does_not_fit(deployment, variant):
    pins = ("--release", deployment.root / "release.json", "--publisher", deployment.root / "publisher.pub")
    verdict = verify(variant.origin, *pins, "--simulated", variant.tpm_ca)
    assert verdict.status == 1
    assert verdict.failed == {"L1.pcr4", "L1.pcr5", "L7.pcr9", "L1.pcr11", "L10.2"}
