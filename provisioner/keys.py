"""Ed25519 keys that sign, the publisher's and the tokens' issuer's: files that their owner alone may read.

A file may be encrypted besides. Its passphrase is asked for where it is needed; no argument, variable or error has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from provisioner.atomic import replace_file
from provisioner.errors import Fault, SpecError

Ask = Callable[[Path], bytes]
"""Returns the passphrase of the key in a file."""
_MADE_BY = "a private key (the publisher's, which the first deployment makes, or one of `vitrine … keygen`)"


def load_or_create(path: Path) -> Ed25519PrivateKey:
    """Return the key in the file; make one, with mode 0600, where there is no file.

    Raises:
        SpecError: the file holds something else, or others may read it.
    """
    if not path.exists():
        create(path)
    return load(path)


def load(path: Path, ask: Ask | None = None) -> Ed25519PrivateKey:
    """Return the key in the file; ``ask`` is called where it is encrypted.

    Raises:
        SpecError: there is none, the file holds something else, others may read it, or the passphrase is another one.
    """
    if not path.is_file():
        raise SpecError((Fault(str(path), _MADE_BY, "nothing"),))
    require_private(path, "make a new key")
    key = _decrypted(path, ask)
    if not isinstance(key, Ed25519PrivateKey):
        raise SpecError((Fault(str(path), "an Ed25519 key", type(key).__name__),))
    return key


def require_private(path: Path, remedy: str) -> None:
    """Refuse a file that others may read.

    Raises:
        SpecError: with the mode, and what to do.
    """
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        told = f"mode 0600: chmod 600 it, and {remedy} if others may have read it"
        raise SpecError((Fault(str(path), told, oct(mode)),))


def _decrypted(path: Path, ask: Ask | None) -> object:
    pem, passphrase = path.read_bytes(), None
    try:
        try:
            return load_pem_private_key(pem, password=None)
        except TypeError:  # it is encrypted
            if ask is None:
                raise SpecError((Fault(str(path), "an unencrypted PEM private key", "an encrypted one"),)) from None
        passphrase = ask(path)
        return load_pem_private_key(pem, password=passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: what a library says of a key may have some of it.
        expected = "a PEM private key" if passphrase is None else "the passphrase of this key"
        got = "something else" if passphrase is None else "another one"
        raise SpecError((Fault(str(path), expected, got),)) from None


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the public half, as PEM: what clients and images pin."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def create(path: Path, passphrase: bytes = b"") -> None:
    """Make a key, with mode 0600, encrypted where there is a passphrase; whatever is in the file is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    replace_file(path, pem, 0o600)


def require_new(private: Path, *, example: str, taken: str) -> Path:
    """Return where the public half of a new key belongs, ``alice.pub`` beside ``alice.key``.

    Raises:
        SpecError: that is no name for a private key, or something is there already, be it a link to nothing.
    """
    if not private.stem or private.suffix == ".pub":
        raise SpecError((Fault("KEY", f"a name for the private key, such as {example}", str(private)),))
    public = private.with_name(f"{private.stem}.pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise SpecError((Fault(str(path), f"no file: {taken}", "one"),))
    return public


def create_pair(private: Path, public: Path, passphrase: bytes = b"") -> Ed25519PrivateKey:
    """Make a key and its public half, or neither: a key whose public half is missing could not be made again.

    Raises:
        OSError: one of them cannot be written.
    """
    create(private, passphrase)
    key = load(private, lambda _: passphrase)
    try:
        replace_file(public, public_pem(key))
    except OSError:
        private.unlink()
        raise
    return key
