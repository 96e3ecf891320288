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
from provisioner.errors import BakeError, CloudError
from provisioner.image.artefacts import open_image
from provisioner.progress import Progress, say
from provisioner.publish import newest_image
from provisioner.spec import CloudName, VmIdentity


def _qemu(_variables: Mapping[str, Any], root: Path, _progress: Progress) -> QemuCloud:
    return QemuCloud(root)


def _gcp(variables: Mapping[str, Any], root: Path, progress: Progress) -> RemoteCloud[GcpSpec]:
    login = functools.cache(functools.partial(Api, Endpoints.from_environment(), Limits(), progress=progress))
    vendor = GcpVendor(told=dict(variables), folder=root / "uploads", connect=login)
    return RemoteCloud(vendor, functools.partial(_listens, root))


def _azure(variables: Mapping[str, Any], root: Path, progress: Progress) -> RemoteCloud[AzureSpec]:
    vendor = AzureVendor(dict(variables), functools.cache(functools.partial(connect, progress=progress)))
    return RemoteCloud(vendor, functools.partial(_listens, root))


def _listens(root: Path) -> int:
    """Return the port of the image that was deployed last, as it was baked: a cloud's word on it may be changed."""
    folder = newest_image(root)
    if folder is None:
        raise CloudError(
            "no image of it is on this machine, and without it nobody knows which port may be open: look from the "
            "machine that deploys it"
        )
    try:
        return open_image(folder).service.port
    except BakeError as error:
        raise CloudError(f"which port may be open, only the image says: {error}") from error


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
