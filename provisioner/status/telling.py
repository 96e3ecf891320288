"""A status for people (lines) and for machines (JSON).

What a cloud says is made printable: a terminal obeys what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from client_sdk.errors import printable
from client_sdk.fields import format_instant
from provisioner.clouds import Vm
from provisioner.status.deployment import Deployment, wrong
from provisioner.status.local import Released

VERSION = 1
_KEY_SIZE = 12


def as_dict(found: tuple[Deployment, ...], now: datetime) -> dict[str, Any]:
    """Return all of it as plain values for JSON."""
    return {
        "version": VERSION,
        "asked_at": format_instant(now),
        "deployments": [_dict(one, now) for one in found],
    }


def lines(found: tuple[Deployment, ...], now: datetime) -> Iterator[str]:
    """Yield what people want to know, one deployment after the other."""
    for one in found:
        yield printable(f"{one.name} ({one.cloud}): {one.state}")
        for title, text in _rows(one, now):
            yield printable(f"  {title:<9} {text}")


def age(span: timedelta) -> str:
    """Spell a span of time roughly; an instant in the future is said to be one."""
    seconds = int(span.total_seconds())
    if seconds < 0:
        return "in the future: this machine's clock is wrong, or was"
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} seconds ago"


def _rows(one: Deployment, now: datetime) -> Iterator[tuple[str, str]]:
    if one.vm is not None:
        yield from _machine_rows(one.vm)
    yield "release", _release(one.local.release, now)
    yield "verdict", _verdict(one, now)
    if one.vm is not None:
        yield "doors", "not looked at" if one.doors is None else f"{len(one.doors) or 'none'} open"
    if one.things is not None and one.things.count:
        compared = f"; not compared with a plan: {one.things.why}" if one.things.leftover is None else ""
        yield "marked", f"{one.things.count} things{compared}"
    if one.refusal:
        yield "not asked", one.refusal
    yield from (("wrong", text) for text in wrong(one, now))


def _machine_rows(vm: Vm) -> Iterator[tuple[str, str]]:
    yield "endpoint", vm.endpoint or "none yet"
    for node in vm.nodes:
        running = "running" if node.running else "not running"
        yield "node", f"{node.name}  {node.address or 'no address'}  {running}  image {node.image[:_KEY_SIZE] or '?'}"
    for name, value in vm.facts:
        yield "fact", f"{name}: {value}"


def _release(release: Released | None, now: datetime) -> str:
    if release is None:
        return "none published here"
    left = (release.not_after - now).days
    window = release.window(now)
    more = {"valid": f", {left} days left", "expires soon": f", {left} days left: deploy again to renew it"}
    dates = f"{format_instant(release.not_before)} to {format_instant(release.not_after)}"
    debug = "DEBUG: its image has a console; " if release.debug else ""
    return f"{debug}{release.number} of {release.service}, {window}{more.get(window, '')} ({dates})"


def _verdict(one: Deployment, now: datetime) -> str:
    verdict = one.local.verdict
    if verdict is None:
        return "none kept here"
    when = f"{age(now - verdict.when)} ({format_instant(verdict.when)})"
    passed = f"{verdict.checks} checks passed"
    return f"{verdict.verdict} {when}, release {verdict.release}, by the policy {verdict.policy}, {passed}"


def _dict(one: Deployment, now: datetime) -> dict[str, Any]:
    vm, things, release, verdict = one.vm, one.things, one.local.release, one.local.verdict
    return {
        "name": one.name,
        "cloud": one.cloud,
        "state": one.state,
        "endpoint": None if vm is None else vm.endpoint,
        "nodes": [] if vm is None else [
            {"name": node.name, "address": node.address, "running": node.running, "image": node.image}
            for node in vm.nodes
        ],
        "facts": {} if vm is None else dict(vm.facts),
        "release": None if release is None else {
            "number": release.number,
            "service": release.service,
            "debug": release.debug,
            "not_before": format_instant(release.not_before),
            "not_after": format_instant(release.not_after),
            "window": release.window(now),
            "image": one.local.image,
        },
        "verdict": None if verdict is None else {
            **verdict.as_dict(), "age_seconds": int((now - verdict.when).total_seconds())
        },
        "open_doors": None if one.doors is None else list(one.doors),
        "marked": None if things is None else {
            "count": things.count,
            "unfinished": list(things.unfinished),
            "leftover": None if things.leftover is None else list(things.leftover),
            "missing": None if things.missing is None else list(things.missing),
            "not_compared": things.why,
        },
        "not_asked": one.refusal,
        "wrong": list(wrong(one, now)),
    }  # fmt: skip
