"""The attestation key of a cloud's virtual TPM: the cloud certified it (K1 to K5), and it is fit for quotes (Q7)."""

from __future__ import annotations

from collections.abc import Callable

from client_sdk.parse.certificate import CertificateFields
from client_sdk.parse.public import parse_public
from client_sdk.platforms.interface import Case, TpmFacts
from client_sdk.verify.ak import AzureAk, GoogleAk, verify_certified
from client_sdk.verify.quote import verify_ak


def verify_cloud_key(
    case: Case, verify: Callable[..., GoogleAk | AzureAk], anchors: tuple[CertificateFields, ...]
) -> TpmFacts:
    """Check the key under the cloud's ``anchors``; ``verify`` is that cloud's check of its certificate.

    Raises:
        EvidenceError: a certificate or the key cannot be read.
        VerificationError: K1 to K5, Q7.
    """
    own, ledger = case.evidence.ak_certificates, case.ledger
    helpers = case.collateral.tpm if own and case.collateral else ()
    cloud = verify((*own, *helpers), anchors, now=case.now, ledger=ledger, paths=case.paths)
    public = parse_public(case.evidence.ak_public)
    key = verify_ak(public, ledger=ledger)
    verify_certified(cloud.leaf, key.key, ledger=ledger)
    return TpmFacts(key, public.name, cloud.root, b"", cloud)
