"""An endpoint that takes no connections: booting, filtered, without an address; each is told apart."""

from __future__ import annotations

import errno

import pytest

from provisioner.clouds import remote

ENDPOINT = "https://203.0.113.5:8443"


@pytest.fixture
def connecting(monkeypatch):
    """Have every connection end with an error."""

    def end(error):
        def connect(where, timeout):
            assert where == ("203.0.113.5", 8443)
            raise error

        monkeypatch.setattr(remote.socket, "create_connection", connect)
        return remote._silent(ENDPOINT)

    return end


def test_a_machine_that_boots_refuses(connecting):
    said = connecting(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert said == f"nothing listens at {ENDPOINT} yet, and the connection is refused: the machine still boots"


def test_packets_that_vanish_hint_at_who_may_connect(connecting):
    said = connecting(TimeoutError("timed out"))
    assert "this machine's address is not among those that the inventory lets connect (client_ranges, on Azure" in said


def test_a_network_that_leads_nowhere_is_this_machines_affair(connecting):
    said = connecting(OSError(errno.ENETUNREACH, "Network is unreachable"))
    assert said == f"{ENDPOINT} cannot be reached (Network is unreachable): look at this machine's network"


def test_no_address_is_no_connection(monkeypatch):
    monkeypatch.setattr(remote.socket, "create_connection", lambda *_, **__: pytest.fail("it connected to nothing"))
    assert remote._silent("") == "it has no address yet"
