"""The vTPM keys that Google names for a machine: for the operator's eyes, next to what a client finds by itself.

A client does not rely on this: it reads the same certificates out of the machine's evidence and checks their chain.
Source: https://cloud.google.com/compute/docs/reference/rest/v1/instances/getShieldedInstanceIdentity
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from provisioner.clouds.gcp.api import Api, to_dict
from provisioner.clouds.gcp.errors import GcpError


@dataclass(frozen=True, slots=True)
class Identity:
    """SHA-256 of the public attestation keys (DER), empty where Google names none."""

    rsa: str
    ecc: str


def read_identity(api: Api, project: str, zone: str, name: str) -> Identity | None:
    """Ask for a machine's keys; None while it has none yet.

    Raises:
        GcpError: Google refuses.
    """
    about = {"project": project, "zone": zone, "instance": name}
    try:
        found = to_dict(api.compute("InstancesClient", "get_shielded_instance_identity", about))
    except GcpError as error:
        if error.refusal.is_absent or error.refusal.is_in_use:
            return None
        raise
    return Identity(_digest(found.get("signingKey", {})), _digest(found.get("eccP256SigningKey", {})))


def _digest(entry: Mapping[str, Any]) -> str:
    try:
        key = load_pem_public_key(str(entry.get("ekPub", "")).encode())
    except ValueError:
        return ""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
