"""The chain of trust as a picture: inline SVG, once for wide screens and paper, once for narrow ones.

Trust runs from the right (who was pinned) to the left (who is talked to). Each link is a line with a sign, and leads to
the section that lists its checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap

from client_sdk.errors import printable
from client_sdk.page.faults import BROKEN, State
from client_sdk.page.layout import HEIGHT, NARROW, WIDE, Layout, Place, Route, route
from client_sdk.page.links import Finding
from client_sdk.page.markup import NOTHING, Html, join, tag, text
from client_sdk.report import Report

TITLE_WIDTH, NOTE_WIDTH = 18, 24
STYLES = {
    State.HOLDS: "ok",
    **dict.fromkeys(BROKEN, "bad"),
    State.ABSENT: "absent",
    State.OPEN: "open",
}
# Tick, cross, "unequal", question mark, dash and dots, around the middle of a badge: they differ without colours.
_SIGNS = {
    State.HOLDS: "M-5 0.5 -1.5 4 5.5 -4",
    State.FAILED: "M-4.5 -4.5 4.5 4.5M4.5 -4.5 -4.5 4.5",
    State.UNWANTED: "M-5 -2.5H5M-5 2.5H5M3 -6 -3 6",
    State.STALE: "M-3 -3a3 3 0 1 1 4.5 2.6Q0 .4 0 2M0 5.5h.1",
    State.ABSENT: "M-5 0H5",
    State.OPEN: "M-5 0h.1M0 0h.1M5 0h.1",
}
_SPEAKING = frozenset({"tee", "gpu"})  # of a group that is absent, one box says why
_PINNED = frozenset({"publisher", "tpm-root", "tee-root", "gpu-root"})


@dataclass(frozen=True, slots=True)
class Node:
    """A box: what it is, and what is known about it."""

    title: str
    note: str


def picture(report: Report, found: tuple[Finding, ...]) -> Html:
    """Draw the chain as a report has it."""
    nodes = _nodes(report)
    absent = {key: why for key in nodes if (why := _absent(key, found))}
    return join(*(_drawing(layout, nodes, absent, found) for layout in (WIDE, NARROW)))


def _drawing(layout: Layout, nodes: Mapping[str, Node], absent: Mapping[str, str], found: tuple[Finding, ...]) -> Html:
    name = f"picture-{layout.name}"
    boxes = (_box(key, node, layout.places[key], absent.get(key, "")) for key, node in nodes.items())
    return tag(
        "svg",
        tag("title", text("The chain of trust"), id=f"{name}-title"),
        tag("desc", text(description(found)), id=f"{name}-desc"),
        tag("g", *(_line(item, layout) for item in found)),
        tag("g", *boxes),
        tag("g", *(_link(item, layout) for item in found)),
        viewBox=f"0 0 {layout.width} {layout.height}",
        class_=f"picture {layout.name}",
        role="group",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def description(found: tuple[Finding, ...]) -> str:
    """Say in words what the picture shows."""
    return " ".join(f"{item.link.title}: {item.state.value}." for item in found)


def _absent(key: str, found: tuple[Finding, ...]) -> str:
    """Return why a node does not apply: none of its links does."""
    touching = [item for item in found if key in {item.link.start, item.link.end}]
    return touching[0].why if all(item.state is State.ABSENT for item in touching) else ""


def _nodes(report: Report) -> dict[str, Node]:
    facts, sources = dict(report.facts), {name for name, _ in report.sources}
    simulated = facts.get("simulated") is True or any(check.id == "D1" for check in report.checks)
    certificate = "AK certificate" if "ak_certificates" in sources else "EK certificate"
    amd = any(check.id.startswith(("T2.", "T3.")) for check in report.checks)
    intel = any(check.id.startswith(("T6.", "T7.")) for check in report.checks)
    maker, chip = (
        ("AMD's root", "VCEK") if amd else ("Intel's root", "PCK") if intel else ("AMD or Intel root", "VCEK or PCK")
    )
    number, service = _short(facts.get("release")), _short(facts.get("service"))
    return {
        "you": Node("You", "this client"),
        "tls": Node("TLS key of your connection", "made in this boot, never leaves the VM"),
        "publisher": Node("Publisher's key", "pinned by you"),
        "release": Node("Release", f"{number} of {service}" if number and service else ""),
        "predicted": Node("Predicted measurements", ""),
        "pcrs": Node("Quoted PCRs", "what was booted"),
        "logs": Node("Boot logs", "firmware's and the VM's"),
        "quote": Node("TPM quote", "signed, fresh"),
        "ak": Node("Attestation key", "AK: signs quotes only"),
        "certificate": Node(certificate, "of this very TPM"),
        "tpm-root": Node("TPM root", "of a simulated TPM, pinned by you" if simulated else "pinned"),
        "tee": Node("TEE report", "by the CPU"),
        "tee-values": Node("Expected values", "policy, release"),
        "policy": Node("Your policy", "which machines"),
        "tee-certificate": Node(f"{chip} certificate", "of this very chip"),
        "tee-root": Node(maker, "pinned"),
        "gpu": Node("GPU evidence", "by the GPU"),
        "gpu-values": Node("Reference values", "signed by NVIDIA"),
        "gpu-policy": Node("Your policy", "which GPUs"),
        "gpu-certificate": Node("Device certificate", "of this very GPU"),
        "gpu-root": Node("NVIDIA's root", "pinned"),
    }


def _short(value: object) -> str:
    """Return a fact in so few letters that it fits into a box."""
    if isinstance(value, (tuple, list)):
        return _short(value[0]) if len(value) == 1 else ""
    found = "" if value is None else printable(str(value))
    return found if len(found) <= NOTE_WIDTH // 2 else found[: NOTE_WIDTH // 2 - 1] + "…"


def _box(key: str, node: Node, at: Place, why: str) -> Html:
    titles = wrap(node.title, TITLE_WIDTH)[:2]
    note = node.note if not why else why if key in _SPEAKING else ""
    notes = wrap(note, NOTE_WIDTH, max_lines=3 - len(titles) + (at.height > HEIGHT), placeholder=" …")
    lines = [(line, "name", 17) for line in titles] + [(line, "note", 14) for line in notes]
    y = at.y + (at.height - sum(height for *_, height in lines)) / 2
    drawn = []
    for line, style, height in lines:
        drawn.append(tag("text", text(line), x=f"{at.x + at.width / 2:g}", y=f"{y + height - 4:g}", class_=style))
        y += height
    kind = "absent" if why else "pinned" if key in _PINNED else "plain"
    corners = {"x": f"{at.x:g}", "y": f"{at.y:g}", "width": f"{at.width:g}", "height": f"{at.height:g}", "rx": "9"}
    inner = {"x": f"{at.x + 4:g}", "y": f"{at.y + 4:g}", "rx": "6"}
    inner |= {"width": f"{at.width - 8:g}", "height": f"{at.height - 8:g}"}
    second = tag("rect", **inner, class_="inner") if kind == "pinned" else NOTHING
    return tag("g", tag("rect", **corners), second, *drawn, class_=f"node {kind}")


def _line(item: Finding, layout: Layout) -> Html:
    found = _route(item, layout)
    return tag("path", d=found.path, class_=f"line {STYLES[item.state]}")


def _link(item: Finding, layout: Layout) -> Html:
    """Draw the badge, the word and the arrow's head; all of it, and the line beneath, can be clicked."""
    found, style = _route(item, layout), STYLES[item.state]
    x, y = found.badge
    said = f"{item.link.title}: {item.state.value}" + (f" ({item.why})" if item.why else "")
    return tag(
        "a",
        tag("title", text(said)),
        tag("path", d=found.path, class_="touch"),
        tag("path", d=found.head + (found.tail if item.link.mutual else ""), class_=f"head {style}"),
        tag("circle", cx=f"{x:g}", cy=f"{y:g}", r="11", class_=f"badge {style}"),
        tag("path", d=_SIGNS[item.state], transform=f"translate({x:g} {y:g})", class_=f"sign {style}"),
        tag(
            "text", text(item.link.word), x=f"{found.word[0]:g}", y=f"{found.word[1]:g}", class_=f"word {found.anchor}"
        ),
        href=f"#link-{item.link.key}",
        aria_label=said,
    )


def _route(item: Finding, layout: Layout) -> Route:
    return route(layout.places[item.link.start], layout.places[item.link.end])
