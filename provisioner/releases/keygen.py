"""Making one holder's key: the private one stays with him, the public one goes to the others and to the clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from client_sdk.dsse import key_id
from provisioner import keys
from provisioner.errors import Fault, SpecError
from provisioner.progress import Progress
from provisioner.releases.files import reason


def make_key(private: Path, choose: keys.Ask, *, progress: Progress) -> dict[str, Any]:
    """Make a key, its public half beside it, or neither; ``choose`` gives its passphrase, empty of one without.

    Raises:
        SpecError: one is there, or none can be written there.
    """
    taken = "a key that signed is never replaced, it is rotated"
    public = keys.require_new(private, example="alice.key", taken=taken)
    chosen = choose(private)
    if not private.parent.exists():
        progress(f"{private.parent}: there was no such folder, so it is made")
    try:
        key = keys.create_pair(private, public, chosen)
    except OSError as error:
        raise SpecError((Fault(str(private), "a place where a key can be written", reason(error)),)) from error
    progress(f"{private} signs releases: it stays on this machine, with one holder; nobody else ever needs it")
    progress(f"{public} goes to the other holders and to the clients, who pin it as key {key_id(key.public_key())}")
    return {"key": str(private), "public": str(public), "id": key_id(key.public_key())}
