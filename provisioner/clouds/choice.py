"""Which cloud the inventory means."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from provisioner.clouds.azure import AzureSpec, AzureVendor, connect
from provisioner.clouds.gcp import Api, Endpoints, GcpSpec, GcpVendor, Limits
from provisioner.clouds.interface import Cloud
from provisioner.clouds.qemu import QemuCloud
from provisioner.clouds.remote import RemoteCloud
from provisioner.progress import Progress, say
from provisioner.spec import CloudName, VmIdentity


def _qemu(_variables: Mapping[str, Any], root: Path, _progress: Progress) -> QemuCloud:
    return QemuCloud(root)


def _gcp(variables: Mapping[str, Any], root: Path, progress: Progress) -> RemoteCloud[GcpSpec]:
    login = functools.cache(functools.partial(Api, Endpoints.from_environment(), Limits(), progress=progress))
    return RemoteCloud(GcpVendor(told=dict(variables), folder=root / "uploads", connect=login))


def _azure(variables: Mapping[str, Any], _root: Path, progress: Progress) -> RemoteCloud[AzureSpec]:
    return RemoteCloud(AzureVendor(dict(variables), functools.cache(functools.partial(connect, progress=progress))))


CLOUDS: Mapping[CloudName, Callable[[Mapping[str, Any], Path, Progress], Cloud[Any]]] = {
    "qemu": _qemu,
    "gcp": _gcp,
    "azure": _azure,
}


def cloud_of(variables: Mapping[str, Any], root: Path, *, progress: Progress = say) -> Cloud[Any]:
    """Return the cloud that an inventory names, with what it keeps of this deployment under ``root``.

    ``progress`` hears what no call has a progress of its own for, such as that the network is dead.

    Raises:
        SpecError: it names none. Where in it, is read when that is needed.
    """
    return CLOUDS[VmIdentity.from_vars(variables).cloud](variables, root, progress)
