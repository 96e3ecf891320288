"""What the tree's own programs say about it, in namespaces of their own and without a network."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from provisioner.errors import BakeError
from provisioner.image.chroot import Bind, run_inside
from provisioner.progress import Progress

RULES = "usr/lib/vitrine/firewall.nft"
# The one unit that is not confined, and the one mode of baking that has it: the gate refuses it in any other.
_CONSOLE, _DEBUG = "debug-console.service", "debug"
_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system")
_LINKS = ("wants", "requires", "upholds")
# systemd-analyze(1), "security": 0 is confined in every way that it knows, 10 in none.
_LEVEL = re.compile(r"Overall exposure level for (\S+): ([0-9.]+) ")


def firewall_faults(root: Path, *, progress: Progress) -> list[str]:
    """Say when the image's nft does not take its rules.

    It needs this machine's kernel to know nf_tables: where that is not so, nothing can be said, and it says so.
    """
    nft = ("/usr/sbin/nft", "--check")
    if _fails(root, (*nft, "flush", "ruleset")):
        progress("this machine's kernel has no nf_tables: whether the firewall's rules load is not tried")
        return []
    said = _fails(root, (*nft, "--file", f"/{RULES}"))
    return [f"egress_firewall (rules-load): {RULES}: nft does not load the rules: {said}"] if said else []


def exposure_faults(root: Path, mode: str) -> list[str]:
    """Name every unit that starts, or is ours, and is less confined than it may be.

    Raises:
        BakeError: systemd-analyze does not judge one of them.
    """
    goal, limits = _limits()
    units = [unit for unit in _units(root) if mode != _DEBUG or unit != _CONSOLE]
    argv = ("/usr/bin/systemd-analyze", "security", "--offline=yes", "--no-pager", *units)
    with TemporaryDirectory() as run:
        binds, env = (Bind(Path(run), "/run", writable=True),), {"SYSTEMD_COLORS": "0"}
        said = run_inside(root, argv, what="service_sandbox: judging units", binds=binds, env=env).decode()
    found = {name: float(level) for name, level in _LEVEL.findall(said)}
    if missing := [unit for unit in units if unit not in found]:
        raise BakeError(f"service_sandbox: systemd-analyze says nothing about {', '.join(missing)}")
    return [
        f"service_sandbox (exposure): {unit}: {found[unit]}, at most {limits.get(unit, goal)} is allowed: "
        "a unit that is not confined; say what it needs in a 20-needs.conf, and nothing more"
        for unit in units
        if found[unit] > limits.get(unit, goal)
    ]


def _limits() -> tuple[float, dict[str, float]]:
    text = resources.files("provisioner.gate").joinpath("data", "exposure.json").read_text()
    document = json.loads(text)
    return document["goal"], {unit: entry["limit"] for unit, entry in document["units"].items()}


def _units(root: Path) -> list[str]:
    """List the services that something starts, and ours; a template stands for any instance of it."""
    linked = [path for folder in _FOLDERS for kind in _LINKS for path in (root / folder).glob(f"*.{kind}/*.service")]
    ours = [path for folder in _FOLDERS for path in (root / folder).glob("vitrine-*.service")]
    return sorted({path.name.replace("@.", "@any.") for path in (*linked, *ours)})


def _fails(root: Path, argv: tuple[str, ...]) -> str:
    try:
        run_inside(root, argv, what="nft")
    except BakeError as error:
        return str(error)
    return ""
