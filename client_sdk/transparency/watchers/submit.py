"""Asking witnesses to sign a checkpoint (C2SP tlog-witness, "add-checkpoint"); what they answer is verified.

A witness may lie: a line that is not its signature of this checkpoint, or that says another time than this machine's
clock, is not taken. A witness that saw more of the log than the log has says so, and that is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from client_sdk.errors import AttestationError, EvidenceError, FetchError
from client_sdk.transparency.formats.checkpoint import Checkpoint, number
from client_sdk.transparency.formats.note import NoteVerifier, Signature, UnverifiedNote, open_note
from client_sdk.transparency.log import tree
from client_sdk.transparency.log.config import Cosigner
from client_sdk.transparency.log.web import Answer, Web
from client_sdk.transparency.watchers.witness import CONFLICT, SIZE_TYPE, Request

MAX_ANSWER = 64 * 1024
SKEW = 300
"""Seconds that a witness's clock may differ from this machine's."""
OK = 200
_PATH = "add-checkpoint"


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks each witness that has a place, one after the other; ``say`` gets why one did not sign.

    It is a ``writer.Cosign``: nothing is raised, since others may be enough.
    """

    witnesses: Sequence[Cosigner]
    now: Callable[[], int]
    say: Callable[[str], object]
    seconds: float

    def __call__(self, note: bytes, tiles: tree.Tiles) -> tuple[Signature, ...]:
        """Return the cosignatures of a checkpoint that were got."""
        found = []
        for witness in self.witnesses:
            if not witness.url:
                continue
            try:
                found.append(self._ask(witness, note, tiles))
            except AttestationError as error:
                self.say(f"witness {witness.key.name} did not sign: {error}")
        return tuple(found)

    def _ask(self, witness: Cosigner, note: bytes, tiles: tree.Tiles) -> Signature:
        web, size = (
            Web(witness.url, seconds=self.seconds),
            Checkpoint.from_text(UnverifiedNote.from_bytes(note).text).size,
        )
        try:
            answer, old = _post(web, Request(0, (), note)), 0
            if answer.status == CONFLICT and answer.kind == SIZE_TYPE:
                old = _size(answer.body)
                if old > size:
                    told = f"it saw {old} entries of the log, which has {size}: were files of the log restored?"
                    raise EvidenceError(witness.url, told)
                answer = _post(web, Request(old, tree.consistency(old, size, tiles), note))
        finally:
            web.close()
        if answer.status != OK:
            raise FetchError(f"{witness.url} answered HTTP {answer.status} to a proof from {old} to {size} entries")
        return taken(answer.body, note, witness.key, now=self.now())


def taken(lines: bytes, note: bytes, witness: NoteVerifier, *, now: int, past: int = SKEW) -> Signature:
    """Return a witness's signature among lines that are said to be signatures of a checkpoint.

    ``past`` is how many seconds ago it may have signed.

    Raises:
        EvidenceError: they are malformed, or it says another time than now.
        VerificationError: R2.note, the witness's is not among them, or the one in its name is not its signature.
    """
    text = UnverifiedNote.from_bytes(note).text
    whole = f"{text}\n".encode() + lines
    (signed,) = open_note(whole, (witness,)).signed
    if not now - past <= (signed.at or 0) <= now + SKEW:
        raise EvidenceError(witness.name, f"it signed at {signed.at}, now is {now}: is one of the clocks wrong?")
    same = [
        s for s in UnverifiedNote.from_bytes(whole).signatures if (s.name, s.key_id) == (witness.name, witness.key_id)
    ]
    return max(same, key=lambda signature: signature.data[:8])


def _post(web: Web, request: Request) -> Answer:
    return web.ask("POST", _PATH, limit=MAX_ANSWER, body=request.to_bytes())


def _size(body: bytes) -> int:
    return number(body.decode("ascii", "replace").removesuffix("\n"), "size")
