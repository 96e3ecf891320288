"""How our mark is written in Google Cloud: in labels, or in the description of kinds that take none when they are made.

Addresses and forwarding rules have labels, but only a second call can set them: one that is interrupted would leave
something that costs and that nobody finds. https://cloud.google.com/compute/docs/reference/rest/v1/addresses
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from provisioner.clouds.resources import Mark

DEPLOYMENT, DIGEST = "vitrine-deployment", "vitrine-digest"
IMAGE, PORT = "vitrine-image", "vitrine-port"
_LAST_PORT = 65535
_TEXT = re.compile(r"vitrine deployment=([a-z][a-z0-9-]{0,30}) digest=([0-9a-f]{40})")


def labels(mark: Mark) -> dict[str, str]:
    """Write a mark as labels."""
    return {DEPLOYMENT: mark.deployment, DIGEST: mark.digest}


def description(mark: Mark) -> str:
    """Write a mark as a description."""
    return f"vitrine deployment={mark.deployment} digest={mark.digest}"


def port_of(found: Mapping[str, Any]) -> int:
    """Read the port from labels; 0 where there is none, or none that is one: anybody may write them."""
    text = str(found.get(PORT, ""))
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= _LAST_PORT else 0


def of_labels(found: Mapping[str, Any]) -> Mark | None:
    """Read a mark from labels; None where there is none."""
    both = found.get(DEPLOYMENT), found.get(DIGEST)
    return Mark(str(both[0]), str(both[1])) if all(both) else None


def of_description(found: str) -> Mark | None:
    """Read a mark from a description; None where there is none."""
    match = _TEXT.fullmatch(found)
    return Mark(match[1], match[2]) if match else None
