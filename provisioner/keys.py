"""Ed25519 keys that sign, the publisher's and the tokens' issuer's: files that their owner alone may read."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from provisioner.atomic import replace_file
from provisioner.errors import Fault, SpecError

_MADE_BY = "a private key (the publisher's, which the first deployment makes, or one of `vitrine token keygen`)"


def load_or_create(path: Path) -> Ed25519PrivateKey:
    """Return the key in the file; make one, with mode 0600, where there is no file.

    Raises:
        SpecError: the file holds something else, or others may read it.
    """
    if not path.exists():
        create(path)
    return load(path)


def load(path: Path) -> Ed25519PrivateKey:
    """Return the key in the file.

    Raises:
        SpecError: there is none, the file holds something else, or others may read it.
    """
    if not path.is_file():
        raise SpecError((Fault(str(path), _MADE_BY, "nothing"),))
    if path.stat().st_mode & 0o077:
        raise SpecError(
            (
                Fault(
                    str(path),
                    "mode 0600: chmod 600 it, and make a new key if others may have read it",
                    oct(path.stat().st_mode & 0o777),
                ),
            )
        )
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SpecError((Fault(str(path), "an unencrypted PEM private key", "something else"),)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SpecError((Fault(str(path), "an Ed25519 key", type(key).__name__),))
    return key


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the public half, as PEM: what clients and images pin."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def create(path: Path) -> None:
    """Make a key, with mode 0600; whatever is in the file is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    replace_file(path, pem, 0o600)
