"""The policy for development and tests: a platform that proves nothing about its host (rules D1, D2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from client_sdk.errors import EvidenceError, Failure
from client_sdk.release import Measurement
from client_sdk.report import Ledger
from client_sdk.roots import Anchors, Roots, anchors
from client_sdk.rules import keeps
from client_sdk.verifier import VerifiedEvidence

MAX_CERTIFICATE_FILE = 65_536


@dataclass(frozen=True, slots=True)
class SimulatedPlatform:
    """Takes VMs on QEMU with a software TPM that *this* CA certified: for development and tests.

    ``tpm_ca`` is a path, PEM or DER bytes, or a certificate. Evidence accepted under it proves nothing about the host:
    whoever holds the CA's key, which lies beside the VM, makes any TPM say anything.

    Raises:
        EvidenceError: the file is not a certificate.
    """

    tpm_ca: Path | str | bytes | x509.Certificate
    roots: Roots = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roots", Roots(simulated=True, tpm=_read(self.tpm_ca)))

    @property
    def name(self) -> str:
        """What the policy is called."""
        return "simulated platform, proves nothing about the host"

    @keeps("D1", "D2")
    def judge(self, evidence: VerifiedEvidence, measurement: Measurement, ledger: Ledger) -> tuple[Failure, ...]:
        """Take simulated evidence under this CA and nothing else; PCR 0 may be unpinned."""
        _ = measurement
        (anchor,) = self.roots.tpm
        return ledger.judge(
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


def _read(source: Path | str | bytes | x509.Certificate) -> Anchors:
    data = source if isinstance(source, (bytes, x509.Certificate)) else _read_file(Path(source))
    try:
        return anchors(data)
    except EvidenceError as error:
        raise EvidenceError("policy.tpm_ca", "not exactly one certificate in PEM or DER form") from error


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CERTIFICATE_FILE)
    except OSError as error:
        raise EvidenceError("policy.tpm_ca", f"cannot read {path}: {error.strerror}") from error
