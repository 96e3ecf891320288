"""Google's signature over a launch endorsement, up to a root that the operator names.

(E1) The certificate in the signed part chains to that root, rule by rule in ``client_sdk/verify/chain.py``: signed by
its key (E1.1), both in date (E1.2), the root a CA (E1.3) that may sign certificates (E1.4), no critical extension that
is not understood (E1.5), a strong hash (E1.6). There is nothing between the two: Google's root has pathlen 0, and the
schema's ``ca_bundle`` is not read.
(E2.1) The certificate is no CA's, (E2.2) its keyUsage is digitalSignature alone, (E2.3) where it has an extended key
usage, that names code signing, and (E2.4) its key is RSA of 3072 bits or more (Google's have 4096).
(E3.1) The certificate is signed by RSASSA-PSS with SHA-256 and a salt of 32 bytes, and (E3.2) so is the golden
measurement, over the bytes as they came. Neither message chooses an algorithm.
(E4.1) The golden measurement is not from the future. (E4.2) It says what the firmware was built from: a change list or
a commit, as Google's own verifier demands since 2 August 2024.
(E5.1) Where the operator has the firmware, its SHA-384 is the one that was endorsed.

It proves that Google vouches for these measurements of this firmware. It does not prove that a measurement follows from
the firmware (nobody computes it here), that Google starts a machine with it, or that it has not been superseded or
withdrawn: Google publishes no list of revoked endorsements. (Signature and certificate: google/gce-tcb-verifier,
``verify/verify.go`` and ``sign/ops/certificates.go``.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha384

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from client_sdk.errors import EvidenceError
from client_sdk.fields import format_instant
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.pem import parse_pem_or_der
from client_sdk.report import Check, Ledger
from client_sdk.verify.chain import ChainRules, PublicKey, verify_chain
from provisioner.endorsement.parse import Endorsement, Golden

MIN_BITS = 3072
CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
PROVENANCE_SINCE = datetime(2024, 8, 2, tzinfo=UTC)
_RULES = ChainRules("E1", "the endorsement's certificate")
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign"),
)
_SCHEME = "RSASSA-PSS, SHA-256, a salt of 32 bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEndorsement:
    """What Google vouches for. ``sha256`` is the file's, ``root`` the named root's; ``checks`` are those that held."""

    golden: Golden
    sha256: bytes
    root: bytes
    certificate: CertificateFields
    firmware_was_given: bool
    verified_at: datetime
    checks: tuple[Check, ...]


def read_root(data: bytes) -> CertificateFields:
    """Read the certificate of a root that an operator names, PEM or DER. Whom he names, he trusts.

    Raises:
        EvidenceError: it is not exactly one certificate.
    """
    found = parse_pem_or_der(data, "root")
    if len(found) != 1:
        raise EvidenceError("root", f"{len(found)} certificates; name one")
    return parse_certificate(found[0], "root")


def verify_endorsement(
    endorsement: Endorsement, root: CertificateFields, *, now: datetime, firmware: bytes | None = None
) -> VerifiedEndorsement:
    """Check who signed an endorsement; ``firmware`` is the file that it is about, where the operator has it.

    Raises:
        EvidenceError: the certificate cannot be read.
        VerificationError: E1 to E5.
    """
    ledger, golden = Ledger(), endorsement.golden
    leaf = parse_certificate(golden.certificate, "golden.cert")
    verify_chain(leaf, (), (root,), rules=_RULES, now=now, ledger=ledger)
    key = _purpose(leaf, ledger)
    by_root = _pss(root.public_key, leaf.certificate.signature, leaf.tbs)
    by_leaf = _pss(key, endorsement.signature, endorsement.signed)
    ledger.equal("E3.1", "the certificate's signature is of Google's scheme", expected=_SCHEME, got=by_root)
    ledger.equal("E3.2", "the golden measurement is signed by the certificate's key", expected=_SCHEME, got=by_leaf)
    _statement(golden, now, ledger)
    if firmware is not None:
        ledger.equal("E5.1", "the firmware is the endorsed one", expected=golden.digest, got=sha384(firmware).digest())
    return VerifiedEndorsement(
        golden=golden,
        sha256=endorsement.sha256,
        root=root.fingerprint,
        certificate=leaf,
        firmware_was_given=firmware is not None,
        verified_at=now,
        checks=ledger.checks,
    )


def _purpose(leaf: CertificateFields, ledger: Ledger) -> PublicKey:
    ledger.equal("E2.1", "the signing key's certificate is not a CA's", expected=False, got=leaf.is_ca)
    usage = leaf.key_usage
    ledger.equal(
        "E2.2",
        "the certificate is for a signing key and nothing else",
        expected=("digital_signature",),
        got=tuple(name for name in _USES if getattr(usage, name)) if usage else "no keyUsage",
    )
    purposes = leaf.extended_key_usage
    ledger.holds(
        "E2.3",
        "the certificate is for signing code, where it names a purpose",
        expected=CODE_SIGNING,
        got=tuple(sorted(purposes)),
        condition=not purposes or CODE_SIGNING in purposes,
    )
    key = leaf.public_key
    bits = key.key_size if isinstance(key, rsa.RSAPublicKey) else 0
    ledger.holds(
        "E2.4",
        "the signing key is a strong RSA key",
        expected=f"RSA of {MIN_BITS} bits or more",
        got=f"RSA of {bits} bits" if bits else "no RSA key",
        condition=bits >= MIN_BITS,
    )
    return key


def _pss(key: PublicKey, signature: bytes, signed: bytes) -> str:
    """Return the scheme when this key signed these bytes by it, and otherwise what is not so."""
    if not isinstance(key, rsa.RSAPublicKey):
        return "no RSA key"
    try:
        key.verify(signature, signed, _PSS, hashes.SHA256())
    except InvalidSignature:
        return "another scheme, another key or other bytes"
    return _SCHEME


def _statement(golden: Golden, now: datetime, ledger: Ledger) -> None:
    ledger.holds(
        "E4.1",
        "the endorsement is not from the future",
        expected=f"up to {format_instant(now)}",
        got=format_instant(golden.timestamp),
        condition=golden.timestamp <= now,
    )
    ledger.holds(
        "E4.2",
        "the endorsement says what the firmware was built from",
        expected="a change list or a commit",
        got=f"change list {golden.cl_spec}, commit {golden.commit.hex() or 'none'}",
        condition=golden.timestamp <= PROVENANCE_SINCE or golden.cl_spec or golden.commit,
    )
