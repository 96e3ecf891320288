"""The inventory's machines, read for their cloud: what every step takes them for, and so read in one way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioner.clouds import Cloud, Image
from provisioner.clouds.interface import Spec
from provisioner.secure_boot.own import named


def read_spec(
    cloud: Cloud[Spec], variables: Mapping[str, Any], image: Image, root: Path, *, pretend: bool = False
) -> Spec:
    """Return the spec of a deployment that is kept in ``root``; ``pretend`` for plans alone (``secure_boot/own.py``).

    Raises:
        SpecError: it lists every fault at once.
    """
    with named(variables, root, pretend=pretend) as told:
        return cloud.spec(told, image)
