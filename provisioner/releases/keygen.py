"""Making one holder's key: the private one stays with him, the public one goes to the others and to the clients."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from client_sdk.dsse import key_id
from provisioner import keys
from provisioner.errors import Fault, SpecError
from provisioner.progress import Progress
from provisioner.releases.files import reason, write_file


def make_key(private: Path, choose: keys.Ask, *, progress: Progress) -> dict[str, Any]:
    """Make a key, its public half beside it, or neither; ``choose`` gives its passphrase, empty of one without.

    Raises:
        SpecError: one is there, or none can be written there.
    """
    if not private.stem or private.suffix == ".pub":
        raise SpecError((Fault("KEY", "a name for the private key, such as alice.key", str(private)),))
    public = private.with_name(f"{private.stem}.pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise SpecError((Fault(str(path), "no file: a key that signed is never replaced, it is rotated", "one"),))
    chosen = choose(private)
    if not private.parent.exists():
        progress(f"{private.parent}: there was no such folder, so it is made")
    try:
        keys.create(private, chosen)
    except OSError as error:
        raise SpecError((Fault(str(private), "a place where a key can be written", reason(error)),)) from error
    key = keys.load(private, lambda _: chosen)
    try:
        write_file(public, keys.public_pem(key))
    except SpecError:
        private.unlink()  # it signed nothing, and left there it could not be made again
        raise
    progress(f"{private} signs releases: it stays on this machine, with one holder; nobody else ever needs it")
    progress(f"{public} goes to the other holders and to the clients, who pin it as key {key_id(key.public_key())}")
    return {"key": str(private), "public": str(public), "id": key_id(key.public_key())}
