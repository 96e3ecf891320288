"""What reads a log's files, a witness's requests, and what both write down for themselves, as something to fuzz."""

from __future__ import annotations

from client_sdk.transparency.formats import tiles
from client_sdk.transparency.formats.bundle import Bundle
from client_sdk.transparency.formats.checkpoint import Checkpoint, open_checkpoint
from client_sdk.transparency.formats.growth import Growth, read_growths, write_growths
from client_sdk.transparency.formats.note import (
    COSIGNATURE,
    NoteSigner,
    NoteVerifier,
    UnverifiedNote,
    add_signature,
    sign_note,
)
from client_sdk.transparency.formats.proof import Proof
from client_sdk.transparency.log.config import Config, Cosigner
from client_sdk.transparency.log.contents import Contents
from client_sdk.transparency.watchers.monitor import MonitorState
from client_sdk.transparency.watchers.submit import taken
from client_sdk.transparency.watchers.witness import Request
from tests.fakes.simulated_vm import publisher, release, signed
from tests.fuzz.target import Target

WHERE = "tile"
LOG, WITNESS = NoteSigner("log.example", b"l" * 32), NoteSigner("w1.example", b"w" * 32, COSIGNATURE)
TEXT = Checkpoint(LOG.name, 20_852_163, b"r" * 32).to_text()
NOW = 1_800_000_000
COSIGNATURE_LINE = WITNESS.sign(TEXT, at=NOW)
NOTE = sign_note(TEXT, LOG)
COSIGNED = add_signature(NOTE, COSIGNATURE_LINE)
HASHES = tuple(bytes([number]) * 32 for number in range(24))
ENTRY = signed(release())
CONTENTS, _ = Contents(publisher()).take(ENTRY)
PROOF = Proof(7, HASHES, COSIGNED, write_growths((Growth(5, HASHES), Growth(6, ()))))
CONFIG = Config(LOG.verifier, publisher(), (Cosigner(WITNESS.verifier, "https://w1.example"),), 1)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


LOG_TARGETS = (
    Target("tile", lambda data: tiles.split(data, WHERE, width=24), (b"".join(HASHES),), (tiles.split,)),
    Target("entries", lambda data: tiles.unpack(data, WHERE, width=2), (tiles.pack((ENTRY, b"x")),), (tiles.unpack,)),
    Target("note", UnverifiedNote.from_bytes, (NOTE, COSIGNED)),
    Target("note key", lambda data: NoteVerifier.from_text(_text(data)), (str(LOG.verifier).encode(),)),
    Target("log checkpoint", lambda data: open_checkpoint(data, LOG.verifier, (WITNESS.verifier,)), (COSIGNED, NOTE)),
    Target("checkpoint text", lambda data: Checkpoint.from_text(_text(data)), (TEXT.encode(),)),
    Target("log proof", Proof.from_bytes, (PROOF.to_bytes(),)),
    Target("growths", read_growths, (PROOF.extra,)),
    Target("log bundle", Bundle.from_json, (Bundle(ENTRY, PROOF, (ENTRY,)).to_json(),)),
    Target("log entry", lambda data: Contents(publisher()).take(data), (ENTRY,)),
    Target("witness request", Request.from_bytes, (Request(9, HASHES, NOTE).to_bytes(),)),
    Target(
        "witness answer",
        lambda data: taken(data, NOTE, WITNESS.verifier, now=NOW),
        (str(COSIGNATURE_LINE).encode(),),
    ),
    Target("log contents", Contents.from_json, (CONTENTS.to_json(),)),
    Target("log config", Config.from_json, (CONFIG.to_json(),)),
    Target(
        "monitor state",
        lambda data: MonitorState.from_json(data, LOG.verifier),
        (MonitorState(COSIGNED, CONTENTS).to_json(LOG.verifier),),
    ),
)
