"""An inventory and a command line, read as a whole before anything is made: every fault is told at once.

What a later step would refuse is refused here by the same code, under the name that the operator wrote: minutes before
it, and not after a bake. That a cloud grants what is asked for is not said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from provisioner import place
from provisioner.access import require_service
from provisioner.bake import Addresses, Bake, read_sources
from provisioner.baked import image_of
from provisioner.clouds.gpus import gpus_of
from provisioner.clouds.interface import ONE_MACHINE
from provisioner.errors import Fault, PlanError, SpecError
from provisioner.launch import warnings
from provisioner.spec import VmIdentity
from provisioner.variables import unknown, unread

Playbook = Literal["bake", "deploy", "rollout", "verify", "destroy"]
# What the inventories of clouds say until somebody says better: of nobody, or of everybody who never changed it.
PLACEHOLDERS: Mapping[str, object] = {
    "project": "my-project",
    "bucket": "my-project-vitrine",
    "subscription": "00000000-0000-0000-0000-000000000000",
    "client_ranges": ["203.0.113.0/24"],
    "client_networks": ["203.0.113.0/24"],
}
_FILES = ("deploy_platform_values", "deploy_simulated_cloud")
_SECONDS = ("deploy_seconds", "rollout_announce_seconds", "rollout_overlap_seconds")
_CLOUDS = "qemu, gcp or azure"
_UNBAKED = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said to a playbook. ``values`` are our variables, resolved; ``unresolved`` those that cannot be, and why.

    ``text`` is every template that the inventory says, ``given`` what the command line says, ``sources`` the
    inventories. ``roles`` are the roles' names, ``bake`` what the bake would be made of. ``real`` is no check run.
    """

    playbook: Playbook
    names: frozenset[str]
    values: Mapping[str, Any]
    unresolved: Mapping[str, str]
    text: str
    given: frozenset[str]
    sources: tuple[str, ...]
    roles: tuple[str, ...]
    options: Mapping[str, Any]
    bake: Bake
    build: Path
    real: bool


def require(told: Told) -> None:
    """Refuse an inventory that a playbook could not use.

    Raises:
        SpecError: it lists every fault at once.
        BakeError: this checkout is not as it should be.
    """
    if faults := tuple(_faults(told)):
        raise SpecError(faults)


def _faults(told: Told) -> Iterator[Fault]:
    yield from _sources(told.sources)
    yield from unknown(told.names, told.roles, told.options)
    yield from (Fault(name, "a value that can be resolved", why) for name, why in sorted(told.unresolved.items()))
    yield from _values(told.values)
    yield from _bake(told)
    if "deploy_vm" not in told.unresolved:
        yield from _machine(told)


def _sources(sources: tuple[str, ...]) -> Iterator[Fault]:
    if len(sources) > 1:
        yield Fault("-i", "one inventory: of several the last one would count, unseen", ", ".join(sources))
    for source in sources:
        if not Path(source).exists():
            wanted = "an inventory, such as inventories/local (commands are typed in the checkout's folder)"
            yield Fault("-i", wanted, f"{source}, which is not there")


def _values(values: Mapping[str, Any]) -> Iterator[Fault]:
    for name in _SECONDS:
        least = 1 if name == "deploy_seconds" else 0
        if name in values and not _is_number(values[name], least):
            yield Fault(name, f"a number of seconds, at least {least}", repr(values[name]))
    for name in _FILES:
        value = values.get(name)
        if value and not (isinstance(value, str) and Path(value).is_file()):
            yield Fault(name, "the path of a file that is there, or nothing", repr(value))
    revokes = values.get("deploy_revokes", [])
    if not (isinstance(revokes, list) and all(type(one) is int and one > 0 for one in revokes)):
        yield Fault("deploy_revokes", "a list of numbers of published releases", repr(revokes))
    service = values.get("deploy_service", "-")
    if not (isinstance(service, str) and service and service.isprintable()):
        yield Fault("deploy_service", "what the release calls the service, in printable letters", repr(service))


def _is_number(value: object, least: float) -> bool:
    """Tell whether Ansible takes it for a number of seconds: from the command line all values are texts."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        return False
    return math.isfinite(number) and number >= least


def _bake(told: Told) -> Iterator[Fault]:
    if told.playbook in ("verify", "destroy"):
        return
    said = (told.values.get(f"bake_{name}") for name in ("mode", "mirror", "security_mirror", "hub"))
    mode, *places = (str(value or "") for value in said)
    yield from faults_of(lambda: read_sources(told.bake.sources.cache, mode or "test", Addresses(*places)))
    yield from faults_of(told.bake.require)
    if told.real:  # a plan can be looked at before there is an issuer
        yield from faults_of(lambda: require_service(told.bake.access(), str(told.values.get("deploy_service", ""))))


def _machine(told: Told) -> Iterator[Fault]:
    machine = told.values.get("deploy_vm")
    if not isinstance(machine, dict):
        wanted = "a mapping with a name, as inventories/*/group_vars/all.yml have it"
        got = "nothing: -i names no inventory that says it" if machine is None else repr(machine)
        yield Fault("deploy_vm", wanted, got)
        return
    yield from unread(told.given - {"deploy_name"}, told.text, machine)
    if "deploy_name" in told.given and machine.get("name") != told.values.get("deploy_name"):
        yield Fault("deploy_vm.name", "a name that follows -e deploy_name", repr(machine.get("name")))
    wrong = tuple(faults_of(lambda: VmIdentity.from_vars(machine)))
    yield from _inside(wrong)
    if not wrong:
        yield from _placed(told, machine)


def _placed(told: Told, machine: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with a machine that has a name, and a cloud that there is."""
    root, looks = told.build / str(machine["name"]), told.playbook in ("verify", "destroy")
    wrong = tuple(faults_of(lambda: _plan(told, machine, root)))
    lost = tuple(one for one in wrong if one.field in _where(machine))
    # Where a deployment is only looked for, or taken away, nothing else of it has to be right.
    yield from _inside(lost if looks else wrong)
    if not looks:
        yield from _meant(told, machine, unreadable=bool(wrong))
    if told.playbook != "bake" and not lost:
        yield from faults_of(lambda: place.refuse_elsewhere(root, machine, to_look=looks))


def _meant(told: Told, machine: Mapping[str, Any], *, unreadable: bool) -> Iterator[Fault]:
    """Yield what can be read, or not, because the operator means something else by it."""
    if unreadable and "cloud" not in machine:
        yield Fault("deploy_vm.cloud", _CLOUDS, "nothing, which means a VM of this machine")
    local = VmIdentity.from_vars(machine).cloud == "qemu"
    if told.playbook == "rollout" and (local or machine.get("replicas", 1) == 1):
        key, wanted = ("cloud", "gcp or azure") if local else ("replicas", "at least 2")
        yield Fault(f"deploy_vm.{key}", f"{wanted}: {ONE_MACHINE}", "a VM of this machine" if local else "1")
    if told.playbook in ("deploy", "rollout"):
        yield from _placeholders(told, machine)
        if told.values.get("bake_mode") == "debug" and not local:
            wanted = "test or release: a debug image is for VMs of this machine, where its console can be reached"
            yield Fault("bake_mode", wanted, "'debug'")
        yield from _gpus(told, machine)


def _where(machine: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys that say where a deployment is."""
    words = place.WORDS.get(VmIdentity.from_vars(machine).cloud)
    return () if words is None else (*words.account, words.spot)


def _plan(told: Told, machine: Mapping[str, Any], root: Path) -> None:
    """Plan with an image that nobody has baked yet."""
    try:
        port = told.bake.service().port
    except SpecError:  # told already
        port = 443
    warnings(machine, image_of(told.bake.output.resolve() / _UNBAKED, port), root)


def _gpus(told: Told, machine: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield an image that is for another number of GPUs than the machine has: it would not serve, or not with them."""
    try:
        made = told.bake.gpus()
    except SpecError:  # told already
        return
    count, found = made.count if made else 0, gpus_of(machine)
    has = found.count if found else 0
    # A pretended cloud's machines are VMs of this machine, whatever they are called.
    if count != has and not told.values.get("deploy_simulated_cloud"):
        driver = "an image for none has no NVIDIA driver" if not count else "an image for others powers off"
        yield Fault("attester_gpus", f"{has}, as many as the machine of deploy_vm has: {driver}", str(count))
    if count and machine.get("secure_boot") is True:
        wanted = "false: a kernel under Secure Boot is locked before the driver of the GPUs is loaded (docs/gpu.md)"
        yield Fault("deploy_vm.secure_boot", wanted, "true")


def _placeholders(told: Told, machine: Mapping[str, Any]) -> Iterator[Fault]:
    # A pretended cloud is nobody's, and its documentation ranges are as good as any.
    if not told.real or told.values.get("deploy_simulated_cloud") or machine.get("cloud", "qemu") == "qemu":
        return
    for key, value in PLACEHOLDERS.items():
        if machine.get(key) == value:
            yield Fault(f"deploy_vm.{key}", "a value of your own", f"{value}, which stands there as an example")


def _inside(faults: tuple[Fault, ...]) -> Iterator[Fault]:
    """Name the keys of ``deploy_vm`` as the operator finds them; a file has its own name."""
    for one in faults:
        yield Fault(f"deploy_vm.{one.field}", one.expected, one.got) if one.field.isidentifier() else one


def faults_of(read: Callable[[], object]) -> Iterator[Fault]:
    """Yield what a reader refuses."""
    try:
        read()
    except SpecError as error:
        yield from error.faults
    except PlanError as error:
        yield Fault("deploy_vm", "what its cloud can do", str(error))
