"""The last look at a clean tree before it is packed: what must not be in an image is refused."""

from __future__ import annotations

from provisioner.gate.refuse import refuse, refuse_on_trial

__all__ = ["refuse", "refuse_on_trial"]
