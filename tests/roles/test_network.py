"""The image's own network configuration and DHCP client, on a network like Google's: address, router, nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.cloud_network import ADDRESS, METADATA, ROUTER

pytestmark = pytest.mark.root
FAKE = Path(__file__).resolve().parents[1] / "fakes/cloud_network.py"
SETTINGS = "etc/sysctl.d/50-no-host-input.conf"
SCRIPT = """
set -eu
tree=$1 python=$2 fake=$3 arp_ignore=$4
cd "$tree"; mount --bind . .; cd "$tree"
mount -t proc proc proc; mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=0755 dev dev
for name in null urandom; do : > dev/$name; mount --bind /dev/$name dev/$name; done
mount -t tmpfs -o mode=0755 run run
mkdir -p run/systemd/netif/links run/systemd/netif/leases
chown -R "$(awk -F: '$1 == "systemd-network" { print $3 }' etc/passwd)" run/systemd/netif
ip link add eth0 type veth peer name srv
ip addr add 169.254.169.254/32 dev srv; ip link set srv up
"$python" "$fake" serve & server=$!
chroot . /usr/lib/systemd/systemd-networkd 2>/dev/null & client=$!
tries=0
until ip -4 route show default | grep -q default; do
  tries=$((tries + 1)); [ $tries -lt 150 ] || break; sleep 0.2
done
ip -4 -o addr show dev eth0; ip -4 route show; ip -o link show eth0; cat run/systemd/resolve/* 2>/dev/null || :
sysctl -qw net.ipv4.conf.all.arp_ignore=$arp_ignore
"$python" "$fake" ask && echo ARP answered || echo ARP silent
kill $client $server
"""


def setting(tree):
    (value,) = re.findall(r"^net\.ipv4\.conf\.all\.arp_ignore = (\d)$", (tree / SETTINGS).read_text(), re.MULTILINE)
    return value


@pytest.fixture
def leased(configured):
    """Lease an address as the image does; return what addresses and routes there are, and whether ARP is answered."""

    def run(arp_ignore):
        spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net"]
        argv = [*spaces, "sh", "-c", SCRIPT, "sh", configured, sys.executable, FAKE, arp_ignore]
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_router_outside_of_a_slash_32_is_reached_and_no_other_route_is_taken(configured, leased):
    said = leased(setting(configured))
    assert f"inet {ADDRESS}/32 " in said
    routes = [line for line in said.splitlines() if " dev eth0 " in line and not line.startswith(tuple("0123456789:"))]
    routes += [line for line in said.splitlines() if line.startswith(ROUTER)]
    assert [line.split(" proto")[0] for line in routes] == [f"default via {ROUTER} dev eth0", f"{ROUTER} dev eth0"]
    assert not re.search(rf"^{METADATA} .*eth0", said, re.MULTILINE), "no way to the metadata service of its own"
    assert "mtu 1500" in said, "the host's MTU is not taken from DHCP"
    assert "ARP answered" in said, "a router outside of the subnet must learn the VM's address"


def test_the_stricter_arp_setting_would_leave_the_vm_unreachable(leased):
    assert "ARP silent" in leased("2")
