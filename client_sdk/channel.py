"""A context for other people's HTTP libraries: one accepted VM, for as long as the verdict holds (rules C3, C7)."""

from __future__ import annotations

import math

from client_sdk.accept import Accepted
from client_sdk.errors import Failure, PolicyError
from client_sdk.pinning import PinnedContext, boot_clock, pinned_context
from client_sdk.rules import keeps

MAX_AGE = 3600.0


def attested_context(accepted: Accepted, *, max_age: float = MAX_AGE) -> PinnedContext:
    """Return a bare ``ssl.SSLContext`` for any HTTP library: it trusts the accepted VM alone, for ``max_age`` seconds.

    After that it makes no connection, but closing those that it made is up to the library; so is not to follow
    redirects, not to retry and not to send to another origin. Behind a balancer it refuses every node but that one.
    :class:`client_sdk.Client` does all of that, for all nodes.
    """
    return pinned_context(accepted.evidence.tls_certificate, deadline=boot_clock() + limited(max_age))


@keeps("C7")
def limited(max_age: float) -> float:
    """Refuse an age limit that limits nothing.

    Raises:
        PolicyError: C7.
    """
    if not 0 < max_age < math.inf:
        raise PolicyError((Failure("C7: a verdict has an age limit", "a positive number of seconds", str(max_age)),))
    return max_age
