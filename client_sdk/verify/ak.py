"""The certificate that a cloud gives to the attestation key of a VM's TPM.

(K5.1) There is one. (K1) It chains to a pinned root, rule by rule in ``chain.py``; intermediates come with it.
(K2.4) The leaf is no CA's. (K2.5) Its keyUsage is that of a signing key alone: an endorsement key's certificate, which
differs from it in nothing else, never passes.
(K3.1) Google's leaf says which instance it is for, strictly encoded, and (K3.2) that the instance is a production one.
(K4.1) Where Azure's leaf has an extended key usage, that names attestation keys.
(K5.2) The certified key is the one that signed.

It proves that the cloud vouches for the key. Which VM, project or owner it belongs to is a clause's to judge
(``client_sdk.clauses``), and that the VM is a *confidential* one is in no certificate, whatever its subject says: the
report of the CPU proves that (rules T1 to T9). Revocation is not said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from client_sdk.errors import VerificationError
from client_sdk.parse.certificate import CertificateFields
from client_sdk.parse.der import trim_certificate
from client_sdk.parse.gce import INSTANCE_INFO, GceInstance, parse_instance
from client_sdk.report import Ledger
from client_sdk.rules import keeps
from client_sdk.verify.chain import ChainRules, VerifiedPaths, read_certificate, verify_chain

AK_PURPOSE = "2.23.133.8.3"
# A critical subjectAltName names the TPM's model where there is no subject (Google's older certificates): no rule
# relies on a name.
_RULES = ChainRules("K1", "the attestation key's certificate", frozenset({"2.5.29.17", INSTANCE_INFO}))
_INSTANCE_INFO = x509.ObjectIdentifier(INSTANCE_INFO)
_USES = (
    *("digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement"),
    *("keyCertSign", "cRLSign"),
)
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class GoogleAk:
    """An attestation key that Google certified, and the instance that it is for; ``root`` is the digest of the root."""

    leaf: CertificateFields
    root: bytes
    instance: GceInstance


@dataclass(frozen=True, slots=True)
class AzureAk:
    """An attestation key that Azure certified: for a VM of Azure's, of whichever owner and security type."""

    leaf: CertificateFields
    root: bytes


@keeps("K3.1", "K3.2")
def verify_google_ak(
    certificates: tuple[bytes, ...],
    anchors: tuple[CertificateFields, ...],
    *,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None = None,
) -> GoogleAk:
    """Check Google's certificate of an attestation key; the first is the leaf, the others may help.

    Raises:
        EvidenceError: a certificate or the instance information cannot be read.
        VerificationError: K1, K2, K3 or K5.
    """
    path = _chain(certificates, anchors, now=now, ledger=ledger, paths=paths)
    try:
        found = path[0].certificate.extensions.get_extension_for_oid(_INSTANCE_INFO).value
    except x509.ExtensionNotFound as error:
        message = "the certificate says which instance it is for"
        raise VerificationError("K3.1", message, expected=INSTANCE_INFO, got="no such extension") from error
    instance = parse_instance(found.public_bytes())
    states = {None: "not stated", 0: "no", 1: "yes"}
    ledger.equal("K3.2", "the instance is in production", expected="yes", got=states[instance.is_production])
    return GoogleAk(path[0], path[-1].fingerprint, instance)


@keeps("K4.1")
def verify_azure_ak(
    certificates: tuple[bytes, ...],
    anchors: tuple[CertificateFields, ...],
    *,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None = None,
) -> AzureAk:
    """Check Azure's certificate of an attestation key; the first is the leaf, as it is or as the TPM's padded image.

    Raises:
        EvidenceError: a certificate cannot be read.
        VerificationError: K1, K2, K4 or K5.
    """
    trimmed = tuple(trim_certificate(image, f"$.ak_certificates[{i}]") for i, image in enumerate(certificates))
    path = _chain(trimmed, anchors, now=now, ledger=ledger, paths=paths)
    purposes = path[0].extended_key_usage
    ledger.holds(
        "K4.1",
        "the certificate is for an attestation key, where it names a purpose",
        expected=AK_PURPOSE,
        got=tuple(sorted(purposes)),
        condition=not purposes or AK_PURPOSE in purposes,
    )
    return AzureAk(path[0], path[-1].fingerprint)


@keeps("K5.2")
def verify_certified(leaf: CertificateFields, key: PublicKey, *, ledger: Ledger) -> None:
    """Check that a certificate is for the key that signed.

    Raises:
        VerificationError: K5.2.
    """
    ledger.holds(
        "K5.2",
        "the certified key is the one that signed the quote",
        expected="the certificate's key",
        got="the same" if leaf.public_key == key else "another key",
        condition=leaf.public_key == key,
    )


@keeps("K5.1", "K2.4", "K2.5", *_RULES.ids)
def _chain(
    certificates: tuple[bytes, ...],
    anchors: tuple[CertificateFields, ...],
    *,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None = None,
) -> tuple[CertificateFields, ...]:
    what = "there is a certificate of the attestation key"
    ledger.holds("K5.1", what, expected="one", got=len(certificates), condition=certificates)
    read = tuple([read_certificate(der, f"$.ak_certificates[{i}]", paths) for i, der in enumerate(certificates)])
    path = verify_chain(read[0], read[1:], anchors, rules=_RULES, now=now, ledger=ledger, paths=paths)
    ledger.equal("K2.4", "the attestation key's certificate is not a CA's", expected=False, got=path[0].is_ca)
    usage = path[0].key_usage
    got: tuple[str, ...] = ()
    if usage is not None:
        flags = (
            usage.digital_signature,
            usage.content_commitment,
            usage.key_encipherment,
            usage.data_encipherment,
            usage.key_agreement,
            usage.key_cert_sign,
            usage.crl_sign,
        )
        got = tuple([name for name, is_set in zip(_USES, flags, strict=True) if is_set])
    what = "the certificate is for a signing key and nothing else (an endorsement key's is not)"
    ledger.equal("K2.5", what, expected=("digitalSignature",), got=got)
    return path
