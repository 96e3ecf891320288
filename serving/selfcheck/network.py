"""Checks: nothing but the firewall's exceptions passes, nobody listens, and there is one interface."""

from __future__ import annotations

import json

from serving.selfcheck.expect import expect, expect_none
from serving.selfcheck.facts import Facts

FIREWALL = {("inet", hook) for hook in ("prerouting", "input", "forward", "output")} | {
    ("netdev", hook) for hook in ("ingress", "egress")
}
INTERFACES = ("eth0", "lo")
_LISTENING, _UP = "0A", 1


def firewall_drops_by_default(facts: Facts) -> None:
    """Require that every way of a packet drops what no rule names, packet sockets included; nobody else has tables."""
    items = json.loads(facts.ruleset)["nftables"]
    tables = sorted((item["table"]["family"], item["table"]["name"]) for item in items if "table" in item)
    expect(tables == [("inet", "vitrine"), ("netdev", "vitrine")], f"tables are {tables}")
    chains = [item["chain"] for item in items if "chain" in item and "hook" in item["chain"]]
    hooks = {(chain["family"], chain["hook"]) for chain in chains}
    expect(hooks == FIREWALL, f"hooks are {sorted(hooks)}")
    accepting = sorted(chain["name"] for chain in chains if chain.get("policy") != "drop")
    expect(not accepting, f"chains that accept by default: {accepting}")


def nobody_listens(facts: Facts) -> None:
    """Require that no TCP socket listens before the gateway starts, and that IPv6 is off."""
    lines = facts.read("proc/net/tcp").splitlines()[1:]
    listening = [line.split()[1] for line in lines if line.split()[3] == _LISTENING]
    expect(not listening, f"listening on {listening}")
    if (facts.root / "proc/sys/net/ipv6").exists():
        for scope in ("all", "default"):
            expect(facts.read(f"proc/sys/net/ipv6/conf/{scope}/disable_ipv6").strip() == "1", f"IPv6 is on ({scope})")


def one_interface_is_up(facts: Facts) -> None:
    """Require that whatever other network card the host plugs in is down."""
    others = sorted(path.name for path in (facts.root / "sys/class/net").iterdir() if path.name not in INTERFACES)
    up = [name for name in others if int(facts.read(f"sys/class/net/{name}/flags"), 16) & _UP]
    expect_none(up, "other interfaces are up")
