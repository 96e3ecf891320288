"""The names of an inventory's variables: a misspelt one is a fault of the inventory, not a default in silence.

The same goes for a value on the command line that nothing reads: whoever gives it means something by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from provisioner.errors import Fault

OPERATOR = (
    *(
        "bake_cache",
        "bake_hub",
        "bake_mirror",
        "bake_mode",
        "bake_output",
        "bake_security_mirror",
        "bake_source_commit",
    ),
    *(
        "deploy_name",
        "deploy_platform_values",
        "deploy_port",
        "deploy_revokes",
        "deploy_seconds",
        "deploy_secure_boot",
        "deploy_service",
    ),
    *("deploy_simulated_cloud", "deploy_vm", "rollout_announce_seconds", "rollout_overlap_seconds"),
)
# No playbook reads these: the inventory's own `deploy_vm` has to.
THROUGH_THE_INVENTORY = ("deploy_name", "deploy_port", "deploy_secure_boot")
# The playbooks set them for each other.
MADE = ("bake_image", "bake_prepared", "deploy_checked", "deploy_launched", "deploy_playbook")


def unknown(names: Iterable[str], roles: Iterable[str], options: Iterable[str]) -> Iterator[Fault]:
    """Yield variables that look like ours and that nothing reads, each with the name that was probably meant.

    ``roles`` are the names of the roles, ``options`` the variables that these take. Other names are others' business.
    """
    prefixes = ("bake_", "deploy_", "rollout_", *(f"{role}_" for role in roles))
    known = {*OPERATOR, *options}
    for name in sorted(set(names)):
        if name.startswith(prefixes) and name not in {*known, *MADE}:
            yield Fault(name, _meant(name, known), "a variable that nothing reads")


def unread(given: frozenset[str], text: str, machine: Mapping[str, object]) -> Iterator[Fault]:
    """Yield variables of the command line that would change nothing.

    ``text`` is every template that the inventory says, unresolved; ``machine`` is its ``deploy_vm``, resolved.
    """
    idle = sorted(name for name in given if not re.search(rf"\b{re.escape(name)}\b", text))
    for name in idle:
        if name in THROUGH_THE_INVENTORY:
            yield Fault(f"-e {name}", f"a variable that {_PLACE} reads", "one that nothing reads in this inventory")
        elif name in machine:
            wanted = f"a change of {name} in {_PLACE}: -e replaces whole variables, never a part of one"
            yield Fault(f"-e {name}", wanted, "a variable that nothing reads")


_PLACE = "the inventory's deploy_vm (group_vars)"


def _meant(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(known), n=1)
    return close[0] if close else "one of the variables in group_vars or in roles/*/defaults/main.yml"
