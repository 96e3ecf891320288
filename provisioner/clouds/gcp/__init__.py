"""Google Cloud: the plan of a deployment, and the calls that make it so."""

from __future__ import annotations

from provisioner.clouds.gcp.api import Api, Endpoints, Limits
from provisioner.clouds.gcp.spec import GcpSpec
from provisioner.clouds.gcp.vendor import GcpVendor

__all__ = ["Api", "Endpoints", "GcpSpec", "GcpVendor", "Limits"]
