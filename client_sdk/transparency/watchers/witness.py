"""A witness: it signs that a log grew, and only ever grew, since it signed the last time.

Source: C2SP tlog-witness, "add-checkpoint"; C2SP tlog-cosignature, "Ed25519 signed message". It knows no entry and
vouches for none: with its signature clients know that others were shown the same log.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import sha256

from client_sdk.encoding import to_base64
from client_sdk.errors import EvidenceError, LogDamagedError, VerificationError
from client_sdk.transparency.formats.checkpoint import Checkpoint, digest, number, open_checkpoint
from client_sdk.transparency.formats.merkle import EMPTY_ROOT, verify_consistency
from client_sdk.transparency.formats.note import (
    COSIGNATURE,
    MAX_NOTE,
    NoteSigner,
    NoteVerifier,
    UnverifiedNote,
    open_note,
)
from client_sdk.transparency.log import keyfile
from client_sdk.transparency.log.store import Store

KEY = "witness.key"
BAD_REQUEST, FORBIDDEN, NOT_FOUND, CONFLICT, UNPROCESSABLE_ENTITY, SERVICE_UNAVAILABLE = 400, 403, 404, 409, 422, 503
MAX_REQUEST = 256 * 1024
MAX_PROOF = 63
SIZE_TYPE, TEXT_TYPE = "text/x.tlog.size", "text/plain; charset=utf-8"


class RefusedError(Exception):
    """A request that is not signed for: the HTTP status of the specification, and what to answer."""

    def __init__(self, status: int, body: str, kind: str = TEXT_TYPE) -> None:
        self.status, self.body, self.kind = status, f"{body}\n".encode(), kind
        super().__init__(f"{status}: {body}")


@dataclass(frozen=True, slots=True)
class Request:
    """What a log asks: to sign a checkpoint, which a proof leads to from the size that was signed last."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> Request:
        """Take a request apart.

        Raises:
            EvidenceError: it is malformed.
        """
        if len(data) > MAX_REQUEST:
            raise EvidenceError("request", f"over the limit of {MAX_REQUEST} bytes")
        head, blank, checkpoint = data.partition(b"\n\n")
        lines = head.decode("ascii", "replace").split("\n")
        if not blank or not lines[0].startswith("old "):
            raise EvidenceError("request", "expected the line old SIZE, a proof, an empty line and a checkpoint")
        if len(lines) > 1 + MAX_PROOF:
            raise EvidenceError("request", f"a proof has at most {MAX_PROOF} lines")
        old = number(lines[0].removeprefix("old "), "request.old")
        return cls(old, tuple(digest(line, f"request.proof[{i}]") for i, line in enumerate(lines[1:])), checkpoint)

    def to_bytes(self) -> bytes:
        """Write it."""
        proof = "".join(f"{to_base64(found)}\n" for found in self.proof)
        return f"old {self.old}\n{proof}\n".encode() + self.checkpoint


class Witness:
    """A witness of some logs; who makes it holds the folder of its store (``sole``) as long as it is used.

    Raises:
        LogError: its key cannot be read.
    """

    def __init__(self, store: Store, logs: tuple[NoteVerifier, ...]) -> None:
        self._store, self._logs, self._lock = store, {log.name: log for log in logs}, threading.Lock()
        if len(self._logs) != len(logs):
            raise LogDamagedError("a log's name is given twice")
        self._signer = keyfile.load(store, KEY)

    @property
    def verifier(self) -> NoteVerifier:
        """Its public key."""
        return self._signer.verifier

    def last(self, origin: str) -> Checkpoint:
        """Return what it signed last of a log; the empty tree where it never signed.

        Raises:
            LogError: it cannot be read.
        """
        found, _ = self._last(self._logs[origin])
        return found

    def add_checkpoint(self, body: bytes, *, now: int) -> bytes:
        """Return the line that cosigns; what was signed is on the disk before.

        Raises:
            RefusedError: it does not sign, with the status of the specification.
            LogError: its files cannot be read or written.
        """
        with self._lock:  # looking and writing are one step
            request, log, checkpoint = self._read(body)
            last, at = self._last(log)
            _require_grown(request, last, checkpoint)
            if now < at:
                # It would say that the log was smaller at a later time.
                raise RefusedError(SERVICE_UNAVAILABLE, "the witness's clock is behind its last signature")
            signature = self._signer.sign(checkpoint.to_text(), at=now)
            self._store.put(_file(log), UnverifiedNote(checkpoint.to_text(), (signature,)).to_bytes())
            return str(signature).encode()

    def _read(self, body: bytes) -> tuple[Request, NoteVerifier, Checkpoint]:
        try:
            request = Request.from_bytes(body)
            origin = UnverifiedNote.from_bytes(request.checkpoint).text.partition("\n")[0]
        except EvidenceError as error:
            raise RefusedError(BAD_REQUEST, str(error)) from error
        log = self._logs.get(origin)
        if log is None:
            raise RefusedError(NOT_FOUND, "this witness does not know the log")
        try:
            return request, log, open_checkpoint(request.checkpoint, log).checkpoint
        except VerificationError as error:
            raise RefusedError(FORBIDDEN, "the checkpoint is not signed by the log's key") from error
        except EvidenceError as error:
            raise RefusedError(BAD_REQUEST, str(error)) from error

    def _last(self, log: NoteVerifier) -> tuple[Checkpoint, int]:
        """Return what was signed last, and when."""
        found = self._store.read(_file(log), limit=MAX_NOTE)
        if found is None:
            return Checkpoint(log.name, 0, EMPTY_ROOT), 0
        try:
            note = open_note(found, (self.verifier,))
            return Checkpoint.from_text(note.text), note.signed[0].at or 0
        except (EvidenceError, VerificationError) as error:
            raise LogDamagedError(f"{self._store.home / _file(log)}: {error}") from error


def create(store: Store, name: str) -> NoteVerifier:
    """Make the key of a new witness.

    Raises:
        EvidenceError: it cannot have such a name.
        LogError: there is a key already, or it cannot be written.
    """
    keyfile.require_none(store, KEY, remedy="leave --name away, or give another folder")
    signer = NoteSigner.generate(name, COSIGNATURE)
    keyfile.create(store, KEY, signer)
    return signer.verifier


def _require_grown(request: Request, last: Checkpoint, shown: Checkpoint) -> None:
    if request.old > shown.size:
        raise RefusedError(BAD_REQUEST, "the old size is over the checkpoint's")
    if request.old != last.size or (shown.size == last.size and shown.root != last.root):
        raise RefusedError(CONFLICT, str(last.size), SIZE_TYPE)
    try:
        verify_consistency(last.size, last.root, shown.size, shown.root, request.proof)
    except (EvidenceError, VerificationError) as error:
        raise RefusedError(UNPROCESSABLE_ENTITY, "the proof of consistency does not hold") from error


def _file(log: NoteVerifier) -> str:
    return f"logs/{sha256(log.name.encode()).hexdigest()}"
