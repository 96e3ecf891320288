"""The refuse gate: an image that breaks a rule is not packed, and its maker is told which property it would lose."""

from __future__ import annotations

from pathlib import Path

from provisioner.errors import BakeError
from provisioner.gate.checks import CHECKS
from provisioner.gate.rule import Rule
from provisioner.gate.rules import shipped_rules
from provisioner.gate.tree import Tree, walk
from provisioner.gate.trial import exposure_faults, firewall_faults
from provisioner.progress import Progress

# Enough to see what happened; a whole package would fill the screen.
SHOWN_PER_RULE = 8


def refuse(root: Path, mode: str = "release") -> None:
    """Check a finished tree against every rule of a mode of baking: ``debug`` goes without those about its console.

    It looks for known doors by name, mode and contents; it does not prove that a program behaves.

    Raises:
        BakeError: a rule is broken; it lists every violation of every rule at once, each with the property.
    """
    tree = walk(root)
    _require_none([line for rule in shipped_rules() if rule.not_in != mode for line in _violations(rule, tree)])


def refuse_on_trial(root: Path, mode: str, *, progress: Progress) -> None:
    """Let the tree's own programs judge it: whether the firewall's rules load, and how far every unit is confined.

    It shows what the image's nft and systemd make of the files; it does not prove that the kernel will enforce it.

    Raises:
        BakeError: rules do not load, or a unit is less confined than it may be; or a program of the tree fails.
    """
    _require_none([*firewall_faults(root, progress=progress), *exposure_faults(root, mode)])


def _require_none(violations: list[str]) -> None:
    if violations:
        listed = "\n".join(f"  {line}" for line in violations)
        raise BakeError(f"the image breaks {len(violations)} rule(s) of the gate and was not packed:\n{listed}")


def _violations(rule: Rule, tree: Tree) -> list[str]:
    paths = list(CHECKS[rule.check](rule, tree))
    if not paths:
        return []
    more = f" and {len(paths) - SHOWN_PER_RULE} more" if len(paths) > SHOWN_PER_RULE else ""
    return [f"{rule.property} ({rule.id}): {', '.join(paths[:SHOWN_PER_RULE])}{more}: {rule.why}"]
