"""Files with evidence, of two kinds: what `vitrine verify --save` wrote, and the raw body that a service sent.

Which kind a file is decides only what is said about it: what is in it is read strictly, wherever it is used. A file of
the wrong kind is a mistake of the caller's; malformed evidence inside of a file of the right kind is its peer's.
"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path

from client_sdk.cli.options import UsageError
from client_sdk.errors import EvidenceError
from client_sdk.rounds import Gathered
from client_sdk.saved import MAX_FILE, from_json

_OF_SAVED, _OF_RAW = {"evidence", "nonce", "certificate"}, {"quote", "ak_public", "tls_certificate"}
_EITHER = "give a file of `vitrine verify --save`, or the body of GET /.well-known/attestation?nonce=HEX"


class _Kind(Enum):
    SAVED = "saved"
    RAW = "raw"
    NEITHER = "neither"


def read_saved(path: Path) -> Gathered:
    """Read what `verify --save` wrote.

    Raises:
        UsageError: it cannot be read, or is something else.
    """
    data = _bytes(path, "--evidence")
    if _kind(data) is _Kind.RAW:
        how = f"judge it with --evidence {path} --nonce HEX --at INSTANT, and without ORIGIN"
        raise UsageError(f"--evidence: {path} is raw evidence, not a file of `vitrine verify --save`; {how}")
    return _opened(data, path, "--evidence")


def read_raw(path: Path) -> bytes:
    """Read raw evidence, which nobody has judged.

    Raises:
        UsageError: it cannot be read, or is no evidence.
    """
    data = _bytes(path, "--evidence")
    kind = _kind(data)
    if kind is _Kind.SAVED:
        how = f"it has its nonce in it, so judge it with ORIGIN --evidence {path}, and without --nonce"
        raise UsageError(f"--evidence: {path} is a file of `vitrine verify --save`, not raw evidence; {how}")
    if kind is _Kind.NEITHER:
        raise UsageError(f"--evidence: {path} is no evidence; {_EITHER}")
    return data


def read_either(path: Path) -> bytes:
    """Read the evidence in a file of either kind; nobody has judged it.

    Raises:
        UsageError: it cannot be read, or is no evidence.
    """
    data = _bytes(path, "EVIDENCE")
    return data if _kind(data) is _Kind.RAW else _opened(data, path, "EVIDENCE").evidence


def _opened(data: bytes, path: Path, option: str) -> Gathered:
    if _kind(data) is _Kind.NEITHER:
        raise UsageError(f"{option}: {path} is no evidence; {_EITHER}")
    try:
        return from_json(data)
    except EvidenceError as error:
        raise UsageError(
            f"{option}: {path} is not as `vitrine verify --save` wrote it: {error}; save it again"
        ) from error


def _bytes(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"{option}: cannot read {path}: {error.strerror}") from error


def _kind(data: bytes) -> _Kind:
    try:
        top = json.loads(data)
    except (ValueError, RecursionError):
        return _Kind.NEITHER
    keys = set(top) if isinstance(top, dict) else set()
    if keys >= _OF_SAVED:
        return _Kind.SAVED
    return _Kind.RAW if keys >= _OF_RAW else _Kind.NEITHER
