"""Trust anchors: who may vouch for what. They come from a policy in the caller's code, never from evidence.

Each kind of anchor vouches for its own kind of evidence and for nothing else. A kind without an anchor vouches for
nothing: evidence that needs it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client_sdk.ages import PRODUCTION, Ages
from client_sdk.errors import EvidenceError, Failure, FieldError, PolicyError
from client_sdk.given import require, require_all, told
from client_sdk.parse.certificate import CertificateFields, parse_certificate
from client_sdk.parse.pem import parse_pem_or_der
from client_sdk.rules import keeps
from client_sdk.vendor import vendor_roots

Anchors = tuple[CertificateFields, ...]
Anchor = tuple[str, bytes]
"""A kind of anchor (a field of :class:`Roots`) and a certificate's SHA-256."""
_KINDS = ("tpm", "google", "azure", "amd", "intel", "nvidia", "nvidia_rim")
_VENDOR = {
    "google": ("google", "ak"),  # not "ak-legacy": confidential VMs with SNP or TDX are younger than that hierarchy
    "azure": ("azure", "ak"),
    "amd": ("amd", "ark"),
    "intel": ("intel", "sgx"),
    "nvidia": ("nvidia", "device"),
    "nvidia_rim": ("nvidia", "rim"),
}


@dataclass(frozen=True, slots=True)
class Roots:
    """The CAs that a policy pins, by their very certificates, and how old statements under them may be.

    ``tpm`` certify endorsement keys of software TPMs, ``google`` and ``azure`` attestation keys of those clouds'
    virtual TPMs. ``amd`` are ARKs, one a product line (rule T2.8 holds them apart by name), ``intel`` is the root of
    PCK certificates and TCB statements, ``nvidia`` certify devices and ``nvidia_rim`` the signers of RIM files.
    ``simulated`` says that evidence under them proves nothing about a host (rules D1, D2). Each kind is made by
    :func:`anchors`.

    Raises:
        EvidenceError: bytes or a path in place of anchors, or another field of another type.
    """

    simulated: bool
    tpm: Anchors = ()
    google: Anchors = ()
    azure: Anchors = ()
    amd: Anchors = ()
    intel: Anchors = ()
    nvidia: Anchors = ()
    nvidia_rim: Anchors = ()
    ages: Ages = PRODUCTION

    def __post_init__(self) -> None:
        require(self.simulated, bool, "roots.simulated", expected="true or false", remedy="write simulated=False")
        require(self.ages, Ages, "roots.ages", expected="limits, as Ages(…)", remedy="write ages=Ages(…)")
        for kind in _KINDS:
            expected, remedy = "certificates that anchors() read", f"write {kind}=anchors(bytes_of_a_certificate, …)"
            require_all(getattr(self, kind), CertificateFields, f"roots.{kind}", expected=expected, remedy=remedy)

    @property
    def fingerprints(self) -> frozenset[Anchor]:
        """What each anchor vouches for, with its SHA-256."""
        return frozenset([(kind, anchor.fingerprint) for kind in _KINDS for anchor in getattr(self, kind)])


def anchors(*certificates: x509.Certificate | bytes) -> Anchors:
    """Read certificates to pin, for a field of :class:`Roots`: objects, or bytes of exactly one in PEM or DER form.

    It proves nothing about them: whom you pin, you trust.

    Raises:
        EvidenceError: one is not a certificate.
    """
    return tuple([_anchor(certificate, f"roots[{i}]") for i, certificate in enumerate(certificates)])


def production_roots() -> Roots:
    """Return the makers' own roots, which ship with this package; none of them vouches for anything simulated.

    Raises:
        EvidenceError: the package was changed on disk.
    """
    return _with(Roots(simulated=False), {kind: vendor_roots(*names) for kind, names in _VENDOR.items()})


@keeps("D2")
def merged(many: Iterable[Roots]) -> Roots:
    """Return the anchors of all, with the shortest of their ages: what parts of one policy bring together.

    Raises:
        PolicyError: D2, some are simulated and some are not.
    """
    first, *others = many
    for other in others:
        if other.simulated is not first.simulated:
            failure = Failure("D2: simulated and production roots stay apart", "one kind in a policy", "both kinds")
            raise PolicyError((failure,))
        found = {kind: _union(getattr(first, kind), getattr(other, kind)) for kind in _KINDS}
        first = replace(_with(first, found), ages=first.ages.shortest(other.ages))
    return first


def _with(roots: Roots, found: Mapping[str, Anchors]) -> Roots:
    changes: dict[str, Any] = dict(found)
    return replace(roots, **changes)


def _union(some: Anchors, more: Anchors) -> Anchors:
    known = {anchor.fingerprint for anchor in some}
    return some + tuple([anchor for anchor in more if anchor.fingerprint not in known])


def _anchor(source: object, where: str) -> CertificateFields:
    if isinstance(source, x509.Certificate):
        return parse_certificate(source.public_bytes(Encoding.DER), where)
    if not isinstance(source, bytes):
        remedy = "give a certificate, or its bytes: Path(…).read_bytes()"
        raise FieldError(where, "a certificate, or bytes of one", told(source), remedy)
    if not source.startswith(b"-----BEGIN"):
        return parse_certificate(source, where)
    ders = parse_pem_or_der(source, where)
    if len(ders) != 1:
        raise EvidenceError(where, f"not exactly one certificate in PEM form, but {len(ders)}")
    return parse_certificate(ders[0], where)
