"""A context for other people's HTTP libraries: one accepted VM, for as long as the verdict holds (rules C3, C7)."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from client_sdk.accept import Accepted
from client_sdk.errors import Failure, PolicyError
from client_sdk.given import require, require_instant
from client_sdk.pinning import PinnedContext, boot_clock, pinned_context
from client_sdk.rules import keeps

MAX_AGE = 3600.0


@keeps("C3", "C7")
def attested_context(accepted: Accepted, *, max_age: float = MAX_AGE, now: datetime | None = None) -> PinnedContext:
    """Return a bare ``ssl.SSLContext`` for any HTTP library: it trusts the accepted VM alone.

    It does so until ``max_age`` seconds after the VM was verified, not after this call; ``now`` is this machine's time.

    After that it makes no connection, but closing those that it made is up to the library; so is not to follow
    redirects, not to retry and not to send to another origin. Behind a balancer it refuses every node but that one.
    :class:`client_sdk.Client` does all of that, for all nodes.

    Raises:
        EvidenceError: it is no ``Accepted``: evidence that was only verified names a certificate as well.
        PolicyError: C3, nobody connected (the evidence was stored); C7, the verdict is too old, or a ``max_age`` that
            limits nothing.
    """
    remedy = "give what attest() returned; what observe() returned was compared with no release"
    require(accepted, Accepted, "accepted", expected="what was accepted", remedy=remedy)
    if any(rule == "C3" for rule, _ in accepted.evidence.not_run):
        what = "C3: the evidence is one that a connection brought"
        raise PolicyError((Failure(what, "evidence of attest()", "stored evidence, which no connection showed"),))
    moment = datetime.now(UTC) if now is None else now
    require_instant(moment, "now")
    age = (moment - accepted.evidence.verified_at).total_seconds()
    left = limited(max_age) - age
    if not 0 <= age < max_age:
        what = "C7: the verdict is not older than its limit"
        raise PolicyError((Failure(what, f"at most {max_age:.0f} seconds, and not of the future", f"{age:.0f}"),))
    return pinned_context(accepted.evidence.tls_certificate, deadline=boot_clock() + left)


@keeps("C7")
def limited(max_age: float) -> float:
    """Refuse an age limit that limits nothing.

    Raises:
        PolicyError: C7.
    """
    if isinstance(max_age, bool) or not isinstance(max_age, (int, float)) or not 0 < max_age < math.inf:
        raise PolicyError((Failure("C7: a verdict has an age limit", "a positive number of seconds", str(max_age)),))
    return max_age
