"""What Google Cloud says of one deployment's project: machines, groups, what bears our mark, and open doors."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.clouds.answers import understood
from provisioner.clouds.gcp import doors, kinds, marks
from provisioner.clouds.gcp.api import Api, to_dict
from provisioner.clouds.gcp.driver import GcpDriver
from provisioner.clouds.gcp.endpoint import staging
from provisioner.clouds.gcp.errors import Refusal, advice, normal
from provisioner.clouds.gcp.group import key_of
from provisioner.clouds.gcp.identity import read_key
from provisioner.clouds.gcp.listing import created_by
from provisioner.clouds.gcp.machines import FAMILIES
from provisioner.clouds.gcp.meters import meters
from provisioner.clouds.gcp.place import Place
from provisioner.clouds.gcp.plan import HEALTH_RANGES
from provisioner.clouds.interface import Group, Node, Vm
from provisioner.clouds.resources import Found, Key
from provisioner.errors import CloudError

_RUNNING = "RUNNING"


@dataclass(frozen=True, slots=True, kw_only=True)
class GcpSession:
    """Everything that asks Google. ``told`` is what the inventory says; ``folder`` keeps uploads until they are there.

    ``piece`` is how many bytes of an upload travel at a time.
    """

    api: Api
    place: Place
    told: Mapping[str, Any]
    folder: Path
    piece: int

    def driver(self) -> GcpDriver:
        """Return the calls that reconciling needs."""
        machine = str(self.told.get("machine_type", ""))
        return GcpDriver(
            api=self.api,
            project=self.place.project,
            folder=self.folder,
            machine=(self.place.zone, machine) if machine else None,
            piece=self.piece,
        )

    @understood("looking at the deployment in Google Cloud")
    def vm(self, name: str) -> Vm | None:
        """Return a deployment as Google sees it now.

        Raises:
            CloudError: Google refuses.
        """
        driver = self.driver()
        machines = self._machines(driver, name)
        groups = list(driver.listing.of_kind(kinds.GROUP, name))
        if not (machines or groups):
            return None
        addresses = [body for _, body in driver.listing.of_kind(kinds.ADDRESS, name)]
        rules = {body["name"]: body for _, body in driver.listing.of_kind(kinds.RULE, name)}
        nodes = (*(_node(body) for _, body in machines), *self._missing(name, groups, machines))
        return Vm(
            name=name,
            endpoint=_led(rules.get(name, {})) if groups else _direct(addresses, machines),
            running=bool(nodes) and all(node.running for node in nodes),
            nodes=nodes,
            staging=_led(rules.get(staging(name), {})),
            facts=(*self._facts(machines), *meters(driver, name, addresses=len(addresses), rules=len(rules))),
        )

    @understood("looking at the groups in Google Cloud")
    def groups(self, name: str) -> tuple[Group, ...]:
        """Return the deployment's groups, and which of them its balancer leads clients to.

        Raises:
            CloudError: Google refuses.
        """
        driver = self.driver()
        balancers = [body for _, body in driver.listing.of_kind(kinds.BACKEND, name) if body["name"] == name]
        led_to = {one["group"].rpartition("/")[2] for body in balancers for one in body.get("backends", ())}
        found = sorted(body["name"] for _, body in driver.listing.of_kind(kinds.GROUP, name))
        return tuple(Group(image=key_of(name, one), serving=one in led_to) for one in found)

    @understood("listing what is in the project")
    def names(self) -> tuple[str, ...]:
        """Return the names of all deployments that the project has something of.

        Raises:
            CloudError: Google refuses.
        """
        driver = self.driver()
        if "name" in self.told:
            driver.settle(str(self.told["name"]), progress=self.api.progress)
        found = {one.mark.deployment for one in driver.listing.everything() if one.mark is not None}
        return tuple(sorted(found))

    @understood("listing what is in the project")
    def found(self) -> tuple[Found, ...]:
        """Return everything in the project that bears a mark of ours; what is still asked for may not show yet.

        Raises:
            CloudError: Google refuses.
        """
        return tuple(self.driver().listing.everything())

    @understood("looking for open doors in Google Cloud")
    def open_doors(self, name: str, port: int) -> tuple[str, ...]:
        """Read back what is in effect for every machine. The image listens on ``port``.

        Raises:
            CloudError: Google refuses, or there is no machine to look at.
        """
        driver = self.driver()
        keys = (kinds.located(kinds.INSTANCE, where, body["name"]) for where, body in self._machines(driver, name))
        # An older machine may be on its way out between the list and the look.
        machines = [(key, body) for key in keys if (body := driver.get(key)) is not None]
        if not machines:
            raise CloudError(f"{name}: there is no machine to look at: deploy it again")
        return tuple(
            dict.fromkeys(door for key, body in machines for door in self._doors(driver, name, key, body, port))
        )

    def _doors(self, driver: GcpDriver, name: str, key: Key, body: dict[str, Any], port: int) -> Iterator[str]:
        where = kinds.place_of(key)[0]
        about = {"project": self.place.project, "zone": where, "instance": body["name"]}
        allowed = self._allowed(name, port, grouped=self._is_grouped(driver, name, body))
        yield from doors.machine_doors(body, allowed)
        firewalls = self.api.compute(
            "InstancesClient", "get_effective_firewalls", {**about, "network_interface": "nic0"}
        )
        yield from doors.firewall_doors(to_dict(firewalls), allowed)
        if body.get("status") == _RUNNING:
            yield from doors.serial_doors(body["name"], self._console(about))

    def _allowed(self, name: str, port: int, *, grouped: bool) -> doors.Allowed:
        told = str(self.told.get("technology", ""))
        return doors.Allowed(
            ranges=frozenset((*self.told.get("client_ranges", ()), *(HEALTH_RANGES if grouped else ()))),
            port=port,
            deployment=name,
            place=self.place,
            grouped=grouped,
            technology=next((one.confidential_type for one in FAMILIES if one.technology == told), told),
        )

    def _is_grouped(self, driver: GcpDriver, name: str, body: Mapping[str, Any]) -> bool:
        """Say whether a group of the deployment made a machine: its metadata says which, and anybody may write that."""
        group = created_by(body)
        found = driver.read(Key(kinds.GROUP.name, group)) if group else None
        return found is not None and found.mark is not None and found.mark.deployment == name

    def _console(self, about: Mapping[str, str]) -> str:
        """Return what a machine has written; one of several may still boot, and is given time to."""
        deadline = time.monotonic() + self.api.limits.settle
        while True:
            serial = to_dict(self.api.compute("InstancesClient", "get_serial_port_output", about))
            text = str(serial.get("contents", ""))
            if doors.says_a_marker(text) or time.monotonic() > deadline:
                return text
            time.sleep(self.api.limits.pause)

    def _machines(self, driver: GcpDriver, name: str) -> list[tuple[str, dict[str, Any]]]:
        return sorted(driver.listing.of_kind(kinds.INSTANCE, name), key=lambda one: (one[0], one[1]["name"]))

    def _missing(
        self,
        name: str,
        groups: list[tuple[str, dict[str, Any]]],
        machines: list[tuple[str, dict[str, Any]]],
    ) -> Iterator[Node]:
        """Yield the machines that a group still tries to make, each with the reason why it has not."""
        there = {body["name"] for _, body in machines}
        for where, group in groups:
            request = {"project": self.place.project, "zone": where, "instance_group_manager": group["name"]}
            client = "InstanceGroupManagersClient"
            found = [
                to_dict(one) for one in self.api.listed(client, "list_managed_instances", request, "managed_instances")
            ]
            image = key_of(name, group["name"])
            absent = [one for one in found if one["instance"].rpartition("/")[2] not in there]
            for one in absent:
                errors = one.get("lastAttempt", {}).get("errors", {}).get("errors", ())
                why = "".join(f" ({_why(error)})" for error in errors[:1])
                never = why if any(normal(str(error.get("code", ""))) == "quotaexceeded" for error in errors) else ""
                full = one["instance"].rpartition("/")[2] + why
                yield Node(name=full, address="", running=False, image=image, refused=never.strip())
            for number in range(len(found), group.get("targetSize", 0)):
                yield Node(name=f"{group['name']} no. {number + 1}", address="", running=False, image=image)

    def _facts(self, machines: list[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, str]]:
        yield "project", self.place.project
        for where, body in machines[:1]:
            yield "zone", where
            yield "machine_type", body.get("machineType", "").rpartition("/")[2]
            yield "technology", body.get("confidentialInstanceConfig", {}).get("confidentialInstanceType", "none")
            yield "provisioning", body.get("scheduling", {}).get("provisioningModel", "STANDARD")
        yield "machines", str(len(machines))
        for where, body in machines:
            if body.get("status") == _RUNNING:
                key = read_key(self.api, self.place.project, where, body["name"])
                if key:
                    yield f"ak_{body['name']}", f"sha256:{key}"


def _led(rule: Mapping[str, Any]) -> str:
    """Return the endpoint that a balancer's rule makes; nothing while it has no address."""
    address, ports = rule.get("IPAddress", ""), rule.get("ports", ())
    return f"https://{address}:{ports[0]}" if address and ports else ""


def _direct(addresses: list[dict[str, Any]], machines: list[tuple[str, dict[str, Any]]]) -> str:
    """Return the endpoint of a machine with an address of its own; nothing while one of the two is not there."""
    address = next((one.get("address", "") for one in addresses), "")
    port = next((port for _, body in machines if (port := marks.port_of(body.get("labels", {})))), 0)
    return f"https://{address}:{port}" if address and port else ""


def _node(body: Mapping[str, Any]) -> Node:
    cards = body.get("networkInterfaces", ())
    access: Mapping[str, Any] = next((one for card in cards for one in card.get("accessConfigs", ())), {})
    return Node(
        name=body["name"],
        address=access.get("natIP", "") or next((card.get("networkIP", "") for card in cards), ""),
        running=body.get("status") == _RUNNING,
        image=body.get("labels", {}).get(marks.IMAGE, ""),
    )


def _why(error: Mapping[str, Any]) -> str:
    reason, message = normal(str(error.get("code", ""))), str(error.get("message", ""))
    return advice(Refusal(status=0, reason=reason, message=message))
