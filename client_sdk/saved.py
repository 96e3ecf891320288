"""One gathered attestation as a file, to look at and to verify again offline.

The file holds what the peer sent, the nonce, and both ends of the activation. The secret in it is used up: it proves
nothing to anybody else. Whoever writes such a file chooses everything in it, so a verdict over a file says what was
true when the caller's *own* client wrote it, and nothing about now.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from client_sdk.binding import NONCE_SIZE
from client_sdk.encoding import MAX_JSON, canonical_json, from_base64, from_hex, strict_json, to_base64
from client_sdk.errors import EvidenceError
from client_sdk.fields import exact_keys, text, version
from client_sdk.rounds import Gathered
from client_sdk.verify.activation import SECRET_SIZE, Activation, ActivationState
from client_sdk.writing import PRIVATE, write

VERSION = 1
MAX_FILE = 2 * MAX_JSON
_KEYS = frozenset({"version", "origin", "evidence", "nonce", "certificate", "activation"})
_ACTIVATION_KEYS = frozenset({"secret", "ak_name", "ek", "answer"})


def save(path: Path, gathered: Gathered) -> None:
    """Write a new file that only its owner may read; an existing one is replaced.

    Raises:
        OSError: it cannot be written.
    """
    write(path, to_json(gathered), mode=PRIVATE)


def to_json(gathered: Gathered) -> bytes:
    """Serialise as canonical JSON."""
    activation = gathered.activation
    return canonical_json(
        {
            "version": VERSION,
            "origin": gathered.origin,
            "evidence": to_base64(gathered.evidence),
            "nonce": gathered.nonce.hex(),
            "certificate": to_base64(gathered.certificate),
            "activation": None if activation is None else _activation_to_dict(activation),
        }
    )


def from_json(data: bytes) -> Gathered:
    """Decode a saved attestation.

    Raises:
        EvidenceError: on anything else.
    """
    top = exact_keys(strict_json(data, limit=MAX_FILE), _KEYS, "$")
    version(top["version"], "$.version", VERSION)
    return Gathered(
        origin=text(top["origin"], "$.origin"),
        evidence=from_base64(top["evidence"], "$.evidence"),
        nonce=from_hex(top["nonce"], "$.nonce", size=NONCE_SIZE),
        certificate=from_base64(top["certificate"], "$.certificate", limit=65_536),
        activation=_activation_from(top["activation"], "$.activation"),
    )


def _activation_to_dict(activation: Activation) -> dict[str, str]:
    state = activation.state
    return {
        "secret": state.secret.hex(),
        "ak_name": state.ak_name.hex(),
        "ek": state.ek.hex(),
        "answer": activation.answer.hex(),
    }


def _activation_from(value: Any, where: str) -> Activation | None:
    if value is None:
        return None
    fields = exact_keys(value, _ACTIVATION_KEYS, where)
    found = {key: from_hex(fields[key], f"{where}.{key}") for key in sorted(_ACTIVATION_KEYS)}
    if len(found["secret"]) != SECRET_SIZE:
        raise EvidenceError(f"{where}.secret", f"expected {SECRET_SIZE} bytes")
    return Activation(ActivationState(found["secret"], found["ak_name"], found["ek"]), found["answer"])
