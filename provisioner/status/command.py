"""The command ``vitrine status``, as the entry-point group ``vitrine.commands`` finds it.

Every ``vitrine`` command loads this file, so it is small: Ansible and the clouds are loaded when status is asked for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

USAGE = 2
_HELP = "show what runs, which release it is, how it was judged last, what it costs and which doors are open"
_EPILOG = """examples:
  vitrine status
  vitrine status -i inventories/gcp --json
  vitrine status --name local --verify

exit codes:
  0 all of it runs, and the last verdict on each is acceptance
  1 something is wrong: it is said under "wrong", with what to do
  2 usage, or the inventory is not what it should be
  3 the cloud cannot be asked; what this machine knows is shown
"""


def register(commands: Any) -> None:
    """Add the command; ``commands`` is what argparse's ``add_subparsers`` returns."""
    parser = commands.add_parser(
        "status",
        help=_HELP,
        description=_HELP[0].upper() + _HELP[1:] + ".",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-i", "--inventory", metavar="DIR", help="an inventory (default: the one in ansible.cfg)")
    parser.add_argument("--name", help="this deployment alone, as deploy_name says it (default: all that is found)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument(
        "--no-doors", action="store_true", help="do not read back which ways into a cloud's VM are open"
    )
    group = parser.add_argument_group("judging now")
    group.add_argument("--verify", action="store_true", help="judge each as any client would, and keep the verdict")
    group.add_argument(
        "--policy", metavar="FILE", type=Path, help="what to accept (TOML, docs/policy.md; default: its own "
        "policy.toml, else production's, and for VMs on this machine the CA of their software TPMs)"
    )  # fmt: skip
    group.add_argument(
        "--collateral",
        metavar="DIR",
        type=Path,
        help="folder of what hardware makers publish (default: the deployment's)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.verify and (arguments.policy or arguments.collateral):
        return _refuse("--policy and --collateral say how to judge: they need --verify")
    try:
        # Loading Ansible takes a second, and whoever verifies needs none of it.
        from provisioner.status.run import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return _refuse(f"{error.name} is not installed: pip install '.[deploy]'")
    return run(arguments)


def _refuse(message: str) -> int:
    sys.stderr.write(f"vitrine: usage: {message}\n")
    return USAGE
