"""Nodes as Ansible's hosts: what ``vitrine status`` knows, in the form of an inventory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client_sdk.fields import format_instant, instant
from provisioner.errors import CloudError, Fault, SpecError
from provisioner.status.deployment import Deployment, wrong
from provisioner.status.inventory import deploy_vm
from provisioner.status.look import Wanted, look

CONNECTION = "sealed"  # plugins/connection/sealed.py
_WHEN, _AGE = "vitrine_verdict_when", "vitrine_verdict_age_seconds"
Hosts = dict[str, dict[str, Any]]


def require_others(config: Path, inventories: Iterable[Path]) -> None:
    """Refuse an inventory that would read itself.

    Raises:
        SpecError: the configuration lies in an inventory that it names.
    """
    for one in inventories:
        if config.resolve().is_relative_to(one.resolve()):
            wanted = f"inventories that {config.name} does not lie in"
            raise SpecError((Fault("inventories", wanted, str(one)),))


def survey(inventories: Iterable[Path], build: Path, now: datetime) -> dict[str, Any]:
    """Return hosts and groups of the deployments that these inventories have, as plain values that can be cached.

    Each cloud is asked once, and no doors are looked at. A machine that its cloud has not made yet is no host.

    Raises:
        SpecError: an inventory is not what it should be, or two nodes have one name.
        CloudError: a cloud cannot be asked: hosts that are not listed would look like hosts that are not there.
    """
    found = [one for source in inventories for one in look(Wanted(told=deploy_vm(source), build=build, doors=False))]
    if refused := [f"{one.name}: {one.refusal}" for one in found if one.refusal]:
        raise CloudError("; ".join(refused))
    hosts: Hosts = {}
    groups: dict[str, list[str]] = {}
    for one in found:
        told = _hosts(one, now)
        if twice := sorted(told.keys() & hosts.keys()):
            raise SpecError((Fault("inventories", "each deployment once", f"{', '.join(twice)} twice"),))
        hosts |= told
        for group in _groups(one):
            groups.setdefault(group, []).extend(told)
    return {"hosts": hosts, "groups": groups}


def aged(hosts: Mapping[str, Mapping[str, Any]], now: datetime) -> Hosts:
    """Return the hosts with the age that each verdict has now: what is cached says only when it was."""
    return {name: {**told, _AGE: _age(told[_WHEN], now)} for name, told in hosts.items()}


def present() -> datetime:
    """Return the present instant, in UTC."""
    return datetime.now(UTC)


def _hosts(one: Deployment, now: datetime) -> Hosts:
    if one.vm is None:
        return {}
    about = {
        "ansible_connection": CONNECTION,
        "vitrine_cloud": one.cloud,
        "vitrine_deployment": one.name,
        "vitrine_endpoint": one.vm.endpoint,
        "vitrine_release": None if one.local.release is None else one.local.release.number,
        "vitrine_release_window": "none" if one.local.release is None else one.local.release.window(now),
        "vitrine_verdict": _verdict(one),
        _WHEN: None if one.local.verdict is None else format_instant(one.local.verdict.when),
        "vitrine_wrong": list(wrong(one, now)),
    }
    return {
        f"{node.name}.{one.cloud}": {
            **about,
            "vitrine_address": node.address,
            "vitrine_image": node.image,
            "vitrine_running": node.running,
        }
        for node in one.vm.nodes
        if node.address or node.image
    }


def _groups(one: Deployment) -> tuple[str, ...]:
    names = (f"cloud_{one.cloud}", f"deployment_{one.name}", f"verdict_{_verdict(one)}")
    return tuple(re.sub(r"[^a-z0-9_]", "_", name) for name in names)


def _verdict(one: Deployment) -> str:
    return "none" if one.local.verdict is None else one.local.verdict.verdict


def _age(when: str | None, now: datetime) -> int | None:
    return None if when is None else int((now - instant(when, _WHEN)).total_seconds())
