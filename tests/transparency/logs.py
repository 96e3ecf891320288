"""A log in memory, its witnesses, and bundles of what is in it, with knobs for what an attacker changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from client_sdk.publisher import Publisher
from client_sdk.transparency.formats.bundle import Bundle, Place
from client_sdk.transparency.formats.checkpoint import Checkpoint
from client_sdk.transparency.formats.growth import Growth, write_growths
from client_sdk.transparency.formats.note import COSIGNATURE, NoteSigner, add_signature, sign_note
from client_sdk.transparency.formats.proof import Proof
from tests.fakes.simulated_vm import NOW, publisher_key, release, signed
from tests.transparency import second_reader

LOG = NoteSigner("log.example/releases", b"l" * 32)
W1, W2, W3 = (NoteSigner(f"w{n}.example", bytes([n]) * 32, COSIGNATURE) for n in (1, 2, 3))
WITNESSES = (W1, W2, W3)
STRANGER = NoteSigner("stranger.example", b"s" * 32, COSIGNATURE)
PRESENT = int(NOW.timestamp())


def pinned(**changes):
    """Return the publisher as a careful caller pins him."""
    values = {
        "keys": (publisher_key().public_key(),),
        "log": LOG.verifier,
        "witnesses": tuple(w.verifier for w in WITNESSES),
        "witness_quorum": 2,
        "max_checkpoint_age": timedelta(days=7),
    }
    return Publisher(**(values | changes))


@dataclass
class FakeLog:
    """Entries, and checkpoints over the first of them; ``signer`` is the log's own key."""

    entries: list[bytes] = field(default_factory=list)
    signer: NoteSigner = LOG
    origin: str = LOG.name
    present: int = PRESENT

    def add(self, *entries):
        self.entries += entries
        return self

    def text(self, size=None):
        size = len(self.entries) if size is None else size
        return Checkpoint(self.origin, size, second_reader.mth(self.entries[:size])).to_text()

    def checkpoint(self, size=None, *, by=(W1, W2), ages=(60, 60, 60), text=None):
        """Sign; each witness says that it did so many seconds ago."""
        text = text or self.text(size)
        note = sign_note(text, self.signer)
        for witness, age in zip(by, ages, strict=False):
            note = add_signature(note, witness.sign(text, at=self.present - age))
        return note

    def proof(self, index, size=None, *, since=(), checkpoint=None, **how):
        size = len(self.entries) if size is None else size
        seen = self.entries[:size]
        growths = tuple(Growth(old, tuple(second_reader.growth(old, seen))) for old in since)
        note = checkpoint or self.checkpoint(size, **how)
        return Proof(index, tuple(second_reader.path(index, seen)), note, write_growths(growths))

    def bundle(self, envelope, *, rotations=(), **how):
        """Return the bundle of an entry, which is added where it is not there, as its rotations are."""
        self.add(*(one for one in (*rotations, envelope) if one not in self.entries))
        proof, *proofs = (self.proof(self.entries.index(one), **how) for one in (envelope, *rotations))
        return Bundle(envelope, proof, rotations, tuple(Place(one.index, one.hashes) for one in proofs))


def others(count, mark=b"other"):
    """Return entries of other publishers."""
    return [mark + b" %d" % i for i in range(count)]


def logged(number=1, *, before=5, after=3, **how):
    """Return the bundle of a release in the middle of a log, as bytes."""
    log = FakeLog(others(before))
    envelope = signed(release(number))
    log.add(envelope, *others(after, b"later"))
    return log.bundle(envelope, **how).to_json()
