"""The names and ids of everything that a deployment has: computed, never asked for, so that a plan needs no cloud.

Source: learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.clouds.interface import short

# What an image version is called in its definition: the definition's own name holds the image's key.
VERSION = "1.0.0"
FRONTENDS, POOLS, PROBES = "frontendIPConfigurations", "backendAddressPools", "probes"
SUBNET = "nodes"
EVERYBODY = "pool"


def balancer_name(deployment: str) -> str:
    """Name the load balancer."""
    return f"{deployment}-balancer"


def address_name(deployment: str) -> str:
    """Name the public address."""
    return f"{deployment}-address"


def rules_name(deployment: str) -> str:
    """Name the group of security rules."""
    return f"{deployment}-rules"


def network_name(deployment: str) -> str:
    """Name the virtual network."""
    return f"{deployment}-network"


def interface_name(deployment: str) -> str:
    """Name the interface of a single machine."""
    return f"{deployment}-interface"


def set_name(deployment: str, key: str) -> str:
    """Name the scale set of an image."""
    return f"{deployment}-{short(key)}"


def pool(key: str) -> str:
    """Name the balancer's pool of one image's machines alone; ``EVERYBODY`` is the pool of all."""
    return f"pool-{short(key)}"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one deployment's things. ``key`` is the image's: a new image gets new names."""

    deployment: str
    key: str

    @property
    def gallery(self) -> str:
        """Return the gallery's name: letters, digits, dots and underscores alone are allowed there."""
        return f"vitrine_{self.deployment.replace('-', '_')}"

    @property
    def definition(self) -> str:
        """Return the image definition's name."""
        return f"{self.gallery}/{self.deployment}-{short(self.key)}"

    @property
    def version(self) -> str:
        """Return the image version's name."""
        return f"{self.definition}/{VERSION}"

    def disk(self, use: str) -> str:
        """Return the name of the disk that an image is uploaded to."""
        return f"{self.deployment}-{short(self.key)}-{use}"


@dataclass(frozen=True, slots=True)
class Place:
    """A resource group of a subscription."""

    subscription: str
    group: str

    @property
    def id(self) -> str:
        """Return the group's own id."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def id_of(self, path: str) -> str:
        """Return a resource's id; ``path`` is like ``Microsoft.Compute/disks/name``."""
        return f"{self.id}/providers/{path}"

    def subnet(self, network: str) -> str:
        """Return the id of a network's subnet."""
        return self.id_of(f"Microsoft.Network/virtualNetworks/{network}/subnets/{SUBNET}")

    def balancer_part(self, balancer: str, kind: str, name: str) -> str:
        """Return the id of one part of a load balancer."""
        return self.id_of(f"Microsoft.Network/loadBalancers/{balancer}/{kind}/{name}")

    def version(self, name: str) -> str:
        """Return the id of an image version."""
        gallery, definition, version = name.split("/")
        return self.id_of(f"Microsoft.Compute/galleries/{gallery}/images/{definition}/versions/{version}")


def last(identity: str) -> str:
    """Return the last name of an id."""
    return identity.rstrip("/").rpartition("/")[2]
