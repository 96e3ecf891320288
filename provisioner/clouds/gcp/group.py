"""Several machines: a managed group for each image, and the balancer that leads to one of them or, for a while, to two.

A group's name has the beginning of its image's key, so that an old and a new one are there beside each other. The older
is left as it is, whatever the inventory says by now.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.clouds.gcp import endpoint, kinds, machine
from provisioner.clouds.gcp.kinds import located
from provisioner.clouds.gcp.spec import GcpSpec
from provisioner.clouds.interface import Rolling, short
from provisioner.clouds.resources import Key, Resource


def name_of(deployment: str, key: str) -> str:
    """Name the group, and the template, of an image."""
    return f"{deployment}-{short(key)}"


def key_of(deployment: str, name: str) -> str:
    """Return how the key of a group's image begins."""
    return name.removeprefix(f"{deployment}-")


def keys(spec: GcpSpec, key: str) -> tuple[Key, Key]:
    """Name template and group of an image."""
    name = name_of(spec.name, key)
    return Key("template", name), located(kinds.GROUP, spec.place.zone, name)


def resources(spec: GcpSpec, rolling: Rolling | None, needs: tuple[Key, ...]) -> Iterator[Resource]:
    """Plan the group of the spec's image and what leads to it; ``needs`` is what its machines need."""
    new = name_of(spec.name, spec.image.key)
    old = None if rolling is None else name_of(spec.name, rolling.old)
    made = tuple(_group(spec, new, needs)) if rolling is None or rolling.makes_new else ()
    check = endpoint.health_check(spec)
    yield from (*made, check)
    yield from endpoint.balancer(
        spec, _serving(new, old, rolling), (*(one.key for one in made if one.key.kind == kinds.GROUP.name), check.key)
    )
    if rolling is not None and rolling.is_staged:
        yield from endpoint.trial(spec, new, (made[-1].key, check.key))


def _serving(new: str, old: str | None, rolling: Rolling | None) -> tuple[str, ...]:
    if rolling is None or old is None:
        return (new,)
    return tuple(name for name, serves in zip((old, new), rolling.serves, strict=True) if serves)


def _group(spec: GcpSpec, name: str, needs: tuple[Key, ...]) -> Iterator[Resource]:
    template, group = keys(spec, spec.image.key)
    yield Resource(key=template, body={"name": name, "properties": machine.properties(spec)}, needs=needs)
    yield Resource(
        key=group,
        body={
            "name": name,
            "baseInstanceName": name,
            "instanceTemplate": f"projects/{spec.place.project}/global/instanceTemplates/{name}",
            "targetSize": spec.replicas,
            "updatePolicy": {"type": "OPPORTUNISTIC"},
        },
        needs=(template,),
        meter=f"{spec.replicas} x ({machine.meter(spec)})",
    )
