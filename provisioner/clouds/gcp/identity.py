"""The vTPM key that Google names for a machine: for the operator's eyes, next to what a client finds by itself.

A client does not rely on this: it reads the same certificate out of the machine's evidence and checks their chain.
Source: https://cloud.google.com/compute/docs/reference/rest/v1/instances/getShieldedInstanceIdentity
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from provisioner.clouds.gcp.api import Api, to_dict
from provisioner.clouds.gcp.errors import GcpError


def read_key(api: Api, project: str, zone: str, name: str) -> str:
    """Return the SHA-256 of a machine's public attestation key (RSA, DER); nothing while Google names none.

    Raises:
        GcpError: Google refuses.
    """
    about = {"project": project, "zone": zone, "instance": name}
    try:
        found = to_dict(api.compute("InstancesClient", "get_shielded_instance_identity", about))
    except GcpError as error:
        if error.refusal.is_absent or error.refusal.is_in_use:
            return ""
        raise
    return _digest(found.get("signingKey", {}))


def _digest(entry: Mapping[str, Any]) -> str:
    try:
        key = load_pem_public_key(str(entry.get("ekPub", "")).encode())
    except ValueError:
        return ""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
