"""Where a deployment is: written down when it is first made, so that no later run looks for it, or makes it, elsewhere.

A name is one deployment, wherever it is. In another zone a run would take the first away unasked; in another project or
subscription it would leave it behind, running and costing. So either is refused, with the place that was written down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client_sdk.encoding import canonical_json, strict_json
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, text
from provisioner.atomic import replace_file
from provisioner.clouds import cloud_of
from provisioner.errors import Fault, SpecError
from provisioner.spec import CloudName, VmIdentity

FILE = "place.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A cloud, the account in it that all of a deployment is found in, and the exact place; in words for people."""

    cloud: str
    account: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a cloud's inventory calls the account, the place in it, the kind of machine, and who may connect."""

    account: tuple[str, ...]
    spot: str
    machine: str
    clients: str


WORDS: Mapping[CloudName, Words] = {
    "gcp": Words(account=("project",), spot="zone", machine="machine_type", clients="client_ranges"),
    "azure": Words(
        account=("subscription", "resource_group"), spot="location", machine="size", clients="client_networks"
    ),
}


def place_of(variables: Mapping[str, Any], root: Path) -> Place | None:
    """Say where an inventory places its deployment; None on this machine, where the folder itself is the place.

    Raises:
        SpecError: the inventory names no deployment, or does not say where it is.
    """
    cloud = VmIdentity.from_vars(variables).cloud
    if cloud not in WORDS:
        return None
    where = cloud_of(variables, root).place()
    account = ", ".join(f"{key.replace('_', ' ')} {variables.get(key, '?')}" for key in WORDS[cloud].account)
    return Place(cloud=cloud, account=account, where=where)


def about(variables: Mapping[str, Any], root: Path) -> Iterator[str]:
    """Yield in a few lines where a deployment will be, what it is, and who may connect; nothing on this machine."""
    place = place_of(variables, root)
    if place is None:
        return
    words = WORDS[VmIdentity.from_vars(variables).cloud]
    yield f"{variables['name']}: {place.where}"
    yield f"  machines: {variables.get('replicas', 1)} x {variables[words.machine]}"
    yield f"  may connect: {', '.join(map(str, variables[words.clients]))}"


def recorded(root: Path) -> Place | None:
    """Return the place that was written down; None where nothing was.

    Raises:
        SpecError: the file is not what was written.
    """
    path = root / FILE
    try:
        told = exact_keys(strict_json(path.read_bytes()), frozenset(Place.__slots__), "place")
        return Place(**{key: text(value, key) for key, value in told.items()})
    except FileNotFoundError:
        return None
    except (OSError, EvidenceError) as error:
        wanted = "the place of a deployment, as its first launch wrote it; see where it is, then delete the file"
        raise SpecError((Fault(str(path), wanted, str(error)),)) from error


def record(root: Path, variables: Mapping[str, Any]) -> bool:
    """Write down where a deployment is; say whether that was not known before.

    Raises:
        SpecError: another place is written down.
    """
    refuse_elsewhere(root, variables)
    place = place_of(variables, root)
    if place is None or recorded(root) == place:
        return False
    root.mkdir(parents=True, exist_ok=True)
    replace_file(root / FILE, canonical_json(asdict(place)) + b"\n")
    return True


def forget(root: Path) -> None:
    """Forget where a deployment was: there is nothing of it any more."""
    (root / FILE).unlink(missing_ok=True)


def refuse_elsewhere(root: Path, variables: Mapping[str, Any], *, to_look: bool = False) -> None:
    """Refuse an inventory whose deployment is at another place; ``to_look`` for what only has to find it.

    Raises:
        SpecError: it is; the place is named, with what to do.
    """
    kept, asked = recorded(root), place_of(variables, root)
    if kept is None or kept == asked:
        return
    if to_look and asked is not None and (kept.cloud, kept.account) == (asked.cloud, asked.account):
        return
    todo = "say so in the inventory" if to_look else "destroy it first, or choose another deploy_name"
    wanted = f"{kept.where}, where {variables['name']} is ({root / FILE} says so): {todo}"
    raise SpecError((Fault("deploy_vm", wanted, "this machine" if asked is None else asked.where),))
