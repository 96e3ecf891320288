"""Azure: confidential VMs with AMD SEV-SNP, with and without an NVIDIA GPU."""

from __future__ import annotations

from provisioner.clouds.azure.plan import plan
from provisioner.clouds.azure.spec import AzureSpec
from provisioner.clouds.azure.vendor import AzureVendor, connect

__all__ = ["AzureSpec", "AzureVendor", "connect", "plan"]
