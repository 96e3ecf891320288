"""A plan for people to read: what it comes to first, then every body, then the warnings, which nobody scrolls up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from provisioner.clouds.resources import ResourcePlan

_GIB = 1 << 30


def shown(plan: ResourcePlan) -> Iterator[str]:
    """Yield the lines of a plan."""
    yield from _summary(plan)
    warnings = [f"warning: {text}" for text in plan.warnings]
    yield from warnings
    yield ""
    yield from plan.lines()
    yield from warnings


def _summary(plan: ResourcePlan) -> Iterator[str]:
    kinds = Counter(resource.key.kind for resource in plan.resources)
    counted = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    yield f"{plan.deployment} has {len(plan.resources)} things: {counted}"
    for resource in plan.resources:
        if resource.source is not None:
            there = resource.source.is_file()
            size = f"{resource.source.stat().st_size / _GIB:.1f} GiB, packed or without zeros" if there else "not baked"
            yield f"  uploads {resource.source} ({size})"
    yield "  costs while it exists, by meter:"
    yield from (f"    {one.key}: {one.meter}" for one in plan.resources if one.meter)
