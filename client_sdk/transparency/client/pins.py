"""Keys of a log and of its witnesses as a caller pins them: the text of a key, or the path of a file with it."""

from __future__ import annotations

import re
from pathlib import Path

from client_sdk.errors import EvidenceError
from client_sdk.given import require, require_path
from client_sdk.transparency.formats.note import COSIGNATURE, ED25519, NoteVerifier

MAX_FILE = 1024
KeySource = NoteVerifier | str | Path
_TEXT = re.compile(r"[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+")
_OF = {ED25519: "a log's key (kind 0x01)", COSIGNATURE: "a witness's key (kind 0x04)"}


def read_verifier(given: KeySource, where: str, *, kind: int) -> NoteVerifier:
    """Read a key that is pinned: what looks like one is one, and another text is the path of a file with one in it.

    Raises:
        EvidenceError: it is none, or one of another kind.
    """
    if not isinstance(given, NoteVerifier):
        require(given, (str, Path), where, expected="a key NAME+ID+KEY, or a file with it", remedy="give one of both")
        require_path(given, where)
        is_key = _TEXT.fullmatch(str(given)) is not None
        text = str(given) if is_key else _read(Path(given), where)
        try:
            given = NoteVerifier.from_text(text)
        except EvidenceError as error:
            raise EvidenceError(where if is_key else f"{where} ({given})", str(error)) from error
    if given.kind != kind:
        raise EvidenceError(where, f"expected {_OF[kind]}, got {_OF[given.kind]}: {given.name}")
    return given


def _read(path: Path, where: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise EvidenceError(f"{where} ({path})", f"more than {MAX_FILE} bytes are no key")
        return data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise EvidenceError(f"{where} ({path})", "is not a key in text form") from error
    except OSError as error:
        raise EvidenceError(f"{where} ({path})", f"cannot be read: {error.strerror}") from error
