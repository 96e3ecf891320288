"""The salt of an engine's prefix cache: answers are faster only for one's own earlier prompts, never for another's.

An engine that finds a prompt's beginning in its cache answers many times faster, which tells whoever asks that somebody
sent it before. vLLM mixes ``cache_salt`` into the cache's keys, so prefixes are shared within one salt alone. The salt
is made here; a caller cannot send one.
"""

from __future__ import annotations

import hmac
import secrets


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
