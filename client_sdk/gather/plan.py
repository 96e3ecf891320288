"""From evidence to a list of what is wanted, as data: no network, no clock, no files.

Nothing of the evidence is verified here: what is fetched for forged evidence is public, and useless to the forger.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_sdk.errors import EvidenceError
from client_sdk.evidence import Evidence, TeeEvidence
from client_sdk.gather import amd, intel, nvidia, tpm
from client_sdk.gather.wanted import Kind, Wanted
from client_sdk.parse.azure import SNP, parse_hcl_report
from client_sdk.parse.certificate import CertificateFields
from client_sdk.parse.snp import SIZE as SNP_SIZE
from client_sdk.vendor import vendor_roots

_HCL = b"HCLA"


@dataclass(frozen=True, slots=True)
class PinnedRoots:
    """Where chains may end that do not bring their root: of clouds' TPMs, and of NVIDIA's devices and RIM files.

    ``given`` are CAs below a root that the operator has, for certificates that do not say where their issuer's is.
    """

    tpm: tuple[CertificateFields, ...]
    nvidia: tuple[CertificateFields, ...]
    given: tuple[CertificateFields, ...] = ()


def shipped_roots() -> PinnedRoots:
    """Return the roots that this package ships."""
    clouds = vendor_roots("azure", "ak") + vendor_roots("google", "ak") + vendor_roots("google", "ak-legacy")
    return PinnedRoots(clouds, vendor_roots("nvidia", "device") + vendor_roots("nvidia", "rim"))


def plan(evidence: bytes, roots: PinnedRoots | None = None) -> tuple[Wanted, ...]:
    """Say what a verifier of this evidence needs besides it; each path once, in a fixed order.

    Raises:
        EvidenceError: it cannot be read, or names something that no vendor can be asked for.
    """
    read, pinned = Evidence.from_json(evidence), roots or shipped_roots()
    found = list(_tee(read.tee)) if read.tee else []
    found += tpm.plan(read.ak_certificates, pinned.tpm, pinned.given)
    for index, gpu in enumerate(read.gpu):
        found += nvidia.plan(gpu.evidence, gpu.certificates, pinned.nvidia, f"gpu[{index}]")
    return once(found)


def follow(wanted: Wanted, content: bytes, roots: PinnedRoots | None = None) -> tuple[Wanted, ...]:
    """Say what the content of a fetched file needs in turn.

    Raises:
        EvidenceError: as for :func:`plan`.
    """
    pinned = roots or shipped_roots()
    if wanted.kind is Kind.VCEK:
        return amd.follow(content)
    if wanted.kind is Kind.RIM:
        return nvidia.follow(content, pinned.nvidia)
    return tpm.follow(content, pinned.tpm, pinned.given) if wanted.kind is Kind.ISSUER else ()


def once(wanted: list[Wanted]) -> tuple[Wanted, ...]:
    """Leave out what is wanted a second time: devices share drivers, platforms share lists."""
    found: dict[tuple[object, ...], Wanted] = {}
    for one in wanted:
        found.setdefault((one.path, one.about), one)
    return tuple(found.values())


def _tee(tee: TeeEvidence) -> tuple[Wanted, ...]:
    """Look for the hardware's statement by its form: Azure's paravisor wraps an SNP report, and hands out quotes."""
    if tee.kind in ("snp", "azure-snp"):
        return amd.plan(_snp_report(tee), tee.certificates)
    if tee.kind in ("tdx", "azure-tdx"):
        return intel.plan(tee.report if not tee.report.startswith(_HCL) else tee.runtime_data)
    raise EvidenceError("tee.kind", f"{tee.kind!r} is not known; update the client")


def _snp_report(tee: TeeEvidence) -> bytes:
    for part in (tee.report, tee.runtime_data):
        if part.startswith(_HCL):
            hcl = parse_hcl_report(part)
            if hcl.kind == SNP:
                return hcl.hardware_report[:SNP_SIZE]
    return tee.report
