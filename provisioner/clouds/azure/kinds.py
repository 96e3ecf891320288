"""Which kinds of resources a deployment has on Azure, and by which operations of the SDK each is handled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Api = Literal["compute", "network"]
GROUP = "resourceGroup"
GROUP_SECONDS = 1800.0  # how long a group may take to go


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind: its name in plans, the SDK's client and group of operations, and how long one change may take.

    ``parent`` is the kind whose things hold these. ``in_place`` says that the API changes one without making it anew.
    """

    name: str
    api: Api
    operations: str
    listing: str = "list"
    parent: str = ""
    seconds: float = 1800.0
    in_place: bool = False


# In the order of creation; deleted from the end.
KINDS = (
    Kind(name="networkSecurityGroup", api="network", operations="network_security_groups", in_place=True),
    Kind(name="virtualNetwork", api="network", operations="virtual_networks"),
    Kind(name="publicIPAddress", api="network", operations="public_ip_addresses"),
    Kind(name="loadBalancer", api="network", operations="load_balancers", in_place=True),
    Kind(name="disk", api="compute", operations="disks", listing="list_by_resource_group"),
    Kind(name="gallery", api="compute", operations="galleries", listing="list_by_resource_group"),
    Kind(name="galleryImage", api="compute", operations="gallery_images", listing="list_by_gallery", parent="gallery"),
    Kind(
        name="galleryImageVersion",
        api="compute",
        operations="gallery_image_versions",
        listing="list_by_gallery_image",
        parent="galleryImage",
        seconds=3 * 3600.0,  # it is copied, and large models take their time
    ),
    Kind(name="networkInterface", api="network", operations="network_interfaces"),
    Kind(name="virtualMachine", api="compute", operations="virtual_machines"),
    Kind(name="virtualMachineScaleSet", api="compute", operations="virtual_machine_scale_sets"),
)
BY_NAME = {kind.name: kind for kind in KINDS}
