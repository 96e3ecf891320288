"""What ``vitrine status`` does: read the inventory, look, judge where that is wanted, tell."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from provisioner.errors import SpecError, sentences
from provisioner.progress import say
from provisioner.status.deployment import Deployment, exit_code
from provisioner.status.inventory import CHECKOUT, default_inventory, deploy_vm
from provisioner.status.judge import By, judge
from provisioner.status.look import Wanted, look
from provisioner.status.telling import as_dict, lines
from provisioner.subcommand import tell

BUILD = CHECKOUT / "build"
USAGE = 2


def run(arguments: argparse.Namespace) -> int:
    """Print the status; return the exit code that the command's help explains."""
    try:
        found = _found(arguments)
    except SpecError as error:
        say(f"vitrine: usage:{sentences(error)}")
        return USAGE
    now = datetime.now(UTC)
    tell(as_dict(found, now), lines(found, now), as_json=arguments.json)
    return exit_code(found, now)


def _found(arguments: argparse.Namespace) -> tuple[Deployment, ...]:
    source = Path(arguments.inventory) if arguments.inventory else default_inventory()
    told = deploy_vm(source, arguments.name or "")
    found = look(Wanted(told=told, build=BUILD, alone=bool(arguments.name), doors=not arguments.no_doors))
    if not arguments.verify:
        return found
    by = By(arguments.policy, arguments.collateral)
    return tuple(judge(one, BUILD, by, progress=say) for one in found)
