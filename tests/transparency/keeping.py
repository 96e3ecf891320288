"""Logs for tests: a publisher who signs, a log in a folder, and who looks whether it is right."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_sdk.publisher import Publisher
from client_sdk.rotation import KeySet, rotate
from client_sdk.transparency.formats.note import NoteSigner
from client_sdk.transparency.log.config import Config
from client_sdk.transparency.log.remote import Folder, RemoteTree, read_checkpoint
from client_sdk.transparency.log.writer import LogWriter, create
from tests.fakes.simulated_vm import publisher, publisher_key, release, signed

ORIGIN = "log.example/releases"
SIGNER = NoteSigner(ORIGIN, bytes(range(32)))
LOG = SIGNER.verifier
NEXT_KEY = Ed25519PrivateKey.from_private_bytes(b"next publisher's key, 32 bytes..")


def entry(number, *, service=None, revokes=(), key=None):
    made = replace(release(number), revokes=revokes)
    made = made if service is None else replace(made, service=service)
    return signed(made) if key is None else signed(made, key)


def rotation(number=2):
    previous, following = KeySet.of(publisher()), KeySet((NEXT_KEY.public_key(),))
    return rotate(previous, following, number=number, keys=(publisher_key(), NEXT_KEY))


def stranger():
    return Publisher(keys=(NEXT_KEY.public_key(),))


def make(home, *, witnesses=(), quorum=0, signer=SIGNER):
    create(home, lambda key: Config(key.verifier, publisher(), witnesses, quorum), signer)
    return LogWriter(home)


def log_of(home, *numbers):
    """Make a log with releases of these numbers, one checkpoint for each."""
    log = make(home)
    for number in numbers:
        log.append((entry(number),))
    return log


def many(home, count, *, start=1):
    """Make a log with as many releases, or add them to it."""
    log = LogWriter(home) if (home / "log.json").exists() else make(home)
    log.append([entry(number) for number in range(start, start + count)])
    return log


def tree_of(place, log=LOG):
    source = Folder(place)
    return RemoteTree(source, read_checkpoint(source, log).checkpoint)


def entries_of(place, log=LOG):
    """Return every entry that is served, after checking every file that the checkpoint needs."""
    tree = tree_of(place, log)
    return [data for _, data in tree.entries(0, tree.size)]
