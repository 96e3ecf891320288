"""Packets that a passthrough balancer sends on unchanged: taken for baked addresses, and for no others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest
import yaml

from tests.roles.test_firewall import Network
from tests.roles.test_firewall import joined as two_machines

NETWORK = Path(__file__).resolve().parents[2] / "roles/base/files/tree/etc/systemd/network/10-vitrine.network.j2"
BALANCER, OTHER, CLIENT = "203.0.113.9", "203.0.113.10", "198.51.100.7"
SERVE = """
import socket, threading
server = socket.create_server(("0.0.0.0", 8443))
print("ready", flush=True)
while True: server.accept()[0].close()
"""
ASK = "import socket; socket.create_connection(({!r}, 8443), timeout=2, source_address=({!r}, 0)).close()"


def rendered(*addresses):
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, autoescape=False)  # noqa: S701, no HTML
    template = environment.from_string(NETWORK.read_text())
    return template.render(base_interface="eth0", base_service_addresses=addresses)


def routes(text):
    return re.findall(r"^\[Route\]\nDestination=(\S+)/32\nType=local\nTable=local\n", text, re.MULTILINE)


def test_without_a_balancer_nothing_is_added():
    assert "[Route]" not in rendered()
    assert rendered().rstrip().endswith("Use6RD=no")


def test_each_address_is_a_local_route_of_one_address():
    assert routes(rendered(BALANCER, OTHER)) == [BALANCER, OTHER]


@pytest.mark.parametrize("address", ["203.0.113.0/24", "0.0.0.0/0", "::1", "host", "1.2.3.4\n[Route]", "1.2.3.4\n", ""])
def test_what_is_no_single_address_is_refused(play, tmp_path, address):
    defaults = yaml.safe_load((NETWORK.parents[5] / "defaults/main.yml").read_text())
    role = {"ansible.builtin.import_role": {"name": "base", "tasks_from": "preflight"}}
    told = defaults | {"base_service_addresses": [address]}
    page = [{"hosts": "localhost", "gather_facts": False, "vars": told, "tasks": [role]}]
    (tmp_path / "preflight.yml").write_text(yaml.safe_dump(page))
    done = play(tmp_path / "preflight.yml")
    assert done.returncode != 0
    assert "base_service_addresses IPv4" in done.stdout


@pytest.mark.root
def test_the_kernel_answers_at_the_balancers_address_and_at_no_other():
    with two_machines() as network:
        answers(network)


def answers(network: Network):
    network.run(network.peer, "ip", "address", "add", f"{CLIENT}/32", "dev", "peer0")
    for address in (BALANCER, OTHER):
        network.run(network.peer, "ip", "route", "add", f"{address}/32", "via", "192.0.2.1")
    for address in routes(rendered(BALANCER)):
        network.run(network.vm, "ip", "route", "add", "local", f"{address}/32", "dev", "eth0", "table", "local")
    server = subprocess.Popen(network.enter(network.vm, sys.executable, "-c", SERVE), stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() == b"ready\n"
        network.python(network.peer, ASK.format(BALANCER, CLIENT))
        with pytest.raises(subprocess.CalledProcessError):
            network.python(network.peer, ASK.format(OTHER, CLIENT))
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
