"""The commands ``vitrine image``, of which ``report`` is here; the entry-point group ``vitrine.commands`` has them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from provisioner.audit import command as archive
from provisioner.contents import command as contents
from provisioner.errors import BakeError, ProvisionError
from provisioner.progress import say
from provisioner.subcommand import added, tell

WRONG, USAGE, UNREACHABLE = 1, 2, 3
_GROUP = "read what is in a baked image, say what it is made of, and gather what an audit of it needs"
_GROUP_EPILOG = """examples:
  vitrine image packages build/local/image
  vitrine image list build/local/image /usr/lib/vitrine
  vitrine image show build/local/image /usr/lib/vitrine/firewall.nft
  vitrine image report build/local/image --offline
  vitrine image archive build/local/image --output build/local/archive

IMAGE is the folder of a baked image: `make bake` and `make deploy` make it, build/NAME/image of a deployment.
docs/audit.md and docs/operator.md explain what the actions show.
"""
_HELP = "say what a baked image is made of, and what is known against its packages"
_EPILOG = """What it is made of is read from sbom.json, which manifest.json names; what is newer, the security archive
of Debian's mirror says; what is known against it, a copy of the data of Debian's security tracker.

examples:
  vitrine image report build/local/image
  vitrine image report build/local/image --offline --json
  vitrine image report build/local/image --vulnerabilities tracker.json

exit codes:
  0 nothing is behind the security archive, and a newer version would mend nothing that is known
  1 something is: `make lock` and a new bake take the newer versions
  2 usage, or a file is not what it should be
  3 the mirror cannot be asked
"""


def register(commands: Any) -> None:
    """Add the commands; ``commands`` is what argparse's ``add_subparsers`` returns."""
    group = added(commands, "image", _GROUP, epilog=_GROUP_EPILOG).add_subparsers(
        title="actions", metavar="ACTION", dest="what", required=True
    )
    contents.add(group)
    archive.add(group)
    parser = added(group, "report", _HELP, epilog=_EPILOG)
    parser.add_argument("image", metavar="IMAGE", type=Path, help="the folder of an image")
    parser.add_argument(
        "--vulnerabilities", metavar="FILE", type=Path, help="a copy of what Debian's security tracker publishes (JSON)"
    )
    parser.add_argument("--offline", action="store_true", help="do not ask the mirror what is newer")
    parser.add_argument("--mirror", metavar="URL", help="a Debian mirror (default: this machine's own)")
    parser.add_argument("--security-mirror", metavar="URL", help="its security archive")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # Every command loads this file; what reads images is loaded when it is asked for.
    from provisioner.contents.bill import read_bill  # noqa: PLC0415
    from provisioner.report import behind, telling, tracker  # noqa: PLC0415

    try:
        read = read_bill(arguments.image)
    except BakeError as error:
        say(f"vitrine: usage: {error}; {contents.WHICH}")
        return USAGE
    try:
        known = tracker.read_findings(arguments.vulnerabilities, read) if arguments.vulnerabilities else None
    except ProvisionError as error:
        say(f"vitrine: usage: {error}")
        return USAGE
    try:
        asked = None
        if not arguments.offline:
            asked = behind.ask(read, arguments.mirror, arguments.security_mirror, progress=say)
    except ProvisionError as error:
        say(f"vitrine: {error}; --offline reports without the mirror")
        return UNREACHABLE
    report = telling.Report(read, asked, known)
    tell(telling.as_dict(report), telling.lines(report), as_json=arguments.json)
    return 0 if report.is_clean else WRONG
