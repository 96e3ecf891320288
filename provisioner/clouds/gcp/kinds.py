"""The kinds of things that a deployment has in Google Cloud, and how the SDK calls them; in the order of their making.

What is in a zone or a region bears it in its name here (``europe-west4-a/prod``), so that what an earlier inventory
put elsewhere is found and deleted too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from provisioner.clouds.resources import Key

Scope = Literal["global", "region", "zone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of Compute Engine: the SDK's client and message, what requests call it, and where the mark goes.

    ``collection`` is what URLs call it. ``words`` are the states that mean ready and pending; everything else failed.
    """

    name: str
    client: str
    message: str
    argument: str
    collection: str
    scope: Scope = "global"
    mark: Literal["labels", "description"] = "description"
    ready: frozenset[str] = frozenset()
    pending: frozenset[str] = frozenset()
    listed: str = ""  # the client that lists it everywhere, where that is another one
    patched: bool = False
    fingerprinted: bool = False  # a change must name the version that it changes

    @property
    def resource(self) -> str:
        """What an insert calls the body."""
        return f"{self.argument}_resource"


IMAGE = Kind(
    name="image", client="ImagesClient", message="Image", argument="image", collection="images", mark="labels",
    ready=frozenset({"READY"}), pending=frozenset({"PENDING", "DELETING"}),
)  # fmt: skip
NETWORK = Kind(
    name="network", client="NetworksClient", message="Network", argument="network", collection="networks"
)  # fmt: skip
SUBNETWORK = Kind(
    name="subnetwork", client="SubnetworksClient", message="Subnetwork", argument="subnetwork",
    collection="subnetworks", scope="region",
)  # fmt: skip
FIREWALL = Kind(
    name="firewall", client="FirewallsClient", message="Firewall", argument="firewall", collection="firewalls",
    patched=True,
)  # fmt: skip
ADDRESS = Kind(
    name="address", client="AddressesClient", message="Address", argument="address", collection="addresses",
    scope="region", ready=frozenset({"RESERVED", "IN_USE"}), pending=frozenset({"RESERVING"}),
)  # fmt: skip
HEALTH_CHECK = Kind(
    name="health-check", client="RegionHealthChecksClient", message="HealthCheck", argument="health_check",
    collection="healthChecks", scope="region", listed="HealthChecksClient",
)  # fmt: skip
TEMPLATE = Kind(
    name="template", client="InstanceTemplatesClient", message="InstanceTemplate", argument="instance_template",
    collection="instanceTemplates",
)  # fmt: skip
INSTANCE = Kind(
    name="instance", client="InstancesClient", message="Instance", argument="instance", collection="instances",
    scope="zone", mark="labels", ready=frozenset({"RUNNING"}),
    pending=frozenset({"PENDING", "PROVISIONING", "STAGING", "REPAIRING", "STOPPING", "DEPROVISIONING"}),
)  # fmt: skip
GROUP = Kind(
    name="group", client="InstanceGroupManagersClient", message="InstanceGroupManager",
    argument="instance_group_manager", collection="instanceGroupManagers", scope="zone",
)  # fmt: skip
BACKEND = Kind(
    name="backend-service", client="RegionBackendServicesClient", message="BackendService", argument="backend_service",
    collection="backendServices", scope="region", listed="BackendServicesClient", patched=True, fingerprinted=True,
)  # fmt: skip
RULE = Kind(
    name="forwarding-rule", client="ForwardingRulesClient", message="ForwardingRule", argument="forwarding_rule",
    collection="forwardingRules", scope="region",
)  # fmt: skip
# Made with an instance and deleted with it; listed on its own to find one that stayed.
DISK = Kind(
    name="disk", client="DisksClient", message="Disk", argument="disk", collection="disks", scope="zone",
    mark="labels", ready=frozenset({"READY"}), pending=frozenset({"CREATING", "RESTORING", "DELETING"}),
)  # fmt: skip
COMPUTE = (IMAGE, NETWORK, SUBNETWORK, FIREWALL, ADDRESS, HEALTH_CHECK, TEMPLATE, DISK, INSTANCE, GROUP, BACKEND, RULE)
KINDS = {kind.name: kind for kind in COMPUTE}
BUCKET, OBJECT = "bucket", "object"
STORAGE = (BUCKET, OBJECT)


def located(kind: Kind, where: str, name: str) -> Key:
    """Name something that is in a zone or a region."""
    return Key(kind.name, f"{where}/{name}")


def place_of(key: Key) -> tuple[str, str]:
    """Return where something is, and its name there; the first is empty for what is everywhere."""
    where, _, name = key.name.rpartition("/")
    return where, name
