"""The refuse gate: an image that breaks a rule is not packed."""

from __future__ import annotations

from pathlib import Path

from provisioner.errors import BakeError
from provisioner.gate.checks import CHECKS
from provisioner.gate.rule import Rule
from provisioner.gate.rules import shipped_rules
from provisioner.gate.tree import Tree, walk

# Enough to see what happened; a whole package would fill the screen.
SHOWN_PER_RULE = 8


def refuse(root: Path, mode: str = "release") -> None:
    """Check a finished tree against every rule of a mode of baking: ``debug`` goes without those about its console.

    It looks for known doors by name, mode and contents; it does not prove that a program behaves.

    Raises:
        BakeError: a rule is broken; it lists every violation of every rule at once.
    """
    tree = walk(root)
    violations = [line for rule in shipped_rules() if rule.not_in != mode for line in _violations(rule, tree)]
    if violations:
        listed = "\n".join(f"  {line}" for line in violations)
        raise BakeError(f"the image breaks {len(violations)} rule(s) of the gate and was not packed:\n{listed}")


def _violations(rule: Rule, tree: Tree) -> list[str]:
    paths = list(CHECKS[rule.check](rule, tree))
    if not paths:
        return []
    more = f" and {len(paths) - SHOWN_PER_RULE} more" if len(paths) > SHOWN_PER_RULE else ""
    return [f"{rule.id}: {', '.join(paths[:SHOWN_PER_RULE])}{more}: {rule.why}"]
