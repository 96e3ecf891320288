"""Which permissions a call takes: https://cloud.google.com/compute/docs/access/iam-permissions and each method's page.

An insert takes, beside its own, the right to use what its body names.
"""

from __future__ import annotations

_VERBS = {
    "get": "get",
    "list": "list",
    "aggregatedList": "list",
    "insert": "create",
    "delete": "delete",
    "patch": "update",
}
_NAMES = {
    "regionBackendServices": "regionBackendServices",
    "backendServices": "backendServices",
    "regionHealthChecks": "regionHealthChecks",
    "healthChecks": "healthChecks",
}
_EXTRA = {
    "compute.instances.getEffectiveFirewalls": ("compute.instances.getEffectiveFirewalls",),
    "compute.instances.getSerialPortOutput": ("compute.instances.getSerialPortOutput",),
    "compute.instances.getShieldedInstanceIdentity": ("compute.instances.getShieldedInstanceIdentity",),
    "compute.instanceGroupManagers.listManagedInstances": ("compute.instanceGroupManagers.get",),
    "compute.globalOperations.wait": ("compute.globalOperations.get",),
    "compute.regionOperations.wait": ("compute.regionOperations.get",),
    "compute.zoneOperations.wait": ("compute.zoneOperations.get",),
}
_BESIDE = {
    "compute.images.insert": ("storage.objects.get", "compute.images.setLabels"),
    "compute.subnetworks.insert": ("compute.networks.updatePolicy",),
    "compute.firewalls.insert": ("compute.networks.updatePolicy",),
    "compute.firewalls.patch": ("compute.networks.updatePolicy",),
    "compute.firewalls.delete": ("compute.networks.updatePolicy",),
    "compute.instances.insert": (
        "compute.addresses.use", "compute.disks.create", "compute.disks.setLabels", "compute.images.useReadOnly",
        "compute.instances.setLabels", "compute.instances.setMetadata", "compute.subnetworks.use",
        "compute.subnetworks.useExternalIp",
    ),
    "compute.instanceGroupManagers.insert": (
        "compute.instanceGroups.create", "compute.instanceTemplates.useReadOnly", "compute.instances.create",
        "compute.disks.create", "compute.disks.setLabels", "compute.images.useReadOnly", "compute.instances.setLabels",
        "compute.instances.setMetadata", "compute.subnetworks.use",
    ),
    "compute.instanceGroupManagers.delete": ("compute.instanceGroups.delete", "compute.instances.delete"),
    "compute.regionBackendServices.insert": ("compute.instanceGroups.use", "compute.regionHealthChecks.useReadOnly"),
    "compute.regionBackendServices.patch": ("compute.instanceGroups.use", "compute.regionHealthChecks.useReadOnly"),
    "compute.forwardingRules.insert": ("compute.addresses.use", "compute.regionBackendServices.use"),
}  # fmt: skip


def of_compute(method):
    """Return the permissions of a method of Compute Engine, its own first."""
    if method in _EXTRA:
        return _EXTRA[method]
    _, resource, verb = method.split(".")
    return (f"compute.{_NAMES.get(resource, resource)}.{_VERBS[verb]}", *_BESIDE.get(method, ()))


def of_storage(verb, *, is_object, is_list):
    """Return the permission of a call of Cloud Storage: https://cloud.google.com/storage/docs/access-control/iam-json."""
    what = "objects" if is_object else "buckets"
    action = {"GET": "list" if is_list else "get", "POST": "create", "PUT": "create", "DELETE": "delete"}[verb]
    return f"storage.{what}.{action}"
