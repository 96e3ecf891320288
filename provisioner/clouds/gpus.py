"""Which GPUs a machine of an inventory has. Whether they are there is only known from their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.clouds.azure.sizes import SIZES
from provisioner.clouds.gcp.machines import family_of
from provisioner.fit import Gpus

_MIB = 1 << 20
# What the driver reports as a GPU's total: NVIDIA's H100 SXM5 with 80 GB, and H100 NVL with 94 GB.
_H100, _H100_NVL = 81559 * _MIB, 95830 * _MIB


def gpus_of(machine: Mapping[str, Any]) -> Gpus | None:
    """Return the GPUs of the machine that an inventory's ``deploy_vm`` describes, None where it has none."""
    if machine.get("cloud") == "gcp":
        family = family_of(str(machine.get("machine_type")))
        return Gpus(family.gpus, "H100 (80 GB)", _H100) if family and family.gpus else None
    if machine.get("cloud") == "azure":
        size = SIZES.get(str(machine.get("size")))
        return Gpus(1, "H100 NVL (94 GB)", _H100_NVL) if size and size.gpu else None
    return None
