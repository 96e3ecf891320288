"""The last verdict on a deployment, kept beside its release: build/<name>/verdict.json.

It is for people and monitoring. A client never reads it, and nothing is published because of it: whoever may write the
file may write anything into it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from client_sdk.encoding import canonical_json, strict_json
from client_sdk.errors import AttestationError, EvidenceError, PolicyError, VerificationError, printable
from client_sdk.fields import exact_keys, format_instant, instant, integer, text, version
from provisioner.atomic import replace_file
from provisioner.errors import Fault, SpecError
from provisioner.progress import Progress

FILE = "verdict.json"
VERSION = 1
Word = Literal["accepted", "refused"]
_WORDS: tuple[Word, ...] = ("accepted", "refused")
_KEYS = frozenset({"version", "when", "verdict", "origin", "policy", "release", "checks", "rule", "why"})
_MAX_WHY = 2000
_MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One verdict: when, on which origin, by which policy and release, after how many checks that passed.

    ``rule`` and ``why`` say what was broken; both are empty in an acceptance. It proves nothing about the present.
    """

    when: datetime
    verdict: Word
    origin: str
    policy: str
    release: int
    checks: int
    rule: str = ""
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return {
            "version": VERSION,
            "when": format_instant(self.when),
            "verdict": self.verdict,
            "origin": self.origin,
            "policy": self.policy,
            "release": self.release,
            "checks": self.checks,
            "rule": self.rule,
            "why": self.why,
        }


Keep = Callable[[Verdict], None]


def broken_rule(error: AttestationError) -> str:
    """Return the rule that a refusal is about: of several clauses the first; empty where bytes had no right form."""
    if isinstance(error, VerificationError):
        return error.rule
    clauses = error.failures if isinstance(error, PolicyError) else ()
    return printable(next((failure.clause.partition(":")[0] for failure in clauses), ""))


def shorten(message: str) -> str:
    """Return what an error says in the form in which a verdict keeps it."""
    return printable(message)[:_MAX_WHY]


def keeper(root: Path, progress: Progress) -> Keep:
    """Return what writes a verdict into a deployment's folder; a disk that is full is said, and changes no verdict."""

    def keep(verdict: Verdict) -> None:
        try:
            replace_file(root / FILE, canonical_json(verdict.as_dict()) + b"\n")
        except OSError as error:
            progress(f"the verdict could not be kept in {root / FILE}: {error.strerror}; check its owner and the disk")

    return keep


def last_verdict(root: Path) -> Verdict | None:
    """Return the verdict that was kept last, or None where there is none.

    Raises:
        SpecError: the file cannot be read, or is not what was written.
    """
    path = root / FILE
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
        return _decode(strict_json(data))
    except FileNotFoundError:
        return None
    except (OSError, EvidenceError) as error:
        wanted = "a verdict, as `make deploy` keeps it; delete the file and verify again"
        raise SpecError((Fault(str(path), wanted, str(error)),)) from error


def _decode(value: Any) -> Verdict:
    if isinstance(value, dict):
        version(value.get("version"), "version", VERSION)
    told = exact_keys(value, _KEYS, "verdict")
    word = next((one for one in _WORDS if one == told["verdict"]), None)
    if word is None:
        raise EvidenceError("verdict", f"not one of {', '.join(_WORDS)}: {json.dumps(told['verdict'])[:64]}")
    return Verdict(
        when=instant(told["when"], "when"),
        verdict=word,
        release=integer(told["release"], "release"),
        checks=integer(told["checks"], "checks"),
        **{name: text(told[name], name) for name in ("origin", "policy", "rule", "why")},
    )
