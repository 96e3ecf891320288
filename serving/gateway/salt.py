"""The salt of an engine's caches: answers are faster only for one's own earlier prompts, never for another's.

An engine that finds a prompt's beginning in its cache answers many times faster, which tells whoever asks that somebody
sent it before. vLLM mixes ``cache_salt`` into the cache's keys, so prefixes are shared within one salt alone. Images
and sounds have caches besides, of what was read and encoded, that know no salt: their keys are what the request
identifies each by (``uuid``), and a hash of the content where it does not. Salt and identifiers are made here; a caller
cannot send one.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable
from typing import Any


class Salts:
    """Salts of this boot. The key is random and leaves no process, so a salt says nothing about its subject."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def salt(self, subject: str) -> str:
        """Return the salt of a caller, 64 hex digits: the same for one subject until the process ends, never empty.

        Where access is open each request has a subject of its own, and so shares nothing. It does not prove that the
        engine honours it: the engine's own test measures that.
        """
        return hmac.digest(self._key, subject.encode(), "sha256").hex()


def identify_media(media: Iterable[dict[str, Any]], salt: str) -> None:
    """Give each judged image and sound an identifier that its content has under this salt alone.

    It says nothing of the content to whoever does not have the salt. It does not prove that the engine goes by it.
    """
    for part in media:
        part["uuid"] = hmac.digest(salt.encode(), json.dumps(part).encode(), "sha256").hex()
        _write_as_url(part)


def _write_as_url(part: dict[str, Any]) -> None:
    """Write a sound as vLLM itself does: of a part with an identifier it reads ``input_audio`` as if it were empty."""
    if sound := part.pop("input_audio", None):
        part["type"], part["audio_url"] = "audio_url", {"url": f"data:audio/{sound['format']};base64,{sound['data']}"}
