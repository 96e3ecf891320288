"""The names of an inventory's variables: a misspelt one is a fault of the inventory, not a default in silence."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from provisioner.errors import Fault, SpecError

OPERATOR = (
    *("bake_cache", "bake_mirror", "bake_mode", "bake_output", "bake_security_mirror", "bake_source_commit"),
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
# The playbooks set them for each other.
_MADE = ("bake_image", "bake_prepared", "deploy_launched", "deploy_root")


def refuse_unknown(names: Iterable[str], roles: Iterable[str], options: Iterable[str]) -> None:
    """Refuse variables that look like ours and that nothing reads; others' names are their own business.

    ``roles`` are the names of the roles, ``options`` the variables that these take.

    Raises:
        SpecError: listing each of them, with the name that was probably meant.
    """
    prefixes = ("bake_", "deploy_", "rollout_", *(f"{role}_" for role in roles))
    known = {*OPERATOR, *options}
    unknown = sorted(name for name in names if name.startswith(prefixes) and name not in {*known, *_MADE})
    if unknown:
        raise SpecError(tuple(Fault(name, _meant(name, known), "a variable that nothing reads") for name in unknown))


def _meant(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(known), n=1)
    return close[0] if close else "one of the variables in group_vars or in roles/*/defaults/main.yml"
