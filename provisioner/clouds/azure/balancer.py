"""The load balancer: which machines the service leads to, and where those that are still on trial are reached.

Every machine of a set is in two pools from the first moment on: that of its image, and that of everybody. So a rollout
changes rules alone, never a machine: the service leads to the old image's pool, then to everybody's, then to the new
one's. Two rules must not lead to the same machine's port, so the way to a set on trial ends when that set serves.

Sources: learn.microsoft.com/azure/load-balancer/{load-balancer-overview,load-balancer-custom-probe-overview,
load-balancer-multivip-overview,outbound-rules}.
"""

from __future__ import annotations

from typing import Any

from provisioner.clouds.azure.names import EVERYBODY, FRONTENDS, POOLS, PROBES, balancer_name, pool
from provisioner.clouds.azure.spec import AzureSpec
from provisioner.clouds.interface import Rolling

SERVICE, STAGING = "service", "staging"
_IDLE_MINUTES = 30


def staging_port(port: int) -> int:
    """Return the port at which a set on trial is reached: the next one."""
    return port + 1


def balancer(spec: AzureSpec, rolling: Rolling | None, address: str) -> dict[str, Any]:
    """Return the balancer's body."""
    probe = {"protocol": "Tcp", "port": spec.image.gateway_port, "intervalInSeconds": 5, "probeThreshold": 2}
    rules = [_rule(spec, SERVICE, spec.port, _serving(spec, rolling))]
    if rolling is not None and rolling.is_staged:
        rules.append(_rule(spec, STAGING, staging_port(spec.port), pool(spec.image.key)))
    return {
        "location": spec.location,
        "sku": {"name": "Standard", "tier": "Regional"},
        "properties": {
            FRONTENDS: [{"name": "frontend", "properties": {"publicIPAddress": {"id": address}}}],
            POOLS: [{"name": name} for name in _pools(spec, rolling)],
            PROBES: [{"name": "probe", "properties": probe}],
            "loadBalancingRules": rules,
        },
    }


def _pools(spec: AzureSpec, rolling: Rolling | None) -> tuple[str, ...]:
    if spec.replicas == 1:
        return (EVERYBODY,)
    old = () if rolling is None else (pool(rolling.old),)
    new = (pool(spec.image.key),) if rolling is None or rolling.makes_new else ()
    return (EVERYBODY, *old, *new)


def _serving(spec: AzureSpec, rolling: Rolling | None) -> str:
    if spec.replicas == 1:
        return EVERYBODY
    old, new = (False, True) if rolling is None else rolling.serves
    if old and new:
        return EVERYBODY
    return pool(spec.image.key) if rolling is None or new else pool(rolling.old)


def _rule(spec: AzureSpec, name: str, port: int, pool_name: str) -> dict[str, Any]:
    parts = {
        "frontendIPConfiguration": (FRONTENDS, "frontend"),
        "backendAddressPool": (POOLS, pool_name),
        "probe": (PROBES, "probe"),
    }
    ids = {key: {"id": spec.place.balancer_part(balancer_name(spec.name), *part)} for key, part in parts.items()}
    rule = {
        **ids,
        "protocol": "Tcp",
        "frontendPort": port,
        "backendPort": spec.image.gateway_port,
        "enableFloatingIP": False,
        "enableTcpReset": True,
        "idleTimeoutInMinutes": _IDLE_MINUTES,
        "disableOutboundSnat": True,  # the machines have no way out, this way neither
    }
    return {"name": name, "properties": rule}
