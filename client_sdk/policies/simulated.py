"""The policies for development and tests: platforms that prove nothing about their host (rules D1, D2).

They have no part in production: their roots are given by the caller, marked as simulated for ever, and never a maker's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from client_sdk.errors import EvidenceError, Failure
from client_sdk.evidence import AZURE, GCP
from client_sdk.policies.anchors import judge_anchors
from client_sdk.policies.lockdown import judge_lockdown
from client_sdk.policies.production import Production
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Anchors, Roots, anchors
from client_sdk.rules import keeps
from client_sdk.vendor import every_root
from client_sdk.verifier import VerifiedEvidence
from client_sdk.verify.chain import verify_issued

MAX_CERTIFICATE_FILE = 65_536
Source = Path | str | bytes | x509.Certificate


@dataclass(frozen=True, slots=True)
class SimulatedPlatform:
    """Takes VMs on QEMU with a software TPM that *this* CA certified: for development and tests.

    It is also the one policy that takes a debug image, and its report says so.

    ``tpm_ca`` is a path, PEM or DER bytes, or a certificate. Evidence accepted under it proves nothing about the host:
    whoever holds the CA's key, which lies beside the VM, makes any TPM say anything.

    Raises:
        EvidenceError: the file is not a certificate.
    """

    tpm_ca: Source
    roots: Roots = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roots", Roots(simulated=True, tpm=_read(self.tpm_ca, "tpm_ca")))

    @property
    def name(self) -> str:
        """What the policy is called."""
        return "simulated platform, proves nothing about the host"

    @keeps("D1", "D2")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Take simulated evidence under this CA and nothing else; PCR 0 may be unpinned, the image a debug one."""
        (anchor,) = self.roots.tpm
        failures = ledger.judge(
            "D1",
            "the evidence was verified as simulated",
            expected=True,
            got=evidence.simulated,
            condition=evidence.simulated,
        ) + ledger.judge(
            "D2",
            "the TPM was certified by the CA of this run",
            expected=anchor.fingerprint,
            got=evidence.tpm_ca,
            condition=anchor.fingerprint == evidence.tpm_ca,
        )
        return failures + judge_lockdown(measurement, ledger, debug_too=True)


@dataclass(frozen=True, slots=True)
class SimulatedCloud:
    """Takes VMs of a *pretended* Google Cloud or Azure whose attestation key *this* CA certified: for tests.

    ``ak_ca`` is the test CA, as for :class:`SimulatedPlatform`. Every rule about the TPM, the quote, the logs and the
    release is in force. There need be no CPU's report, which nobody can simulate; where there is one, it is verified
    under the test roots ``amd`` (one a product line) and ``intel``, and ``judged_by`` production's clauses.

    Evidence accepted under it proves nothing about any host, nor that it ran on a cloud. A real cloud's VM is never
    accepted: its key chains to no test root.

    Raises:
        EvidenceError: something is not a certificate, or it is a maker's own root or issued by one.
    """

    ak_ca: Source
    amd: tuple[Source, ...] = ()
    intel: tuple[Source, ...] = ()
    judged_by: Production = field(default_factory=Production)
    roots: Roots = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cloud = _test_roots((self.ak_ca,), "ak_ca")
        amd, intel = _test_roots(self.amd, "amd"), _test_roots(self.intel, "intel")
        ages = self.judged_by.roots.ages
        roots = Roots(simulated=True, google=cloud, azure=cloud, amd=amd, intel=intel, ages=ages)
        object.__setattr__(self, "roots", roots)

    @property
    def name(self) -> str:
        """What the policy is called."""
        return "simulated cloud, proves nothing about the host"

    @keeps("D1", "D2")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Take simulated evidence of a cloud's kind under this CA; without a CPU's report, firmware may be unpinned."""
        (anchor,) = self.roots.google
        pretended = evidence.simulated and evidence.platform in (GCP, AZURE)
        failures = ledger.judge(
            "D1",
            "the evidence was verified as that of a simulated cloud",
            expected=(GCP, "or", AZURE, "simulated"),
            got=(evidence.platform, "simulated" if evidence.simulated else "not simulated"),
            condition=pretended,
        ) + ledger.judge(
            "D2",
            "the attestation key was certified by the CA of this run",
            expected=anchor.fingerprint,
            got=evidence.tpm_ca,
            condition=anchor.fingerprint == evidence.tpm_ca,
        )
        if evidence.tee is None:
            return failures + judge_lockdown(measurement, ledger)
        clauses = self.judged_by.clauses(evidence)
        failures += judge_anchors(evidence, self.roots, ledger)
        return failures + tuple([one for clause in clauses for one in clause.judge(evidence, measurement, ledger)])


def _test_roots(sources: tuple[Source, ...], where: str) -> Anchors:
    """Read anchors, and refuse a maker's: as a simulated one it would vouch for real machines under weaker clauses."""
    found = tuple([anchor for source in sources for anchor in _read(source, where)])
    for anchor in found:
        for maker in every_root():
            if anchor.public_key == maker.public_key:
                raise _makers(where)
            with suppress(InvalidSignature):
                verify_issued(anchor, maker.public_key)
                raise _makers(where)
    return found


def _makers(where: str) -> EvidenceError:
    return EvidenceError(f"policy.{where}", "a maker's own certificate: a simulated cloud has a test root")


def _read(source: Source, where: str) -> Anchors:
    data = source if isinstance(source, (bytes, x509.Certificate)) else _read_file(Path(source), where)
    try:
        return anchors(data)
    except EvidenceError as error:
        raise EvidenceError(f"policy.{where}", "not exactly one certificate in PEM or DER form") from error


def _read_file(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CERTIFICATE_FILE)
    except OSError as error:
        raise EvidenceError(f"policy.{where}", f"cannot read {path}: {error.strerror}") from error
