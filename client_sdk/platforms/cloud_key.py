"""The attestation key of a cloud's virtual TPM: the cloud certified it (K1 to K5), and it is fit for quotes (Q7)."""

from __future__ import annotations

from collections.abc import Callable

from client_sdk.errors import VerificationError
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
    try:
        cloud = verify((*own, *helpers), anchors, now=case.now, ledger=ledger, paths=case.paths)
    except VerificationError as error:
        if anchors or not case.roots.simulated:
            raise
        raise _told(error, case.evidence.platform) from error
    public = parse_public(case.evidence.ak_public)
    key = verify_ak(public, ledger=ledger)
    verify_certified(cloud.leaf, key.key, ledger=ledger)
    return TpmFacts(key, public.name, cloud.root, b"", cloud)


def _told(error: VerificationError, platform: str) -> VerificationError:
    """Add to a refusal why none of a cloud's VMs can pass under the roots of a simulated platform."""
    hint = (
        f"this is evidence of a cloud's VM ({platform}), and --simulated (SimulatedPlatform in code) takes a local "
        "development VM alone: leave it out to judge a cloud's VM"
    )
    return VerificationError(error.rule, f"{error.what}; {hint}", expected=error.expected, got=error.got)
