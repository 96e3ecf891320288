"""The plan of a deployment on Azure: everything that it has there, in the API's own words. Pure: asks nobody.

Written from the vendor's schema and documents, not yet run on a real cloud.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.clouds import addresses
from provisioner.clouds.azure.image import image, image_keys
from provisioner.clouds.azure.machine import machine, set_key
from provisioner.clouds.azure.network import group, network
from provisioner.clouds.azure.spec import AzureSpec
from provisioner.clouds.interface import Rolling, require_group
from provisioner.clouds.resources import Resource, ResourcePlan


def plan(spec: AzureSpec, rolling: Rolling | None = None) -> ResourcePlan:
    """Plan a deployment; ``rolling`` is an older set that stays beside this one for a while.

    That the subscription has the quota and the region the capacity is not said.

    Raises:
        PlanError: something is to stay beside a machine that is no set.
    """
    if rolling is not None:
        require_group(spec.name, spec.replicas)
    around = group(spec)
    base = tuple(resource.key for resource in around)
    wires = network(spec, base, rolling)
    store, *rest = image(spec, base)
    made: tuple[Resource, ...] = (*around, *wires, store)
    if rolling is None or rolling.makes_new:
        made += tuple(rest)
        made += machine(spec, tuple(resource.key for resource in made))
    return ResourcePlan(
        deployment=spec.name,
        resources=made,
        warnings=tuple(_warnings(spec)),
        kept=() if rolling is None else (*image_keys(spec, rolling.old), set_key(spec.name, rolling.old)),
    )


def _warnings(spec: AzureSpec) -> Iterator[str]:
    if spec.priority == "spot":
        yield "priority is spot: Azure deletes the machine when it wants it back; run the deployment again then"
    yield from addresses.warnings("client_networks", spec.client_networks)
    if not spec.secure_boot:
        yield "secure_boot is false: what boots is proven by the quote's PCR 4 alone, as the release says"
