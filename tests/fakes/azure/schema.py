"""Whether a body is one that the vendor's schema knows: by the SDK's own models, which are generated from it.

The SDK that sends the body is the same library, so this says nothing about what only the schema's text or the cloud
knows; the golden plans are reviewed by hand for that. One field is left open: the list of VM sizes is older than the
sizes.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator
from enum import Enum

from azure.mgmt.compute import models as compute
from azure.mgmt.network import models as network

OPEN = {"vmSize"}
MODELS = {
    "microsoft.compute/disks": compute.Disk,
    "microsoft.compute/galleries": compute.Gallery,
    "microsoft.compute/galleries/images": compute.GalleryImage,
    "microsoft.compute/galleries/images/versions": compute.GalleryImageVersion,
    "microsoft.compute/virtualmachines": compute.VirtualMachine,
    "microsoft.compute/virtualmachinescalesets": compute.VirtualMachineScaleSet,
    "microsoft.compute/disks/begingetaccess": compute.GrantAccessData,
    "microsoft.network/networksecuritygroups": network.NetworkSecurityGroup,
    "microsoft.network/virtualnetworks": network.VirtualNetwork,
    "microsoft.network/publicipaddresses": network.PublicIPAddress,
    "microsoft.network/loadbalancers": network.LoadBalancer,
    "microsoft.network/networkinterfaces": network.NetworkInterface,
}


def faults(kind: str, body: object) -> list[str]:
    """Return what the schema refuses in a body of a kind of resource."""
    return list(_model(MODELS[kind], body, ""))


def _model(model: type, value: object, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path or 'body'}: an object is expected"
        return
    known = _fields(model)
    for name, inner in value.items():
        rest = _fields(model).get(name)
        where = f"{path}.{name}".lstrip(".")
        if rest is None:
            yield f"{where}: {model.__name__} has no such property"
        elif rest.readonly:
            yield f"{where}: is read-only"
        elif name not in OPEN:
            yield from _value(rest.hint, inner, where)
    for name, rest in known.items():
        if rest.required and name not in value:
            yield f"{path}.{name}".lstrip(".") + ": is required"


class _Rest(typing.NamedTuple):
    hint: object
    readonly: bool
    required: bool
    visibility: list | None


_KNOWN: dict[type, dict[str, _Rest]] = {}


def _fields(model: type) -> dict[str, _Rest]:
    if model not in _KNOWN:
        model.__new__(model)  # the names in JSON are computed when the first one is made
        hints = {}
        for base in reversed(model.__mro__):
            if base.__module__.startswith("azure.mgmt."):
                space = vars(sys.modules[base.__module__])
                package = sys.modules[base.__module__.rpartition(".")[0]]
                hints |= {name: (hint, space, package) for name, hint in vars(base).get("__annotations__", {}).items()}
        _KNOWN[model] = {rest._rest_name: _rest(rest, hints[name]) for name, rest in model._attr_to_rest_field.items()}
    return _KNOWN[model]


def _rest(rest, found) -> _Rest:
    text, space, package = found
    hint = typing.get_type_hints(_Holder(text), space, {"_models": package})["it"]
    readonly = rest._visibility == ["read"]
    optional = type(None) in typing.get_args(hint)
    return _Rest(hint, readonly, not optional and not readonly, rest._visibility)


def _Holder(text):  # noqa: N802 — get_type_hints wants a class
    return type("Holder", (), {"__annotations__": {"it": text}})


def _value(hint: object, value: object, path: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        yield from _union([one for one in arguments if one is not type(None)], value, path)
    elif origin in (list, dict):
        yield from _several(origin, arguments[-1], value, path)
    elif isinstance(hint, type) and any(base.__name__ == "Model" for base in hint.__mro__):
        yield from _model(hint, value, path)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        if value not in {one.value for one in hint}:
            yield f"{path}: {value!r} is none of {', '.join(str(one.value) for one in hint)}"
    elif not _is_plain(hint, value):
        yield f"{path}: {getattr(hint, '__name__', hint)} is expected, {value!r} is none"


def _several(origin: type, hint: object, value: object, path: str) -> Iterator[str]:
    if not isinstance(value, origin):
        yield f"{path}: {'a list' if origin is list else 'an object'} is expected"
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _value(hint, inner, f"{path}[{name}]")


def _union(choices: list, value: object, path: str) -> Iterator[str]:
    """A union of text and an enumeration is the enumeration; the text is for values of later versions."""
    enums = [one for one in choices if isinstance(one, type) and issubclass(one, Enum)]
    kept = enums or choices
    found = [list(_value(one, value, path)) for one in kept]
    if all(found):
        yield from found[0]


def _is_plain(hint: object, value: object) -> bool:
    if hint in (object, typing.Any):
        return True
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint in (int, float):
        return isinstance(value, int | float)
    return isinstance(value, str)  # text, and what travels as text: dates, bytes
