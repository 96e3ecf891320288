"""Which platform this boot is on: found from what the TPM holds, never from what the host or a command line says.

A TPM that a cloud prepared holds the cloud's certificate; any other is local. Who prepares a TPM can thus choose the
claim, which is harmless: by it a client only chooses the rules that it verifies by, and under those the certificate
has to chain to a root that the client pins. To claim too much or too little ends in a refusal.
"""

from __future__ import annotations

from serving.attest.azure import AzureCompute
from serving.attest.gcp import GoogleCompute
from serving.attest.interface import Identity, Platform
from serving.attest.local import LocalQemu
from serving.attest.tpm import Tpm
from serving.errors import SealError

CLOUDS: tuple[Platform, ...] = (GoogleCompute(), AzureCompute())


def find_platform(tpm: Tpm) -> tuple[Platform, Identity]:
    """Return the platform whose identity the TPM holds, and that identity.

    Raises:
        SealError: an identity is there in part, or there are two; it never falls back to the local platform then.
        TpmError: the TPM refuses, or holds no identity at all.
    """
    found = [(cloud, identity) for cloud in CLOUDS if (identity := cloud.find(tpm)) is not None]
    if len(found) > 1:
        raise SealError("the TPM holds the identities of two clouds; start the VM with a TPM of its own cloud")
    return found[0] if found else (local := LocalQemu(), local.find(tpm))
