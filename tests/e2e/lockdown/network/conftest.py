"""A cable of the host's for each test, and the saved VM at the end of it."""

from __future__ import annotations

from itertools import count

import pytest

from tests.e2e.lockdown.network.lan import lan
from tests.e2e.lockdown.network.wire import available

_numbers = count(1)


@pytest.fixture
def cabled():
    """A cable with DHCP, and nothing at its other end yet."""
    if reason := available():
        pytest.skip(reason)
    with lan() as made:
        yield made


@pytest.fixture
def cabled_vm(cabled, deployment, tmp_path):
    """The saved VM, restored with the cable in its card."""
    made = cabled.clone(deployment, tmp_path / "vm", f"lan-{next(_numbers)}")
    yield made
    made.destroy()
