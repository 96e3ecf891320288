"""The certificate of a TPM's endorsement key: its chain, and that it is an encryption key's.

(K1) The chain, rule by rule in ``chain.py``.
(K2.1) The leaf is no CA. (K2.2) Its keyUsage is that of an encryption key and not that of a signing key.
(K2.3) Where it has an extended key usage, that names endorsement keys.

It proves who vouches for the key, not that the peer holds it: that is rule Q8.
"""

from __future__ import annotations

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import rsa

from client_sdk.errors import EvidenceError
from client_sdk.parse.certificate import CertificateFields
from client_sdk.report import Ledger
from client_sdk.roots import Roots
from client_sdk.rules import keeps
from client_sdk.verify.chain import ChainRules, VerifiedPaths, read_certificate, verify_chain

EK_PURPOSE = "2.23.133.8.1"
# A TPM's subjectAltName names its model (the certificate has no usable subject), which no rule relies on: the key is
# proven by activation, not by a name.
_RULES = ChainRules("K1", "the TPM's certificate", frozenset({"2.5.29.17"}))
_USES = ("digitalSignature", "keyEncipherment", "keyAgreement", "keyCertSign")


@keeps(*_RULES.ids)
def verify_ek_chain(
    certificates: tuple[bytes, ...],
    roots: Roots,
    *,
    now: datetime,
    ledger: Ledger,
    paths: VerifiedPaths | None = None,
) -> tuple[CertificateFields, CertificateFields]:
    """Return the leaf and the pinned CA that it chains to; the first certificate is the leaf, the others may help.

    Raises:
        EvidenceError: a certificate cannot be read.
        VerificationError: K1 or K2.
    """
    if not certificates:
        raise EvidenceError("$.ek_certificates", "there is no certificate of an endorsement key")
    read = tuple(read_certificate(der, f"$.ek_certificates[{i}]", paths) for i, der in enumerate(certificates))
    path = verify_chain(read[0], read[1:], roots.anchors, rules=_RULES, now=now, ledger=ledger, paths=paths)
    _purpose(path[0], ledger)
    return path[0], path[-1]


@keeps("K2.1", "K2.2", "K2.3")
def _purpose(leaf: CertificateFields, ledger: Ledger) -> None:
    ledger.equal("K2.1", "the TPM's certificate is not a CA's", expected=False, got=leaf.is_ca)
    usage = leaf.key_usage
    wanted = "keyEncipherment" if isinstance(leaf.public_key, rsa.RSAPublicKey) else "keyAgreement"
    got: tuple[str, ...] = ()
    if usage is not None:
        flags = (usage.digital_signature, usage.key_encipherment, usage.key_agreement, usage.key_cert_sign)
        got = tuple([name for name, is_set in zip(_USES, flags, strict=True) if is_set])
    ledger.equal("K2.2", "the TPM's certificate is for an encryption key (an EK)", expected=(wanted,), got=got)
    if leaf.extended_key_usage:
        ledger.holds(
            "K2.3",
            "the TPM's certificate is for an endorsement key",
            expected=EK_PURPOSE,
            got=tuple(sorted(leaf.extended_key_usage)),
            condition=EK_PURPOSE in leaf.extended_key_usage,
        )
