"""What Azure refuses that no schema says: written by hand, each rule with the document that it is from."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from cryptography import x509

from tests.fakes.azure.effects import members
from tests.fakes.azure.things import LOCATIONS, Cloud, Thing, references
from tests.fakes.cloud_api import RefusedError

_CONFIDENTIAL = re.compile(r"Standard_(NCC40ads_H100_v5|[DE]C\d+(a|ad|e|ed)s_v[56])")
_SIZES = re.compile(r"Standard_\w+")
_CPUS = re.compile(r"Standard_[A-Z]+(\d+)")


def bad(message: str, code: str = "InvalidParameter", status: int = 400) -> RefusedError:
    return RefusedError(status, code, message)


def check_location(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-sku-not-available"""
    if body.get("location") not in LOCATIONS:
        raise bad(
            f"The provided location '{body.get('location')}' is not available for resource type. "
            f"List of available regions for the resource type is '{','.join(sorted(LOCATIONS))}'.",
            "LocationNotAvailableForResourceType",
        )


def check_references(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-not-found"""
    for one in references(body):
        if one.lower().startswith(f"{identity.lower()}/"):
            continue  # a balancer's rule names its own parts
        parts = one.split("/")
        owner = next((found for n in range(len(parts), 8, -1) if (found := cloud.find("/".join(parts[:n])))), None)
        if owner is None or not _has_part(owner, one):
            raise bad(f"Resource {one} referenced by resource {identity} was not found.", "InvalidResourceReference")
        if owner.state not in ("Succeeded", "Updating"):
            raise bad(f"{one} is in state {owner.state}.", "ReferencedResourceNotProvisioned", 429)


def _has_part(owner: Thing, identity: str) -> bool:
    rest = identity[len(owner.id) :].strip("/").split("/")
    if rest == [""]:
        return True
    listed = owner.properties.get(rest[0]) or []
    return any(isinstance(one, dict) and one.get("name", "").lower() == rest[1].lower() for one in listed)


def check_unchanged(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/rest/api/compute: what may be set at creation only; nothing is moved to another location."""
    old = cloud.find(identity)
    if old is None:
        return
    if old.body.get("location") != body.get("location"):
        raise bad(f"The resource already exists in location '{old.body['location']}'.", "InvalidResourceLocation", 409)
    fixed = {
        "microsoft.compute/disks": ("creationData", "hyperVGeneration", "osType"),
        "microsoft.compute/galleries/images": ("osState", "osType", "hyperVGeneration", "features", "identifier"),
        "microsoft.compute/galleries/images/versions": ("storageProfile", "securityProfile"),
        "microsoft.compute/virtualmachines": ("storageProfile", "securityProfile", "priority"),
        "microsoft.compute/virtualmachinescalesets": ("orchestrationMode", "platformFaultDomainCount"),
    }.get(old.kind, ())
    given = body.get("properties", {})
    for name in fixed:
        if not _same(given.get(name), old.properties.get(name)):
            raise bad(f"Changing property '{name}' is not allowed.", "PropertyChangeNotAllowed", 409)


def _same(new: object, old: object) -> bool:
    """Whether what is given is what is there, where the cloud has filled in more."""
    if isinstance(new, dict) and isinstance(old, dict):
        return all(_same(value, old.get(key)) for key, value in new.items())
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(map(_same, new, old))
    return new == old


def check_disk(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/virtual-machines/linux/disks-upload-vhd-to-managed-disk-cli: with its footer."""
    creation = body["properties"]["creationData"]
    size = creation.get("uploadSizeBytes", 0)
    if creation["createOption"] == "Upload" and ((size - 512) % (1 << 20) or size < 20972032):
        raise bad("Disk Upload size in bytes must be whole MiB plus 512, at least 20972032.")


def check_gallery(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftcompute"""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._]{0,78}[A-Za-z0-9])?", identity.rpartition("/")[2]):
        raise bad("The gallery name is invalid: letters, digits, dots and underscores.", "InvalidResourceName")


def check_definition(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/virtual-machines/shared-image-galleries#image-definitions"""
    wanted = body["properties"]["identifier"]
    gallery = identity.rsplit("/images/", 1)[0]
    for other in cloud.of("microsoft.compute/galleries/images", gallery):
        if other.properties["identifier"] == wanted and other.id.lower() != identity.lower():
            raise bad("A gallery image with the same publisher, offer, sku exists.", "Conflict", 409)
    features = {one["name"]: one["value"] for one in body["properties"].get("features", ())}
    if (
        features.get("SecurityType", "").startswith("Confidential")
        and body["properties"].get("hyperVGeneration") != "V2"
    ):
        raise bad("Security type needs hyperVGeneration V2.")


def check_version(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/rest/api/compute/gallery-image-versions/create-or-update"""
    if not re.fullmatch(r"\d{1,10}\.\d{1,10}\.\d{1,10}", identity.rpartition("/")[2]):
        raise bad("The version name must be Major.Minor.Patch.", "InvalidResourceName")
    profile = body["properties"]["storageProfile"]
    sources = [profile["osDiskImage"], *profile.get("dataDiskImages", ())]
    for disk in (cloud.find(one["source"]["id"]) for one in sources):
        if disk.properties["diskState"] != "Unattached":
            raise bad(f"Disk {disk.name} is in state {disk.properties['diskState']}.", "OperationNotAllowed", 409)
        blob = cloud.blobs[disk.id.lower()]
        if blob.read(blob.size - 512, 8) != b"conectix":
            raise bad(f"Disk {disk.name}: the VHD's footer is missing.", "InvalidVhd")
    regions = {one["name"] for one in body["properties"]["publishingProfile"]["targetRegions"]}
    if body["location"] not in regions:
        raise bad("The target regions must contain the location of the version.")
    _check_keys(body["properties"].get("securityProfile", {}).get("uefiSettings", {}))


def _check_keys(settings: dict) -> None:
    """learn.microsoft.com/azure/virtual-machines/trusted-launch-secure-boot-custom-uefi"""
    own = settings.get("additionalSignatures", {})
    keys = [own["pk"]] if "pk" in own else []
    for key in (*keys, *own.get("kek", ()), *own.get("db", ())):
        for text in key["value"]:
            if key["type"] == "x509":
                try:
                    x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
                except ValueError:
                    raise bad("UEFI key is no certificate in DER, base64.") from None


def check_rules(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/virtual-network/network-security-groups-overview#security-rules"""
    seen = set()
    for rule in body["properties"].get("securityRules", ()):
        inner = rule["properties"]
        if not 100 <= inner["priority"] <= 4096:
            raise bad("priority is 100 to 4096", "SecurityRuleInvalidPriority")
        key = (inner["direction"], inner["priority"])
        if key in seen or rule["name"] in seen:
            raise bad(f"{rule['name']}: two rules have the same name or priority", "SecurityRuleConflict")
        seen |= {key, rule["name"]}
        for one, many in (
            ("sourceAddressPrefix", "sourceAddressPrefixes"),
            ("destinationPortRange", "destinationPortRanges"),
        ):
            if (one in inner) == (many in inner):
                raise bad(f"{rule['name']}: exactly one of {one} and {many}", "SecurityRuleParameterMissing")


def check_balancer(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/load-balancer/skus: a Standard balancer takes Standard addresses alone"""
    sku = body.get("sku", {}).get("name", "Basic")
    for front in body["properties"].get("frontendIPConfigurations", ()):
        address = cloud.find(front["properties"]["publicIPAddress"]["id"])
        if address.body.get("sku", {}).get("name", "Basic") != sku:
            raise bad(
                "Load balancer and public IP have different SKUs.",
                "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed",
            )
        for other in cloud.users(address):
            if other.id.lower() != identity.lower():
                raise bad(f"{address.name} is used by {other.id}", "PublicIPAddressInUse")
    for rule in body["properties"].get("loadBalancingRules", ()):
        for part in ("frontendIPConfiguration", "backendAddressPool", "probe"):
            kind = {"frontendIPConfiguration": "frontendIPConfigurations"}.get(part, f"{part}s")
            names = {one["name"] for one in body["properties"].get(kind, ())}
            if rule["properties"][part]["id"].rpartition("/")[2] not in names:
                raise bad(f"{rule['name']}: there is no such {part}", "InvalidResourceReference")
    check_pools(cloud, body, identity)


def check_pools(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/load-balancer/load-balancer-multivip-overview: no backend port twice on one machine.

    And a pool that machines are in does not go: .../troubleshoot/azure/load-balancer (InUse…CannotBeDeleted).
    """
    old = cloud.find(identity)
    inside = members(cloud, old) if old else {}
    pools = {
        f"{identity}/backendAddressPools/{one['name']}".lower() for one in body["properties"]["backendAddressPools"]
    }
    for pool in sorted(set(inside) - pools):
        raise bad(f"{pool} is in use by {inside[pool][0].id}.", "InUseBackendAddressPoolCannotBeDeleted")
    fronts, backs = set(), set()
    for rule in body["properties"].get("loadBalancingRules", ()):
        told = rule["properties"]
        front = (told["frontendIPConfiguration"]["id"].lower(), told["frontendPort"], told["protocol"])
        if front in fronts:
            raise bad(f"{rule['name']}: another rule has that frontend port", "RulesUseSameFrontendPortProtocolAndIP")
        fronts.add(front)
        for interface in inside.get(told["backendAddressPool"]["id"].lower(), ()):
            back = (interface.id, told["backendPort"], told["protocol"])
            if back in backs:
                code = "RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig"
                raise bad(f"{rule['name']}: another rule leads to that port of {interface.id}", code)
            backs.add(back)


def check_address(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/virtual-network/ip-services/public-ip-addresses#sku: Standard is static"""
    if body.get("sku", {}).get("name") == "Standard" and body["properties"].get("publicIPAllocationMethod") != "Static":
        raise bad("Standard sku publicIp must be Static.", "PublicIPAndLBSkuDoNotMatch")


def check_vm(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/confidential-computing/confidential-vm-overview"""
    properties = body["properties"]
    _check_machine(cloud, properties, properties["hardwareProfile"]["vmSize"], identity)
    for one in properties["networkProfile"]["networkInterfaces"]:
        interface = cloud.find(one["id"])
        owner = interface.properties.get("virtualMachine", {}).get("id", "")
        if owner and owner.lower() != identity.lower():
            raise bad(f"{interface.name} is used by {owner}", "NicInUse", 409)
        _check_acceleration(interface.properties, properties["hardwareProfile"]["vmSize"])
    if cloud.find(identity) is None:
        _check_quota(cloud, properties["hardwareProfile"]["vmSize"], 1)
        _check_new_disks(cloud, properties["storageProfile"], identity)


def _check_new_disks(cloud: Cloud, storage: dict, identity: str) -> None:
    """learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update: a disk's name is taken"""
    for disk in (storage["osDisk"], *storage.get("dataDisks", ())):
        taken = f"{identity.rsplit('/providers/', 1)[0]}/providers/Microsoft.Compute/disks/{disk.get('name')}"
        if cloud.find(taken) is not None:
            raise bad(f"Disk {disk['name']} already exists in resource group.", "ConflictingUserInput", 409)


def check_scale_set(cloud: Cloud, body: dict, identity: str) -> None:
    """learn.microsoft.com/azure/virtual-machine-scale-sets/virtual-machine-scale-sets-orchestration-modes"""
    properties, profile = body["properties"], body["properties"]["virtualMachineProfile"]
    if properties.get("orchestrationMode") == "Flexible":
        if "upgradePolicy" in properties:
            raise bad("upgradePolicy is not supported for Flexible orchestration.")
        if "platformFaultDomainCount" not in properties:
            raise bad("platformFaultDomainCount is required for Flexible orchestration.")
        if not profile["networkProfile"].get("networkApiVersion"):
            raise bad("networkApiVersion is required for Flexible orchestration.")
    disk = profile["storageProfile"]["osDisk"].get("managedDisk", {}).get("securityProfile", {})
    if disk.get("securityEncryptionType") == "DiskWithVMGuestState":
        # learn.microsoft.com/azure/confidential-computing/virtual-machine-scale-sets: no OS disk encryption
        raise bad("DiskWithVMGuestState is not supported in scale sets.")
    _check_machine(cloud, profile, body["sku"]["name"], identity)
    for one in profile["networkProfile"]["networkInterfaceConfigurations"]:
        _check_acceleration(one["properties"], body["sku"]["name"])
    old = cloud.find(identity)
    _check_quota(cloud, body["sku"]["name"], body["sku"]["capacity"] - (old.body["sku"]["capacity"] if old else 0))


def _check_machine(cloud: Cloud, profile: dict, size: str, identity: str) -> None:
    """Confidential sizes need the type, the type needs its image, its vTPM and its guest state; and Spot's fields."""
    if not _SIZES.fullmatch(size):
        raise bad(f"The value {size} provided for the VM size is not valid.")
    security, storage = profile.get("securityProfile", {}), profile["storageProfile"]
    confidential = security.get("securityType") == "ConfidentialVM"
    state = storage["osDisk"].get("managedDisk", {}).get("securityProfile", {}).get("securityEncryptionType")
    if confidential != bool(_CONFIDENTIAL.fullmatch(size)):
        raise bad(f"The VM size '{size}' and securityType '{security.get('securityType')}' do not go together.")
    if confidential and not security.get("uefiSettings", {}).get("vTpmEnabled"):
        raise bad("vTpmEnabled must be true for ConfidentialVM.")
    if confidential != bool(state):
        raise bad("securityEncryptionType is for ConfidentialVM, which needs it.")
    if profile.get("priority") != "Spot" and {"evictionPolicy", "billingProfile"} & profile.keys():
        raise bad(
            "evictionPolicy and billingProfile are for priority Spot."
        )  # learn.microsoft.com/azure/virtual-machines/spot-vms
    _check_image(cloud, profile, storage, confidential=confidential)


def _check_image(cloud: Cloud, profile: dict, storage: dict, *, confidential: bool) -> None:
    """learn.microsoft.com/azure/virtual-machines/shared-image-galleries#generalized-and-specialized-images"""
    version = cloud.find(storage["imageReference"]["id"])
    definition = cloud.find(version.id.rsplit("/versions/", 1)[0])
    features = {one["name"]: one["value"] for one in definition.properties.get("features", ())}
    if confidential and not features.get("SecurityType", "").endswith(
        ("ConfidentialVmSupported", "ConfidentialVMSupported")
    ):
        raise bad("The image has no security type ConfidentialVM.", "BadRequest")
    if (definition.properties["osState"] == "Specialized") == ("osProfile" in profile):
        raise bad("Parameter 'osProfile' is not allowed." if "osProfile" in profile else "osProfile is required.")
    copies = {one["lun"] for one in version.properties["storageProfile"].get("dataDiskImages", ())}
    if copies - {one["lun"] for one in storage.get("dataDisks", ())}:
        raise bad("The image's data disks must be named by lun.")


def _check_acceleration(properties: dict, size: str) -> None:
    """learn.microsoft.com/azure/virtual-machines/sizes/gpu-accelerated/ncccadsh100v5-series: no acceleration"""
    if properties.get("enableAcceleratedNetworking") and "NCC" in size:
        raise bad(
            f"Accelerated networking is not supported on {size}.", "VMSizeIsNotPermittedToEnableAcceleratedNetworking"
        )


def _check_quota(cloud: Cloud, size: str, machines: int) -> None:
    """learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-resource-quota"""
    cores = int(_CPUS.match(size)[1])
    if machines * cores > cloud.quota.get(size, 100_000):
        raise RefusedError(
            409,
            "OperationNotAllowed",
            f"Operation could not be completed as it results in exceeding approved {size} Cores quota. Additional "
            f"details - Current Limit: {cloud.quota[size]}, Additional Required: {machines * cores}.",
        )


def check_unused(cloud: Cloud, thing: Thing) -> None:
    """In use: learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors."""
    nested = [one for one in cloud.things.values() if one.id.lower().startswith(f"{thing.id.lower()}/")]
    if nested and thing.kind != "microsoft.resources/resourcegroups":
        raise bad(f"Cannot delete resource: nested resource {nested[0].id} exists.", "CannotDeleteResource", 409)
    if thing.kind == "microsoft.compute/disks" and thing.properties["diskState"] in (
        "ActiveUpload",
        "ActiveSAS",
        "Attached",
    ):
        raise bad(f"Disk {thing.name} is in state {thing.properties['diskState']}.", "OperationNotAllowed", 409)
    soft = {"microsoft.compute/disks", "microsoft.compute/galleries/images/versions"}  # their copies live on
    users = [] if thing.kind in soft else _holding(cloud, thing)
    if users:
        raise bad(f"{thing.id} is in use by {users[0].id}.", f"InUse{thing.kind.rpartition('/')[2]}CannotBeDeleted")


def _holding(cloud: Cloud, thing: Thing) -> list[Thing]:
    """A set or a machine takes its own interfaces and machines along; everything else that names a thing holds it."""
    below = {"microsoft.compute/virtualmachines", "microsoft.compute/virtualmachinescalesets"}
    return [] if thing.kind in below else cloud.users(thing)


Rule = Callable[[Cloud, dict, str], None]
EVERY: tuple[Rule, ...] = (check_location, check_unchanged, check_references)
BY_KIND: dict[str, Rule] = {
    "microsoft.compute/disks": check_disk,
    "microsoft.compute/galleries": check_gallery,
    "microsoft.compute/galleries/images": check_definition,
    "microsoft.compute/galleries/images/versions": check_version,
    "microsoft.compute/virtualmachines": check_vm,
    "microsoft.compute/virtualmachinescalesets": check_scale_set,
    "microsoft.network/networksecuritygroups": check_rules,
    "microsoft.network/loadbalancers": check_balancer,
    "microsoft.network/publicipaddresses": check_address,
}
