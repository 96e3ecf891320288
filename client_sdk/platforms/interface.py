"""One platform's part in a verification: five steps, each over the same case. What all have in common is verifier.py's.

A step records its checks in the case's ledger and raises on the first that does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from client_sdk.binding import report_data
from client_sdk.collateral import Collateral
from client_sdk.evidence import Evidence
from client_sdk.report import Ledger
from client_sdk.roots import Roots
from client_sdk.verify.activation import Activation
from client_sdk.verify.ak import AzureAk, GoogleAk
from client_sdk.verify.azure import HclFacts
from client_sdk.verify.chain import VerifiedPaths
from client_sdk.verify.eventlog import FirmwareFacts
from client_sdk.verify.quote import AttestationKey, QuotedPcrs
from client_sdk.verify.rim import Appraisal
from client_sdk.verify.snp import SnpFacts
from client_sdk.verify.tdx_collateral import TdxFacts
from client_sdk.verify.tdx_log import LogFacts

NotRun = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged, and by what. Nothing in ``evidence``, ``collateral`` or ``activation`` is believed.

    ``paths`` are what the caller keeps between verifications at one instant, where it keeps any.
    """

    evidence: Evidence
    roots: Roots
    collateral: Collateral | None
    activation: Activation | None
    now: datetime
    ledger: Ledger
    paths: VerifiedPaths | None


@dataclass(frozen=True, slots=True)
class TpmFacts:
    """Whose TPM holds the attestation key. ``ca`` is the SHA-256 of the pinned certificate that vouches for it.

    ``ek_certificate`` is the SHA-256 of the endorsement key's certificate, where activation proved the key; ``cloud``
    is what a cloud certified, where one did.
    """

    key: AttestationKey
    ak_name: bytes
    ca: bytes
    ek_certificate: bytes
    cloud: GoogleAk | AzureAk | None


@dataclass(frozen=True, slots=True)
class Bound:
    """What this VM is by now, to be found again in the report of its CPU and the evidence of its GPUs."""

    tpm: TpmFacts
    spki: bytes
    gpu: bytes
    quote: QuotedPcrs

    @property
    def report_data(self) -> bytes:
        """The 64 bytes that the report of this VM's CPU has to carry (docs/protocol.md, "Binding")."""
        return report_data(self.tpm.ak_name, self.spki, self.gpu, self.quote.pcrs[15])


@dataclass(frozen=True, slots=True)
class TeeFacts:
    """The report of a CPU that is bound to this VM: ``kind`` is ``snp`` or ``tdx``.

    ``log`` is what RTMR0's events say, where a log came along; ``hcl`` what Azure's paravisor says.
    """

    kind: str
    report: SnpFacts | TdxFacts
    log: LogFacts | None
    hcl: HclFacts | None

    @property
    def launch_measurement(self) -> bytes:
        """What the CPU measured of the VM's first memory: SNP's launch measurement, or MRTD."""
        if isinstance(self.report, SnpFacts):
            return self.report.report.measurement
        return self.report.quote.body.mr_td

    @property
    def root(self) -> bytes:
        """The SHA-256 of the pinned certificate that vouches for the CPU."""
        if isinstance(self.report, SnpFacts):
            return self.report.vek.ark
        return self.report.quote.path[-1].fingerprint


class Platform(Protocol):
    """One platform."""

    @property
    def name(self) -> str:
        """How evidence names it."""

    def parts(self, case: Case) -> None:
        """Refuse a part that nothing would bind here, and evidence without a part that has to be there (rule C6)."""

    def tpm(self, case: Case) -> TpmFacts:
        """Find out whose TPM holds the attestation key (rules K, Q7, Q8)."""

    def firmware(self, case: Case, quote: QuotedPcrs) -> FirmwareFacts | None:
        """Replay the firmware's log against the quote, or find that there is none (rules L1 to L10)."""

    def devices(self, case: Case, bound: Bound) -> tuple[Appraisal, ...]:
        """Verify the GPUs (rules G1 to G5)."""

    def tee(self, case: Case, bound: Bound) -> TeeFacts | None:
        """Verify the CPU's report, and that it binds this VM (rules T1 to T9)."""

    def not_run(self, case: Case) -> NotRun:
        """Return the rules that are not run over this evidence, and why: they are never "passed"."""
