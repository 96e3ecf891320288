"""An address, and a balancer that passes connections through: to the machines that serve, or to those still on trial.

https://cloud.google.com/load-balancing/docs/network/networklb-backend-service
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioner.clouds.gcp import kinds
from provisioner.clouds.gcp.kinds import located
from provisioner.clouds.gcp.spec import GcpSpec
from provisioner.clouds.interface import DRAIN_SECONDS
from provisioner.clouds.resources import Key, Resource


def staging(deployment: str) -> str:
    """Name what leads to a group that no client is led to yet."""
    return f"{deployment}-staging"


def address(spec: GcpSpec, name: str, note: str) -> Resource:
    """Plan a static address."""
    return Resource(
        key=located(kinds.ADDRESS, spec.place.region, name),
        body={"name": name, "addressType": "EXTERNAL", "networkTier": "PREMIUM"},
        meter="address-hours",
        note=note,
    )


def address_url(spec: GcpSpec, name: str) -> str:
    """Return what names an address in other bodies."""
    return f"projects/{spec.place.project}/regions/{spec.place.region}/addresses/{name}"


def health_check(spec: GcpSpec) -> Resource:
    """Plan the one check that every balancer of the deployment uses."""
    body = {
        "name": spec.name,
        "type": "TCP",
        "tcpHealthCheck": {"port": spec.port, "portSpecification": "USE_FIXED_PORT", "proxyHeader": "NONE"},
        "checkIntervalSec": 10,
        "timeoutSec": 5,
        "healthyThreshold": 2,
        "unhealthyThreshold": 3,
        "logConfig": {"enable": False},
    }
    key = located(kinds.HEALTH_CHECK, spec.place.region, spec.name)
    return Resource(key=key, body=body, note="opens a connection and says nothing")


def balancer(spec: GcpSpec, groups: tuple[str, ...], needs: tuple[Key, ...]) -> Iterator[Resource]:
    """Plan the service: clients' connections go to these groups."""
    # One client's connections meet one machine, as far as can be: each other machine is attested anew.
    body = _backend(spec, spec.name, groups) | {"sessionAffinity": "CLIENT_IP"}
    yield from _leading(spec, body, needs, "the endpoint; stays when machines are made anew")


def trial(spec: GcpSpec, group: str, needs: tuple[Key, ...]) -> Iterator[Resource]:
    """Plan the way to a group that is verified first: at an address of its own, because no port is translated."""
    # Each connection may meet another machine: that is how all of them are met.
    body = _backend(spec, staging(spec.name), (group,)) | {"sessionAffinity": "NONE"}
    yield from _leading(spec, body, needs, "for the operator alone, until the new machines are verified")


def _leading(spec: GcpSpec, body: dict[str, Any], needs: tuple[Key, ...], note: str) -> Iterator[Resource]:
    name, place = body["name"], spec.place
    where = address(spec, name, note)
    backend = Resource(key=located(kinds.BACKEND, place.region, name), body=body, needs=needs)
    yield from (backend, where)
    yield Resource(
        key=located(kinds.RULE, place.region, name),
        body={
            "name": name,
            "IPAddress": address_url(spec, name),
            "IPProtocol": "TCP",
            "ports": [str(spec.port)],
            "loadBalancingScheme": "EXTERNAL",
            "networkTier": "PREMIUM",
            "backendService": f"projects/{place.project}/regions/{place.region}/backendServices/{name}",
        },
        needs=(backend.key, where.key),
        meter="forwarding-rule-hours; GiB processed by the balancer",
    )


def _backend(spec: GcpSpec, name: str, groups: tuple[str, ...]) -> dict[str, Any]:
    here = f"projects/{spec.place.project}"
    return {
        "name": name,
        "protocol": "TCP",
        "loadBalancingScheme": "EXTERNAL",
        "backends": [
            {"group": f"{here}/zones/{spec.place.zone}/instanceGroups/{group}", "balancingMode": "CONNECTION"}
            for group in groups
        ],
        "healthChecks": [f"{here}/regions/{spec.place.region}/healthChecks/{spec.name}"],
        "connectionDraining": {"drainingTimeoutSec": DRAIN_SECONDS},
        "logConfig": {"enable": False},
    }
