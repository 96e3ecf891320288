"""The plan of a deployment on Azure: everything that it has there, in the API's own words. Pure: asks nobody.

Written from the vendor's schema and documents, not yet run on a real cloud.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.clouds.azure.image import image
from provisioner.clouds.azure.machine import machine
from provisioner.clouds.azure.network import group, network
from provisioner.clouds.azure.spec import AzureSpec
from provisioner.clouds.resources import ResourcePlan


def plan(spec: AzureSpec) -> ResourcePlan:
    """Plan a deployment. That the subscription has the quota and the region the capacity is not said."""
    around = group(spec)
    base = tuple(resource.key for resource in around)
    wires, disks = network(spec, base), image(spec, base)
    needs = tuple(resource.key for resource in (*around, *wires, *disks))
    return ResourcePlan(
        deployment=spec.name,
        cloud="azure",
        resources=(*around, *wires, *disks, *machine(spec, needs)),
        warnings=tuple(_warnings(spec)),
    )


def _warnings(spec: AzureSpec) -> Iterator[str]:
    if spec.priority == "spot":
        yield "priority is spot: Azure deletes the machine when it wants it back; run the deployment again then"
    if any(network.endswith("/0") for network in spec.client_networks):
        yield "client_networks lets the whole Internet connect; clients need tokens all the same"
    if not spec.secure_boot:
        yield "secure_boot is false: what boots is proven by the quote's PCR 4 alone, as the release says"
