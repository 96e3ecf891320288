"""Reading back what is in effect on Google's side, after the project's and the organisation's own settings.

The image listens on none of these ways; that an operator cannot get in is proven by its measurements, not here. A door
that is open says that somebody changed something, or that the project undoes the plan.

What a machine's body may hold is an allow-list (shapes.py): what else Google shows, and no plan sets, is a door too.
Not asked for: the project's own metadata by which an agent in another image would run scripts (reading it takes a
permission over the project; what is in effect without an agent, (1) tells), forwarding rules and target instances of
others that lead here, packet mirroring by policies of its own.

(1) Metadata in effect. (2) Metadata that a guest agent would obey. (3) Accounts and addresses that the machine
was given. (4) Rules of every firewall in effect. (5) What it writes on the serial port, which administrators can read.
Sources, below https://cloud.google.com/compute/docs: /metadata/predefined-metadata-keys,
/reference/rest/v1/instances/getEffectiveFirewalls, /troubleshooting/viewing-serial-port-output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.clouds.allowed import beyond
from provisioner.clouds.gcp import marks, shapes
from provisioner.clouds.gcp.machine import METADATA
from provisioner.clouds.gcp.place import Place

# Field of effectiveInstanceMetadata, what it must be, the key that sets it.
_EFFECTIVE = (
    ("blockProjectSshKeysMetadataValue", True, "block-project-ssh-keys"),
    ("enableGuestAttributesMetadataValue", False, "enable-guest-attributes"),
    ("enableOsInventoryMetadataValue", False, "enable-os-inventory"),
    ("enableOsconfigMetadataValue", False, "enable-osconfig"),
    ("enableOsloginMetadataValue", False, "enable-oslogin"),
    ("gceContainerDeclarationMetadataValue", False, "gce-container-declaration"),
    ("serialPortEnableMetadataValue", False, "serial-port-enable"),
    ("serialPortLoggingEnableMetadataValue", False, "serial-port-logging-enable"),
)
_SET_BY_GOOGLE = {"created-by", "instance-template"}  # on machines of groups
_MARKERS = {"VITRINE initrd", "VITRINE ready"}
_PASSING = {"deny", "goto_next"}  # what a policy's rule may do: nothing gets by before our own rules are asked


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a machine of a deployment may have.

    ``ranges`` may connect, to ``port``, on which the image listens. ``grouped`` says that a group of ours made the
    machine, ``technology`` is the inventory's confidential technology, in Google's words.
    """

    ranges: frozenset[str]
    port: int
    deployment: str
    place: Place
    grouped: bool
    technology: str


def machine_doors(body: Mapping[str, Any], allowed: Allowed) -> Iterator[str]:
    """Yield each door of one machine that its own resource shows; (1) to (3)."""
    name = body["name"]
    yield from (f"{name}: {text}" for text in _metadata(body, allowed))
    yield from (f"{name}: {text}" for text in _unplanned(body, allowed))
    if accounts := [account["email"] for account in body.get("serviceAccounts", ())]:
        yield (
            f"{name}: acts as {', '.join(accounts)}: `gcloud compute instances set-service-account {name} "
            "--no-service-account --no-scopes` (stop it first)"
        )
    addresses = [access for card in body.get("networkInterfaces", ()) for access in card.get("accessConfigs", ())]
    if len(addresses) != int(not allowed.grouped):
        yield (
            f"{name}: has {len(addresses)} external addresses instead of {int(not allowed.grouped)}: "
            f"`gcloud compute instances delete-access-config {name}`"
        )
    if body.get("canIpForward"):
        yield f"{name}: may send as others (canIpForward): destroy and deploy it again"
    if body.get("displayDevice", {}).get("enableDisplay"):
        yield (
            f"{name}: has a display, of which screenshots can be made: "
            f"`gcloud compute instances update {name} --no-enable-display-device`"
        )
    shielded = body.get("shieldedInstanceConfig", {})
    if not (shielded.get("enableVtpm") and shielded.get("enableIntegrityMonitoring")):
        yield f"{name}: vTPM or integrity monitoring is off: destroy and deploy it again"


def _unplanned(body: Mapping[str, Any], allowed: Allowed) -> Iterator[str]:
    again = "destroy and deploy it again"
    confidential = body.get("confidentialInstanceConfig", {})
    told = confidential.get("enableConfidentialCompute"), confidential.get("confidentialInstanceType")
    if told != (True, allowed.technology):
        yield f"is no confidential machine of the inventory's technology ({allowed.technology}): {again}"
    if (count := len(body.get("networkInterfaces", ()))) != 1:
        yield f"has {count} network interfaces instead of one: {again}"
    if (count := len(body.get("disks", ()))) != len(("boot", "model")):
        yield f"has {count} disks instead of two: `gcloud compute instances detach-disk` what is not ours"
    if body.get("labels", {}).get(marks.PORT) != str(allowed.port):
        yield f"its label {marks.PORT} is not the image's port {allowed.port}: {again}"
    for found in beyond(body, shapes.machine(allowed.place, allowed.deployment)):
        yield f"has {found}, which no plan sets: take it away, or {again}"


def _metadata(body: Mapping[str, Any], allowed: Allowed) -> Iterator[str]:
    effective = body.get("resourceStatus", {}).get("effectiveInstanceMetadata", {})
    for field, wanted, key in _EFFECTIVE:
        # Google leaves out what nobody set; only blocking project keys must have been said.
        if effective.get(field, False) != wanted:
            yield (
                f"{key} is in effect {str(effective.get(field, False)).upper()}: set it to {str(wanted).upper()} on "
                "the instance (`gcloud compute instances add-metadata`) and look at the project's metadata"
            )
    for item in body.get("metadata", {}).get("items", ()):
        key = item["key"]
        if key not in METADATA and not (allowed.grouped and key in _SET_BY_GOOGLE):
            yield f"metadata {key} was added: `gcloud compute instances remove-metadata --keys={key}`"


def firewall_doors(found: Mapping[str, Any], allowed: Allowed) -> Iterator[str]:
    """Yield each door that the firewalls in effect leave open for one machine; (4)."""
    closed = False
    for rule in found.get("firewalls", ()):
        name, active = rule["name"], not rule.get("disabled", False)
        if rule.get("logConfig", {}).get("enable"):
            yield f"firewall {name} logs connections: `gcloud compute firewall-rules update {name} --no-enable-logging`"
        if active and rule.get("allowed") and not _is_service(rule, allowed):
            what = "out of" if rule.get("direction") == "EGRESS" else "into"
            yield (
                f"firewall {name} lets more {what} the machines than the inventory says: "
                f"`gcloud compute firewall-rules delete {name}`, then deploy again"
            )
        closed = closed or (active and _denies_egress(rule))
    if not closed:
        yield "no firewall rule of priority 0 denies connections to outside: deploy again, which puts it back"
    yield from _policies(found)


def _policies(found: Mapping[str, Any]) -> Iterator[str]:
    for policy in found.get("firewallPolicys", ()):
        label = policy.get("shortName") or policy.get("name", "")
        if policy.get("packetMirroringRules"):
            yield f"firewall policy {label} mirrors packets: leave this network out of it"
        for rule in policy.get("rules", ()):
            if rule.get("action") not in _PASSING and not rule.get("disabled", False):
                what = "allows" if rule.get("action") == "allow" else f"does {rule.get('action')} with"
                yield (
                    f"firewall policy {label} {what} {rule.get('direction', 'connections')} before our rules are asked "
                    f"(priority {rule.get('priority')}): have it end in goto_next for this network"
                )


def _is_service(rule: Mapping[str, Any], allowed: Allowed) -> bool:
    """Whether a rule that allows is one of ours, and as the inventory has it."""
    mark = marks.of_description(rule.get("description", ""))
    ports = [(one.get("IPProtocol"), tuple(one.get("ports", ()))) for one in rule["allowed"]]
    return (
        mark is not None
        and mark.deployment == allowed.deployment
        and _used(rule) <= shapes.SERVICE
        and rule.get("direction") == "INGRESS"
        and ports == [("tcp", (str(allowed.port),))]
        and bool(rule.get("sourceRanges"))
        and set(rule["sourceRanges"]) <= allowed.ranges
    )


def _denies_egress(rule: Mapping[str, Any]) -> bool:
    return (
        _used(rule) <= shapes.DENIAL
        and rule.get("direction") == "EGRESS"
        and rule.get("priority", 1000) == 0
        and [one.get("IPProtocol") for one in rule.get("denied", ())] == ["all"]
        and rule.get("destinationRanges") == ["0.0.0.0/0"]
    )


def _used(rule: Mapping[str, Any]) -> set[str]:
    """Return which fields of a rule say something: with tags or accounts it says more or less than ours."""
    return {key for key, value in rule.items() if value}


def serial_doors(name: str, contents: str) -> Iterator[str]:
    """Yield what a machine says on the serial port beyond the image's marker lines, or that it says none; (5).

    What stands before the first of them is the firmware's.
    """
    lines = [line.strip() for line in contents.splitlines() if line.strip()]
    if not says_a_marker(contents):
        yield f"{name}: runs and has said nothing of our image on the serial port: destroy and deploy it again"
        return
    first = next(number for number, line in enumerate(lines) if line in _MARKERS)
    others = [line for line in lines[first:] if line not in _MARKERS]
    if others:
        shown = "".join(char for char in others[0] if char.isprintable())[:80]
        yield f"{name}: writes on the serial port, which administrators can read: {shown!r}; this is not our image"


def says_a_marker(contents: str) -> bool:
    """Say whether our image has said anything: a machine that still boots has not."""
    return any(line.strip() in _MARKERS for line in contents.splitlines())
